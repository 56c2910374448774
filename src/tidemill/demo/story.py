"""The eight steps of the demo. Each prints the command it stands for, calls what that command calls, and reads the
figures it shows back from the store that keeps them."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidemill.demo.client import Client, Picture, Reply
from tidemill.demo.display import Display
from tidemill.errors import InputError, TidemillError
from tidemill.project import data, models, samples, scaffold, serving, tracing, training, watching
from tidemill.project.layout import Layout

NAME = "digits"
WITHHELD = ("8", "9")
LABELLED_SHARE = 0.5
ROUNDS = 2

TITLES = (
    "data     digits v1.0.0, two classes missing",
    "train    evaluate, export, register, promote",
    "serve    the champion, under traffic",
    "monitor  labels come back; a report",
    "decide   does the policy want a new model?",
    "renew    new data, challenger, change under load",
    "trace    an answer from before, one from after",
    "look     what stands now",
)


@dataclass
class Story:
    """What the steps hand on to each other, and the figures of the closing table."""

    layout: Layout
    display: Display
    stack: ExitStack
    work: Path
    pictures: list[Picture] = field(default_factory=list)
    client: Client | None = None
    before: list[Reply] = field(default_factory=list)
    after: list[Reply] = field(default_factory=list)
    decision: str = ""
    report: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def command(self, line: str) -> None:
        self.display.command(line)

    def say(self, line: str) -> None:
        self.display.say(line)


def fresh_directory(directory: Path) -> Path:
    """An empty place for the demo; what an earlier demo left there is removed, anything else is refused."""
    if directory.exists():
        if not (directory / ".tidemill-demo").is_file() and (not directory.is_dir() or any(directory.iterdir())):
            raise InputError(
                f"{directory} exists and is no earlier demo", "name another place:  tidemill demo --dir DIR"
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / ".tidemill-demo").touch()
    return directory


def run(directory: Path, display: Display) -> dict[str, Any]:
    """The whole loop in `directory`, which is made anew; the facts of the closing table."""
    work = fresh_directory(directory.resolve())
    steps: Sequence[Callable[[Story], str]] = (
        _data, _train, _serve, _monitor, _decide, _renew, _trace, _look,
    )  # fmt: skip
    with ExitStack() as stack:
        story = Story(Layout(work / NAME), display, stack, work)
        seconds = {}
        for number, step in enumerate(steps):
            began = time.perf_counter()
            display.start(number)
            display.finish(number, step(story))
            seconds[TITLES[number].split()[0]] = time.perf_counter() - began
        return story.facts | {"seconds": seconds}


def _data(story: Story) -> str:
    story.command(f"tidemill init {NAME} --task image --empty")
    scaffold.init(story.layout.root, name=NAME, task="image", sample=None)
    folder = samples.write_digits(story.work / "digits-v1", withhold=WITHHELD)
    version = _add(story, folder, "1.0.0")
    train = version.split("train")
    missing = [label for label in version.classes if not train.classes.get(label)]
    story.say(f"training split lacks the classes {', '.join(missing)}; the test split is complete")
    return f"{len(version.classes) - len(missing)} of {len(version.classes)} classes"


def _add(story: Story, folder: Path, number: str) -> Any:
    story.command(f"tidemill data add {folder.name} --name {NAME} --version {number}")
    data.add(story.layout, folder, name=NAME, version=number)
    (version,) = [v for v in data.versions(story.layout, NAME) if v.version == number]
    rows = " + ".join(f"{split.rows} {split.name}" for split in version.splits)
    story.say(f"tag {version.tag}: {rows} pictures, {version.digest.short}")
    return version


def _train(story: Story) -> str:
    _train_and_promote(story, decision=None, number=1)
    story.facts["before"] = facts = _champion_facts(story)
    return f"{facts['version']}, {facts['accuracy']:.1%}"


def _train_and_promote(story: Story, *, decision: str | None, number: int) -> None:
    story.command("tidemill train" + (f" --because {decision}" if decision else ""))
    training.train(story.layout, (), report=story.display, decision=decision)
    version = models.resolve(story.layout, f"{NAME}/{number}")
    bundle = models.open_predictor(story.layout, version).bundle
    parity = bundle.parity
    story.say(f"registered {version}: accuracy {bundle.metrics['accuracy']:.1%} on {parity.rows} test pictures")
    worst = sorted(bundle.per_class.items(), key=lambda item: item[1]["recall"])[:3]
    story.say("worst classes: " + ", ".join(f"{label} {row['recall']:.0%}" for label, row in worst))
    story.say(f"export parity: {parity.changed} of {parity.rows} decisions changed")
    story.command(f"tidemill models promote {NAME} {number}")
    models.promote(story.layout, NAME, number)
    line = [e for e in models.history(story.layout, NAME) if e.kind == "promoted"][-1]
    evidence = line.payload["evidence"]
    if evidence["champion"] is not None:
        story.say(
            f"same {evidence['rows']} rows: {evidence['champion']:.1%} -> {evidence['challenger']:.1%}, "
            f"McNemar p = {evidence['p_value']:.2g}"
        )
    story.say(f"{NAME}/{line.payload['version']} is champion: ledger line {line.sequence}, {line.digest.short}")


def _champion_facts(story: Story) -> dict[str, Any]:
    """As the stores have it: version, data, accuracy, accuracy of each withheld class."""
    version = models.resolve(story.layout, f"{NAME}@champion")
    bundle = models.open_predictor(story.layout, version).bundle
    return {
        "version": str(version),
        "data": bundle.lineage.dataset,
        "accuracy": bundle.metrics["accuracy"],
        "withheld": {label: bundle.per_class[label]["recall"] for label in WITHHELD},
    }


def _serve(story: Story) -> str:
    story.command(f"tidemill serve {NAME}@champion --port 0")
    server = story.stack.enter_context(serving.start_server(story.layout, f"{NAME}@champion", port=0))
    story.say(f"ready at {server.url}, process {server.pid}")
    opened = data.open_version(story.layout, NAME, "1.0.0").examples("test")
    story.pictures = [
        Picture(Path(name).name, content, label)
        for name, content, label in zip(opened.names, opened.inputs, opened.labels, strict=True)
        if isinstance(content, bytes)
    ]
    story.client = Client(server.url, NAME)
    total = len(story.pictures) * ROUNDS
    story.command(f"curl -F file=@examples/seven.png {server.url}/v1/models/{NAME}:predict     # {total} times")
    story.before = story.client.send(
        story.pictures * ROUNDS, lambda done: story.display.progress(done, total, f"{done} of {total} answered")
    )
    _require_all_answered(story.client)
    traffic = _traffic(story)
    story.facts["traffic"] = traffic
    story.say(
        f"the log holds {traffic['rows']:.0f} answers: p50 {traffic['p50_ms']:.1f} ms, p99 {traffic['p99_ms']:.1f} ms "
        f"in the server, {traffic['per_second']:.0f} requests/s"
    )
    return f"{traffic['rows']:,.0f} answers, p99 {traffic['p99_ms']:.1f} ms"


def _require_all_answered(client: Client) -> None:
    lost = client.tally.sent - len(client.tally.replies)
    if lost:
        raise TidemillError(
            f"{lost} of {client.tally.sent} requests failed: {(client.tally.failures or ['no answer'])[0]}",
            "this must not happen; please report it",
        )


def _traffic(story: Story) -> dict[str, float]:
    """Of the answers in the prediction log."""
    import numpy as np

    table = serving.log(story.layout).window(NAME, version=None, since=None, until=None)
    latency = table["latency_ms"].to_numpy()
    at = table["at"].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    return {
        "rows": float(table.num_rows),
        "p50_ms": float(np.percentile(latency, 50)),
        "p99_ms": float(np.percentile(latency, 99)),
        "per_second": float(table.num_rows / max(at[-1] - at[0], 1e-9)),
    }


def _monitor(story: Story) -> str:
    assert story.client is not None
    share = story.before[: int(len(story.before) * LABELLED_SHARE)]
    story.command(f"tidemill feedback --from labels.csv     # {len(share)} labels, posted to /feedback")
    story.client.feedback(share)
    story.command(f"tidemill monitor {NAME}")
    report = watching.monitor(story.layout, NAME)
    story.report = report.id
    fired = ", ".join(f"{t.feature} ({t.method}, p {t.p_value:.1g})" for t in report.drifted) or "none"
    story.say(f"{report.window.rows} answers, {report.window.labelled} with a label; drift: {fired}")
    for title, quality in (
        ("expected", report.baseline),
        ("estimated", report.estimated),
        ("labelled", report.labelled),
    ):
        if quality is not None:
            story.say(f"{title:<9} accuracy {quality.value:.1%}  [{quality.low:.1%}, {quality.high:.1%}]")
    known = [c for c in report.per_class if c.accuracy is not None]
    worst = sorted(known, key=lambda c: c.accuracy or 0.0)[:3]
    story.say("by label: " + ", ".join(f"{c.label} {c.accuracy:.0%}" for c in worst))
    return f"labels say {report.labelled.value:.1%}" if report.labelled else "no label came"


def _decide(story: Story) -> str:
    story.command(f"tidemill retrain {NAME} --no-act")
    decision = watching.decide(story.layout, NAME)
    story.decision = decision.id
    story.say(f"verdict: {decision.verdict}")
    for reason in decision.reasons:
        story.say(reason)
    story.say(f"evidence: report {decision.report}, {decision.report_digest.short}")
    story.facts["decision"] = {"id": decision.id, "verdict": decision.verdict, "reasons": list(decision.reasons)}
    return decision.verdict


def _renew(story: Story) -> str:
    assert story.client is not None
    folder = samples.write_digits(story.work / "digits-v2", withhold=())
    _add(story, folder, "2.0.0")
    story.command(f"tidemill data diff {NAME}-v1.0.0 {NAME}-v2.0.0")
    change = data.diff(story.layout, f"{NAME}-v1.0.0", f"{NAME}-v2.0.0")
    for split in change.splits:
        came = [label for label, (before, after) in split.classes.items() if after and not before]
        story.say(
            f"{split.name:<5} {split.added} added, {split.removed} removed, {split.changed} changed"
            + (f"; new classes {', '.join(came)}" if came else "")
        )
    stop = threading.Event()
    traffic = threading.Thread(target=story.client.send_until, args=(story.pictures, stop), daemon=True)
    traffic.start()
    story.say("the client goes on sending while the challenger is trained")
    try:
        _train_and_promote(story, decision=story.decision, number=2)
        _wait_for_version(story, 2)
    finally:
        stop.set()
        traffic.join()
    story.after = story.client.send(story.pictures)
    _require_all_answered(story.client)
    served = sorted({reply.version for reply in story.client.tally.replies})
    story.say(f"{story.client.tally.sent} requests sent, all answered, by versions {', '.join(map(str, served))}")
    story.facts["after"] = facts = _champion_facts(story)
    lost = story.client.tally.sent - len(story.client.tally.replies)
    return f"{facts['version']}, {facts['accuracy']:.1%}, {lost} of {story.client.tally.sent:,} requests lost"


def _wait_for_version(story: Story, number: int, *, timeout: float = 20.0) -> None:
    """Until the client has seen an answer of the new version, and a little more traffic after it."""
    assert story.client is not None
    deadline = time.monotonic() + timeout
    while not any(reply.version == number for reply in story.client.tally.replies[-64:]):
        if time.monotonic() > deadline:
            raise TidemillError(f"the server did not change over to version {number} within {timeout:.0f} s")
        time.sleep(0.05)


def _trace(story: Story) -> str:
    links = 0
    for reply in (story.before[0], story.after[-1]):
        story.command(f"tidemill trace {reply.prediction_id}")
        found = tracing.trace(story.layout, reply.prediction_id)
        for link in found.links:
            mark = {True: "✓", None: "·", False: "✗"}[link.verified]
            story.say(f"{mark} {link.kind:<12} {link.name}  {link.digest.short if link.digest else ''}")
        links += len(found.links)
        if not found.verified:
            raise TidemillError(f"the trace of {reply.prediction_id} is broken", "see  tidemill trace")
    story.facts["traced"] = [story.before[0].prediction_id, story.after[-1].prediction_id]
    return f"{links} links, none broken"


def _look(story: Story) -> str:
    assert story.client is not None
    story.command("tidemill ui")
    rows = serving.log(story.layout).window(NAME, version=None, since=None, until=None).num_rows
    story.facts["requests"] = {
        "sent": story.client.tally.sent,
        "answered": len(story.client.tally.replies),
        "logged": rows,
    }
    story.facts["report"] = str(story.layout.reports / story.report / "report.html")
    story.facts["project"] = str(story.layout.root)
    return f"{rows:,} answers in the log"
