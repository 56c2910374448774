"""From a run's record to the verdict: checked, set up in a fresh directory, trained there, compared as it goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from tidemill.domain.record import now, to_plain
from tidemill.errors import GateError
from tidemill.files import write_atomic
from tidemill.process import limit_threads, usable_cores
from tidemill.project.again.recorded import Recorded, client_of, digests, figures_of, read_recorded
from tidemill.project.again.workplace import fresh_directory, place_data, set_up
from tidemill.project.layout import Layout
from tidemill.stages.chain import WEIGHTS, read_chain
from tidemill.stages.reproduce import (
    Preparation,
    Verdict,
    differing_figures,
    differing_link,
    environment_changes,
    judge,
)
from tidemill.stages.snapshot import code_state, environment

if TYPE_CHECKING:
    from tidemill.domain.chain import Link

_POLL = 0.2  # seconds
_ELSEWHERE = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_EXPERIMENT_ID",
)
# Formats that hold when they were written; what they hold is in the chain.
_DATED = (".skops",)


class Watcher(Protocol):
    """Hears of a rerun while it happens."""

    def prepared(self, preparation: Preparation) -> None:
        """Before anything runs."""

    def links(self, same: int, total: int) -> None:
        """So many digests of weights are as recorded, of so many."""


@dataclass(frozen=True, slots=True)
class Reproduced:
    """`report` is the file with all of it, `directory` where it was done again; '' when that is gone."""

    preparation: Preparation
    verdict: Verdict
    at: datetime
    report: str = ""
    directory: str = ""


class Unwatched:
    """A Watcher for nobody."""

    def prepared(self, preparation: Preparation) -> None:
        """Say nothing."""

    def links(self, same: int, total: int) -> None:
        """Say nothing."""


def reproduce(
    layout: Layout, run: str, *, directory: Path | None = None, to_end: bool = False, present_code: bool = False,
    watcher: Watcher | None = None,
) -> Reproduced:  # fmt: skip
    """Train `run` (an id, the beginning of one, name/version or name@alias) again, and compare it with its record.

    It happens in a fresh directory with a tracking store of its own: `directory`, which stays, or a temporary one. It
    ends at the first step that differs, unless `to_end`. `present_code` takes the project's code as it is now instead
    of the recorded. The verdict is a tag of the run, and a report in the project. Raises NotFoundError and StateError
    before anything runs, GateError when the training fails.
    """
    watcher = watcher or Unwatched()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    recorded = read_recorded(layout, run)
    code, difference = code_state(layout.root) if present_code else (recorded.spec.code, recorded.difference)
    with fresh_directory(directory) as into:
        place = set_up(layout, code, difference, into)
        other = _other_code(recorded, present_code, layout)
        data = place_data(layout, place.layout, recorded.spec)
        preparation = _preparation(recorded, place.files, (*other, *place.code), data, place.notes)
        watcher.prepared(preparation)
        if data:  # there is nothing to train on that could come out the same
            verdict = Verdict(False, 0, 0, step=0, cause="data", reason=data)
        else:
            verdict = Rerun(recorded, place.layout, preparation, watcher, to_end=to_end).verdict()
    done = Reproduced(preparation, verdict, now(), directory=str(directory.absolute()) if directory else "")
    return _noted(layout, done)


def _other_code(recorded: Recorded, present_code: bool, layout: Layout) -> tuple[str, ...]:
    from tidemill.stages.snapshot import changed_since

    if not present_code:
        return ()
    changed = changed_since(layout.root, recorded.spec.code.commit)
    return (f"the code of now was taken: {', '.join(changed[:4])}",) if changed else ()


def _preparation(
    recorded: Recorded, files: tuple[str, ...], code: tuple[str, ...], data: str, notes: tuple[str, ...]
) -> Preparation:
    spec = recorded.spec
    trainer = spec.config.get("trainer", {})
    cores = usable_cores()
    threads = recorded.threads or limit_threads()
    if recorded.resumed:
        notes = (*notes, "the run was killed and gone on with, with --anyway perhaps as something else")
    if not recorded.threads:
        notes = (*notes, "the run is older than the record of threads")
    return Preparation(
        recorded.run, spec.digest, environment_changes(spec.environment, environment()), files, code, data, notes,
        threads=(recorded.threads, threads), cores=(recorded.cores, min(recorded.cores or cores, cores)),
        deterministic=bool(trainer.get("deterministic", True)), device=_device(trainer),
    )  # fmt: skip


def _device(trainer: Mapping[str, object]) -> str:
    """Where networks are trained here with the run's settings."""
    if trainer.get("accelerator", "auto") == "cpu":
        return "cpu"
    import torch

    return "a GPU" if torch.cuda.is_available() else "cpu"


