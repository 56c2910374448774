"""The contract of ports.Tracker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import NotFoundError

if TYPE_CHECKING:
    from tidemill.ports import Tracker


def check_tracker(tracker: Tracker, folder: Path) -> None:
    """Runs are apart from each other, artefacts come back byte for byte, what is not there is said to be so, steps may
    come in any order, and what is said twice, as after a failure, is there once.

    `folder` is an empty folder to work in.
    """
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "table.csv").write_bytes(b"class,recall\n7,0.5\n")
    (folder / "note.txt").write_bytes("ü\x00".encode())

    first = tracker.start("a run", {"optimizer.lr": 0.001, "model": "small_cnn"}, {"tidemill.model": "digits"})
    second = tracker.start("a run", {}, {})
    assert first != second, "two runs of one name are two runs"
    for step, loss in enumerate((1.5, 0.5)):
        tracker.log(first, {"val_loss": loss, "val_accuracy": 1 - loss / 2}, step)
        tracker.log(second, {"val_loss": -loss}, 1 - step)
    tracker.keep(first, folder / "evaluation", "evaluation")
    tracker.keep(first, folder / "evaluation", "evaluation")
    tracker.keep(first, folder / "note.txt", "notes")
    tracker.finish(first, "finished")
    tracker.finish(second, "killed")
    second = tracker.resume(second, {"tidemill.resumed": "1"}, [({"val_loss": -1.5}, 1), ({"val_loss": -0.5}, 0)])
    tracker.log(second, {"val_loss": -0.25}, 2)
    tracker.keep(second, folder / "note.txt", "notes")
    tracker.finish(second, "failed")

    fetched = tracker.fetch(first, "evaluation", folder / "fetched")
    assert (fetched / "table.csv").read_bytes() == b"class,recall\n7,0.5\n"
    assert [path.name for path in fetched.iterdir()] == ["table.csv"]
    for run in (first, second):
        assert (tracker.fetch(run, "notes", folder / f"notes-{run}") / "note.txt").read_bytes() == "ü\x00".encode()
    for run, name in ((second, "evaluation"), (first, "nothing"), ("0" * 32, "evaluation")):
        try:
            tracker.fetch(run, name, folder / f"none-{run[:8]}-{name}")
        except NotFoundError as error:
            assert error.headline
        else:
            raise AssertionError(f"fetch({run!r}, {name!r}) found something that was never kept")
