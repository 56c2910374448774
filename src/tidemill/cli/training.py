"""One training as commands show it: live while it runs, plain values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.project.layout import Layout
    from tidemill.project.training import Trained


def train_shown(layout: Layout, settings: list[str], because: str | None, *, parent: str = "") -> Trained:
    """Train with a display on standard error; `parent` is the run it is shown under."""
    from tidemill.cli.progress import training_display
    from tidemill.project import configuration, training

    config = configuration.config(layout, settings)
    title = f"{config.name} · {config.model.kind} · data {config.data.name} {config.data.version} · seed {config.seed}"
    with training_display(title) as report:
        return training.train(layout, settings, report=report, decision=because, parent=parent)


def plain(trained: Trained) -> dict[str, Any]:
    """What `--json` answers."""
    return {
        "model": trained.version.name,
        "version": trained.version.number,
        "run": trained.run.id,
        "dataset": trained.run.spec.dataset,
        "bundle": str(trained.bundle),
        "metrics": trained.evaluation.metrics,
        "per_class": trained.evaluation.per_class,
        "trainable_params": int(trained.run.metrics["trainable_params"]),
    }