class Rerun:
    """The training in the fresh directory, watched link by link."""

    def __init__(
        self, recorded: Recorded, layout: Layout, preparation: Preparation, watcher: Watcher, *, to_end: bool
    ) -> None:
        self._recorded, self._layout, self._prepared = recorded, layout, preparation
        self._watcher, self._to_end = watcher, to_end

    def verdict(self) -> Verdict:
        """Train, and compare; the process is ended at the first link that differs."""
        with (self._layout.root.parent / f"{self._layout.root.name}.log").open("w+b") as log:
            process = self._started(log)
            try:
                fresh = self._watched(process)
                if fresh is not None:
                    return judge(
                        self._prepared, self._recorded.chain, fresh, metrics=(), files=(), compared=0, ended=False
                    )
                return self._compared(self._answer(process, log))
            finally:
                _end(process)

    def _started(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        env = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        threads = str(self._prepared.threads[1])
        env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        env |= {"DVC_SITE_CACHE_DIR": str(self._layout.cache / "dvc")}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tidemill.project.again.child"], cwd=self._layout.root, env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None
        given = {"spec": to_plain(self._recorded.spec), "cores": self._prepared.cores[1]}
        process.stdin.write(json.dumps(given).encode() + b"\n")
        process.stdin.flush()  # and it stays open: its end would be ours
        return process

    def _watched(self, process: subprocess.Popen[bytes]) -> list[Link] | None:
        """None when it came to its end; else the links up to the first that differs."""
        seen = -1
        while process.poll() is None:
            fresh = self._links()
            if len(fresh) != seen:
                seen = len(fresh)
                differing = differing_link(self._recorded.chain, fresh, ended=False) if self._recorded.chain else None
                if differing is not None and not self._to_end:
                    return fresh
                self._watcher.links(seen, len(self._recorded.chain))
            time.sleep(_POLL)
        return None

    def _links(self) -> list[Link]:
        with suppress(OSError):
            for path in self._layout.runs.glob(f"*/{WEIGHTS}"):
                return read_chain(path)
        return []

    def _answer(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
        """The id of the run. Raises GateError when the training failed."""
        assert process.stdout is not None
        lines = process.stdout.read().decode(errors="replace").strip().splitlines()
        answer: dict[str, str] = {}
        with suppress(ValueError, IndexError):
            answer = json.loads(lines[-1])
        if "run" in answer:
            return answer["run"]
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines() or [f"it ended with {process.returncode}"]
        raise GateError(
            f"the training failed where the run had succeeded: {answer.get('failed') or said[-1][:300]}",
            "what differs from the record is listed above",
        )

    def _compared(self, run: str) -> Verdict:
        """The whole run with the whole record."""
        from tidemill.project.configuration import config
        from tidemill.project.runs import open_tracker

        kept = {name: os.environ.pop(name) for name in _ELSEWHERE if name in os.environ}
        try:
            client = client_of(self._layout)
            figures = figures_of(client, client.get_run(run))
            tracker = open_tracker(self._layout, config(self._layout))
            into = self._layout.staging / "compared"
            lineage = tracker.fetch(run, "lineage", into / "lineage")
            source = digests(tracker.fetch(run, "source", into / "source"))
        finally:
            os.environ.update(kept)
        fresh = read_chain(lineage / WEIGHTS) if (lineage / WEIGHTS).is_file() else []
        was = self._recorded
        names = [name for name in sorted({*was.source, *source}) if not name.endswith(_DATED)]
        return judge(
            self._prepared, was.chain, fresh if was.chain else (), metrics=differing_figures(was.figures, figures),
            files=[name for name in names if was.source.get(name) != source.get(name)], compared=len(was.figures),
        )  # fmt: skip


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _noted(layout: Layout, done: Reproduced) -> Reproduced:
    """The verdict as a report in the project, and as a tag of the run."""
    from dataclasses import replace

    run, verdict = done.preparation.run, done.verdict
    path = layout.reports / "reproduced" / f"{run}-{done.at:%Y%m%dT%H%M%S}.json"
    done = replace(done, report=str(path))
    write_atomic(path, json.dumps(to_plain(done), indent=2).encode())
    said = "identical" if verdict.identical else f"differs at step {verdict.step}: {verdict.cause}"
    client_of(layout).set_tag(run, "tidemill.reproduced", f"{said}, {done.at:%Y-%m-%dT%H:%M:%SZ}")
    return done


def summary(verdict: Verdict) -> Sequence[str]:
    """The verdict in lines for a person."""
    if verdict.identical:
        if not verdict.links:
            return (f"identical: {verdict.compared} metrics and the model's files; the run is older than the chain",)
        return (f"identical: {verdict.links} digests of weights, {verdict.compared} metrics, and the model's files",)
    lines = []
    if verdict.step is not None and verdict.cause == "data" and not verdict.links:
        lines.append("differs before the first step")
    elif verdict.step is not None:
        after = f", after step {verdict.after} came out the same" if verdict.after is not None else ""
        lines.append(f"differs at step {verdict.step}{after}")
    else:
        lines.append("the weights came out the same at each step" if verdict.links else "differs")
    lines += [f"metric   {each}" for each in verdict.metrics[:6]]
    lines += [f"file     {each}" for each in verdict.files[:6]]
    lines.append(f"likely cause: {verdict.cause}: {verdict.reason}")
    return lines
