"""The loop from Python: the functions behind the commands, on scikit-learn's handwritten digits.

python examples/loop.py            # in a temporary folder
python examples/loop.py DIR        # keep the project in DIR/digits
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from pathlib import Path

from tidemill.project import data, models, scaffold, serving, tracing, training, watching

MARKS = {True: "ok", None: "nothing to check", False: "BROKEN"}


def ask(url: str, pictures: list[bytes]) -> list[dict[str, str]]:
    """Send each picture as the body of a request of its own; the answered rows."""
    rows = []
    for picture in pictures:
        request = urllib.request.Request(f"{url}/v1/models/digits:predict", picture, {"Content-Type": "image/png"})
        with urllib.request.urlopen(request) as response:
            rows += json.load(response)["predictions"]
    return rows


def main(folder: Path) -> None:
    # A git and DVC project with its data as version 1.0.0.
    layout = scaffold.init(folder / "digits", name="digits", task="image")

    # Train, evaluate, export, check, register; then promote on the evidence.
    trained = training.train(layout, ["trainer.max_epochs=4"])
    print(f"{trained.version}: accuracy {trained.evaluation.metrics['accuracy']:.1%}")
    models.promote(layout, "digits", trained.version.number)

    # Serve it as a process of its own, and send it half of the test pictures.
    test = data.open_version(layout, "digits").examples("test")
    pictures = [picture for picture in test.inputs[:180] if isinstance(picture, bytes)]
    with serving.start_server(layout, "digits@champion") as server:
        answers = ask(server.url, pictures)

    # Some labels come back; monitor, decide, and trace one answer all the way.
    serving.feedback(layout, [(row["id"], label) for row, label in zip(answers[:90], test.labels, strict=False)])
    report = watching.monitor(layout, "digits")
    decision = watching.decide(layout, "digits")
    drifted = [found.feature for found in report.drifted]
    print(f"{report.window.rows} answers, {report.window.labelled} labels, drifted: {drifted or 'nothing'}")
    print(f"decision: {decision.verdict}, because {'; '.join(decision.reasons)}")
    for link in tracing.trace(layout, answers[0]["id"]).links:
        print(f"  {MARKS[link.verified]}  {link.kind}: {link.name}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
