"""Runs as TensorBoard's event files: scalars, the settings, and of an evaluation its pictures, curves and samples."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tidemill.backends.trackers._evaluation import COUNTS, read_curves, read_samples
from tidemill.backends.trackers._files import fetch_files, keep_files
from tidemill.domain.record import now
from tidemill.errors import MissingExtraError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from tidemill.ports import Told, Tracker, TrackerFactory

_FLUSH_SECONDS = 5


class TensorboardTracker:
    """Each run is `folder/<id>/`, event files with `artifacts/` beside:  tensorboard --logdir folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def start(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """A new folder, named by time and chance."""
        run = f"{now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        writer = self._writer(run)
        writer.add_text("name", name)
        writer.add_text("params", _markdown(params))
        writer.add_text("tags", _markdown(tags))
        writer.flush()
        return run

    def resume(self, run: str, tags: Mapping[str, str], told: Told) -> str:
        """Goes on in a further event file."""
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        read = EventAccumulator(str(self._folder / run), size_guidance={"scalars": 0})
        read.Reload()
        held = {(name, each.step) for name in read.Tags()["scalars"] for each in read.Scalars(name)}
        self._writer(run).add_text("resumed", _markdown(tags))
        for values, step in told:
            self.log(run, {name: value for name, value in values.items() if (name, step) not in held}, step)
        return run

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """A scalar for each metric; on disk within seconds."""
        for name, value in metrics.items():
            self._writer(run).add_scalar(name, value, step)

    def keep(self, run: str, path: Path, folder: str) -> None:
        """Copied below the run's folder; what an evaluation holds is shown as well."""
        keep_files(path, folder, below=self._artifacts(run))
        if path.is_dir():
            self._show(self._writer(run), path, folder)

    def finish(self, run: str, status: Literal["finished", "failed", "killed"]) -> None:
        """Close the event file."""
        writer = self._writer(run)
        writer.add_text("status", status)
        writer.close()
        self._writers.pop(run, None)

    def fetch(self, run: str, folder: str, into: Path) -> Path:
        """The artefacts under `folder`, copied below `into`."""
        return fetch_files(run, folder, into, below=self._artifacts(run))

    def _artifacts(self, run: str) -> Path:
        return self._folder / run / "artifacts"

    def _writer(self, run: str) -> SummaryWriter:
        """The open writer of a run; one opened again goes on in a further event file, as TensorBoard reads it."""
        from torch.utils.tensorboard import SummaryWriter

        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(self._folder / run), flush_secs=_FLUSH_SECONDS)
        return self._writers[run]

    def _show(self, writer: SummaryWriter, path: Path, folder: str) -> None:
        import numpy as np
        from PIL import Image

        for picture in sorted(path.glob("*.png")):
            with Image.open(picture) as image:
                writer.add_image(f"{folder}/{picture.stem}", np.asarray(image.convert("RGB")), dataformats="HWC")
        for curve in read_curves(path):
            tp, fp, tn, fn = (np.array(curve.counts[name]) for name in COUNTS)
            writer.add_pr_curve_raw(
                f"{folder}/precision_recall/{curve.label}", tp, fp, tn, fn, np.array(curve.precision),
                np.array(curve.recall), num_thresholds=len(tp),
            )  # fmt: skip
        samples = read_samples(path)
        if samples:
            writer.add_text(f"{folder}/samples", _table(samples))
        pictures = [path / each["picture"] for each in samples if each["picture"]]
        if pictures:
            writer.add_image(f"{folder}/samples", np.stack([_square(each) for each in pictures]), dataformats="NHWC")
        writer.flush()


def _square(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((64, 64)))


def _markdown(values: Mapping[str, Any]) -> str:
    return _table([{"name": name, "value": value} for name, value in values.items()]) if values else "none"


def _table(rows: list[Any]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    """On one line, without what Markdown and HTML would make of it."""
    text = f"{value:.4g}" if isinstance(value, float) else str("" if value is None else value)
    return text.replace("|", "¦").replace("<", "‹").replace("\n", " ")


def open_tracker(folder: Path, experiment: str) -> TensorboardTracker:
    """Runs below `folder`/`experiment`. Raises MissingExtraError."""
    try:
        import tensorboard  # noqa: F401 - only whether it is there
    except ImportError:
        raise MissingExtraError("logger=tensorboard", "tensorboard") from None
    return TensorboardTracker(folder / experiment)


if TYPE_CHECKING:
    _opens: TrackerFactory = open_tracker
    _fits: type[Tracker] = TensorboardTracker
