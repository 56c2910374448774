"""The process that trains again: `python -m tidemill.project.again.child`, started in the fresh directory.

It gets {"spec", "cores"} as a line on standard input, which stays open as long as somebody wants to know. Its runs are
in the fresh directory's own store. On its standard output there is one line of JSON at the end: the run's id, or the
headline of what went wrong. What the training prints goes to the standard error.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tidemill.domain.run import RunSpec


def rerun(spec: RunSpec) -> str:
    """Train and evaluate with the recorded configuration; the id of the run."""
    from pathlib import Path

    from tidemill.config.check import checked
    from tidemill.project.data import open_for_task
    from tidemill.project.families import family_of
    from tidemill.project.layout import find_project
    from tidemill.project.runs import open_tracker
    from tidemill.project.training import Silent, evaluated
    from tidemill.stages.train import tracked_run, train

    layout = find_project(Path.cwd())
    plain: dict[str, Any] = {
        **spec.config,
        "logger": {"system_metrics": False},
    }  # who hears of a run does not change it
    settings = checked(plain, lambda path: f"the recorded configuration: {path}")
    name, _, version = spec.dataset.rpartition("-v")
    data = open_for_task(layout, name, version, settings.task)
    family = family_of(settings.task, layout.root)
    family.check(settings, data)
    tracker = open_tracker(layout, settings)
    with tracked_run(spec, difference=b"", tracker=tracker, folders=layout.runs, report=Silent()) as opened:
        run, model = train(opened, settings, data, family=family)
        evaluation, _ = evaluated(
            run, model, data, source=opened.folder.source, folder=opened.folder.path / "evaluation"
        )
        opened.tracked.log({f"test_{key}": value for key, value in evaluation.metrics.items()}, 0)
    return run.id


def _own_output() -> TextIO:
    """The standard output for the answer alone: a pipe that nobody reads yet, where what a model prints may not fit."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def _end_with_parent() -> None:
    """Nobody waits for a training whose parent was killed."""
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """Run it; 0 when it came to its end."""
    answers = _own_output()
    given = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if given["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given["cores"]])
    from tidemill.domain.record import from_plain
    from tidemill.domain.run import RunSpec
    from tidemill.errors import TidemillError
    from tidemill.process import limit_threads

    limit_threads()
    try:
        answer = {"run": rerun(from_plain(RunSpec, given["spec"]))}
    except TidemillError as error:
        answer = {"failed": error.headline}
    with answers:
        answers.write(json.dumps(answer) + "\n")
    return 0 if "run" in answer else 1


if __name__ == "__main__":
    sys.exit(main())
