"""Going on with a run whose process was killed: with its recorded settings and data, in the same run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tidemill.errors import NotFoundError, StateError
from tidemill.process import limit_threads
from tidemill.project.data import open_for_task
from tidemill.project.database import tracking_address
from tidemill.project.layout import Layout
from tidemill.project.training import Job, Silent, Trained, carry_out, present_spec
from tidemill.stages.runfolder import Record, RunFolder, is_alive, reopen, unfinished

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.run import RunSpec
    from tidemill.ports import Reporter


def resumable(layout: Layout) -> list[Record]:
    """The runs that have not finished and whose process is gone, the newest first."""
    return [record for path, record in unfinished(layout.runs) if not is_alive(path)]


def resume(layout: Layout, run: str = "", *, report: Reporter | None = None, anyway: bool = False) -> Trained:
    """Go on with `run` (a beginning of its id is enough), or with the newest that can be gone on with, to its end.

    It takes the recorded configuration and data version; `anyway` lets code and environment differ from the recorded
    ones, and the tracking server have another address. Raises NotFoundError for a run that left nothing, BusyError for
    one at work, StateError when data, code, environment or tracking server are not the recorded ones.
    """
    limit_threads()
    number = chosen(layout, run).run
    with ExitStack() as stack:
        folder = stack.enter_context(reopen(layout.runs, number))
        settings = recorded_settings(folder.record)
        data = _recorded_data(layout, folder.record.spec)
        difference = _checked(layout, folder, settings, data, anyway=anyway)
        job = Job(layout, settings, data, folder.record.spec, difference, folder.record.parent, folder)
        return carry_out(job, report or Silent())


def recorded_settings(record: Record) -> Config:
    """The configuration that the run began with. Raises ConfigError when today's schema does not know a setting."""
    from tidemill.config.check import checked

    return checked(record.spec.config, lambda path: f"the configuration of run {record.run}: {path}")


def chosen(layout: Layout, run: str = "") -> Record:
    """The unfinished run whose id begins with `run`; without one the newest that is not at work. Raises NotFoundError.

    One that is shown under a parent (of a grid) is only chosen by its id.
    """
    listed = unfinished(layout.runs)
    known = [record for _, record in listed]
    shown = ", ".join(record.run for record in known)
    if run:
        # the folder bears the id that the run began with: the tracking server, when it answers, may give it another
        found = [record for path, record in listed if record.run.startswith(run) or path.name.startswith(run)]
        if len(found) > 1:
            raise NotFoundError(
                f"{run[:80]!r} begins the ids of {len(found)} unfinished runs",
                f"give more of it: {', '.join(record.run for record in found)}",
            )
        if not found:
            raise NotFoundError(
                f"{run[:80]!r} names no run that can be gone on with",
                f"unfinished: {shown}" if known else "all runs of this project have ended",
            )
        return found[0]
    gone = [record for record in resumable(layout) if not record.parent]
    if not gone:
        why = f"unfinished, to be named: {shown}" if known else "all runs of this project have ended"
        raise NotFoundError("there is no run to go on with", why)
    return gone[0]


def _recorded_data(layout: Layout, spec: RunSpec) -> PackedDataset:
    name, _, version = spec.dataset.rpartition("-v")
    data = open_for_task(layout, name, version, spec.config["task"])
    if data.version.digest != spec.dataset_digest:
        raise StateError(f"{spec.dataset} is not the data that the run began with", "its tag was moved: restore it")
    return data


def _checked(layout: Layout, folder: RunFolder, settings: Config, data: PackedDataset, *, anyway: bool) -> bytes:
    """How the code differs from its commit. Raises StateError when the run would go on as something else."""
    from tidemill.stages.resume import check_same
    from tidemill.stages.snapshot import changed_since

    recorded = folder.record.spec
    _check_tracker(folder.record, anyway=anyway)
    present, difference = present_spec(layout, settings, data, recorded.decision)
    if not anyway:
        check_same(recorded, present, changed=changed_since(layout.root, recorded.code.commit))
    return difference


def _check_tracker(record: Record, *, anyway: bool) -> None:
    """Raises StateError when the run is kept elsewhere than where MLFLOW_TRACKING_URI points now.

    `anyway` believes that a server has another address by now; the project's own database is never a server.
    """
    now = tracking_address()
    if record.tracker in (None, now) or (anyway and record.tracker and now):
        return
    if record.tracker:
        remedy = f"MLFLOW_TRACKING_URI={record.tracker} tidemill train --resume"
        if now:
            remedy += "   (or, if that server has moved:  --anyway)"
    else:
        remedy = "unset MLFLOW_TRACKING_URI, then go on with it"
    raise StateError(
        f"the run is kept {_place(record.tracker)}, and MLFLOW_TRACKING_URI "
        + (f"says {now}" if now else "is not set"),
        remedy,
    )


def _place(tracker: str | None) -> str:
    return f"at {tracker}" if tracker else "in the project's own database"
