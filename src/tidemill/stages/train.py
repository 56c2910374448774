"""Train: one run in the tracker, from its first parameter to its last artefact."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidemill.domain.record import now, to_plain
from tidemill.domain.run import Run

if TYPE_CHECKING:
    from tidemill.config.schema import Config
    from tidemill.dataset.read import PackedDataset
    from tidemill.domain.run import RunSpec
    from tidemill.ports import ModelFamily, Reporter, SourceModel, Tracker


class Tracked:
    """A Reporter that hands metrics to trackers, each with its id of the run, and everything on to another Reporter."""

    def __init__(self, report: Reporter, runs: Sequence[tuple[Tracker, str]]) -> None:
        self._report, self._runs = report, runs
        self.latest: dict[str, float] = {}

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.latest.update(values)
        for tracker, run in self._runs:
            tracker.log(run, values, step)
        self._report.metrics(values, step)

    def progress(self, done: int, total: int, note: str) -> None:
        self._report.progress(done, total, note)


@contextmanager
def tracked_run(
    spec: RunSpec, *, difference: bytes, tracker: Tracker, workdir: Path, beside: Sequence[Tracker] = ()
) -> Iterator[tuple[Run, Sequence[tuple[Tracker, str]]]]:
    """A run that is open inside the block: finished when the block ends, failed or killed when it does not.

    Its lineage (`spec.json`, and `dirty.diff` when `difference` is not empty) is kept before any work starts. `beside`
    are further trackers, which get the same metrics.
    """
    params, tags = flat(spec.config), _tags(spec)
    started = now()
    name = f"{spec.model} {spec.config['model']['kind']}"
    runs = [(each, each.start(name, params, tags)) for each in (tracker, *beside)]
    status: Literal["finished", "failed", "killed"] = "failed"
    try:
        _keep_lineage(tracker, runs[0][1], spec, difference, workdir)
        yield Run(runs[0][1], spec, "running", started), runs
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "killed"
        raise
    finally:
        for each, run in runs:
            each.finish(run, status)


def train(
    run: Run, config: Config, data: PackedDataset, *, family: ModelFamily, runs: Sequence[tuple[Tracker, str]],
    report: Reporter, workdir: Path,
) -> tuple[Run, SourceModel]:  # fmt: skip
    """Fit the model inside an open run; its weights, in their framework's own format, are kept under `source/`.

    The run that is returned bears the last metrics. Raises what the family raises.
    """
    tracked = Tracked(report, runs)
    model = family.fit(config, data, tracked, workdir)
    tracker, number = runs[0]
    tracker.log(number, {"trainable_params": float(model.params)}, 0)
    model.save(workdir / "source")
    tracker.keep(number, workdir / "source", "source")
    last = workdir / "checkpoints" / "last.safetensors"
    if last.is_file():
        tracker.keep(number, last, "checkpoints")
    metrics = {**tracked.latest, "trainable_params": float(model.params)}
    return Run(number, run.spec, "running", run.started, metrics), model


def flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted ones, as a tracker shows them."""
    found: dict[str, Any] = {}
    for key, value in plain.items():
        path = f"{prefix}{key}"
        found |= flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found


def _tags(spec: RunSpec) -> dict[str, str]:
    tags = {
        "mlflow.source.git.commit": spec.code.commit,
        "tidemill.model": spec.model,
        "tidemill.spec": spec.digest,
        "tidemill.config": spec.config_digest,
        "tidemill.code": spec.code.digest,
        "tidemill.dirty": str(spec.code.dirty or "clean"),
        "tidemill.environment": spec.environment.digest,
        "tidemill.python": spec.environment.python,
        "tidemill.dataset": spec.dataset,
        "tidemill.dataset_digest": spec.dataset_digest,
    }
    return tags | ({"tidemill.decision": spec.decision} if spec.decision else {})


def _keep_lineage(tracker: Tracker, run: str, spec: RunSpec, difference: bytes, workdir: Path) -> None:
    with tempfile.TemporaryDirectory(dir=workdir) as name:
        folder = Path(name)
        (folder / "spec.json").write_text(json.dumps(to_plain(spec), indent=2, sort_keys=True), encoding="utf-8")
        if difference:
            (folder / "dirty.diff").write_bytes(difference)
        tracker.keep(run, folder, "lineage")
