"""A project with a past: two versions, traffic, labels, reports, decisions; each record in the store that keeps it."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.bundle.read import open_bundle
from tidemill.domain.dataset import Column, DatasetVersion, Split
from tidemill.domain.digest import Digest
from tidemill.domain.drift import DriftReport, DriftTest, QualityEstimate, RetrainDecision, Window
from tidemill.domain.evidence import Check, Evidence
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now, to_plain
from tidemill.domain.registry import EventKind
from tidemill.project import reports
from tidemill.project.layout import Layout
from tidemill.project.registry import ledger

from ..serve.bundles import DIGITS, image_bundle, picture

DATA = Digest.of_bytes(b"data")
HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>"


def marked(root: Path, task: str = "image") -> Layout:
    """A project and nothing in it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "tidemill.toml").write_text(f'[project]\nname = "digits"\ntask = "{task}"\n')
    return Layout(root)


def add_data(layout: Layout) -> None:
    """The record of a data version, as `data add` leaves it in git."""
    columns = (Column("data", "binary", "image"), Column("label", "string", "target"))
    splits = tuple(
        Split(name, rows, dict.fromkeys(DIGITS, rows // 10), ())
        for name, rows in (("train", 1250), ("val", 180), ("test", 360))
    )
    record = DatasetVersion("digits", "2.0.0", "image", "classification", DATA, columns, splits)
    layout.data.mkdir(exist_ok=True)
    (layout.data / "digits.json").write_text(json.dumps(to_plain(record)))


def add_bundle(layout: Layout, number: int, *, name: str = "digits", labels: tuple[str, ...] = DIGITS) -> Digest:
    """A real bundle, where bundles are kept; its digest."""
    made = image_bundle(layout.state / f"making-{name[:8]}-{number}", seed=number, name=name, labels=labels)
    digest = open_bundle(made).digest
    layout.bundles.mkdir(parents=True, exist_ok=True)
    made.rename(layout.bundle(digest))
    return digest


def append(layout: Layout, kind: EventKind, payload: dict[str, object], *, model: str = "digits") -> None:
    """A line of the ledger."""
    ledger(layout).append(kind, model, payload, check=lambda events: None)


def register(layout: Layout, number: int, *, model: str = "digits", bundle: Digest) -> None:
    payload = {"version": number, "bundle": bundle, "run": f"c41f9a{number}", "dataset": "digits-v2.0.0"}
    append(layout, "registered", payload | {"metrics": {"accuracy": 0.9}}, model=model)


def promote(layout: Layout, number: int, bundle: Digest, *, model: str = "digits", forced: str | None = None) -> None:
    replaced = number - 1 or None
    evidence = Evidence(
        metric="accuracy",
        dataset="digits-v2.0.0",
        dataset_digest=DATA,
        rows=360,
        challenger_version=number,
        challenger=0.986,
        champion_version=replaced,
        champion=0.794 if replaced else None,
        difference=0.192 if replaced else None,
        low=0.153 if replaced else None,
        high=0.234 if replaced else None,
        p_value=1e-18 if replaced else None,
        only_challenger=70 if replaced else None,
        only_champion=1 if replaced else None,
        per_class={label: {"rows": 36.0, "challenger": 0.9, "champion": 0.0} for label in DIGITS},
        checks=(Check("parity", True, "0 of 360 decisions changed"), Check("better", True, "70 against 1")),
    )
    payload = {"version": number, "replaced": replaced, "bundle": bundle, "evidence": to_plain(evidence)}
    append(layout, "promoted", payload | {"forced": forced}, model=model)


def answer(
    layout: Layout, bundle: Digest, *, version: int, rows: int, labelled: int, output: str = "7", content: bytes = b""
) -> list[Prediction]:
    """Traffic of the last minutes, some of it with labels, one a correction of the answer."""
    at = now()
    made = [
        Prediction(
            id=new_prediction_id(),
            at=at - timedelta(seconds=rows - i),
            model="digits",
            version=version,
            bundle=bundle,
            input_digest=Digest.of_bytes(content or picture(i)),
            input=content or picture(i),
            scores=(0.02,) * 7 + (0.8, 0.03, 0.03),
            output=output,
            embedding=(0.5, 0.25),
            latency_ms=3.0,
        )
        for i in range(rows)
    ]
    sink = ParquetSink(layout.log)
    sink.append(made)
    labels = [output] * (labelled - 1) + ["8"] if labelled else []
    sink.feedback([Feedback(p.id, label, now(), "digits") for p, label in zip(made, labels, strict=False)])
    sink.close()
    return made


def report(layout: Layout, version: int, bundle: Digest, accuracy: float, *, drifted: bool) -> DriftReport:
    """A report on that traffic, kept as `monitor` keeps it."""
    p = 1e-9 if drifted else 0.4
    span = Window("digits", version, now() - timedelta(minutes=5), now(), 500, 40)
    made = DriftReport(
        id=new_prediction_id(),
        at=now(),
        window=span,
        reference=bundle,
        tests=tuple(DriftTest(name, "KS", 0.2, p, 0.0005) for name in ("brightness", "confidence")),
        baseline=QualityEstimate("accuracy", 0.97, 0.95, 0.99, 360, "reference"),
        estimated=QualityEstimate("accuracy", accuracy, accuracy - 0.02, accuracy + 0.02, 500, "CBPE"),
        labelled=QualityEstimate("accuracy", accuracy - 0.01, accuracy - 0.05, accuracy + 0.03, 40, "labels"),
        per_class=(),
    )
    reports.keep(layout, ledger(layout), made, "<!doctype html><title>drift</title><p>the whole report</p>")
    return made


def decide(layout: Layout, cited: DriftReport, at: datetime | None = None) -> None:
    decision = RetrainDecision(
        id=new_prediction_id(),
        at=at or now(),
        model="digits",
        verdict="retrain",
        reasons=("labels show accuracy 84.1%", "digits-v2.0.0 is newer"),
        report=cited.id,
        report_digest=Digest.of_bytes(b"report"),
        dataset="digits-v2.0.0",
        dataset_digest=DATA,
        evidence={"limit": 0.92, "labelled": 0.841},
    )
    append(layout, "decided", {"decision": to_plain(decision)})


@dataclasses.dataclass(frozen=True)
class Mill:
    """The whole past, made by `full`."""

    layout: Layout
    predictions: list[Prediction]
    reports: list[DriftReport]


def full(root: Path) -> Mill:
    """One turn of the loop."""
    layout = marked(root)
    add_data(layout)
    first, second = add_bundle(layout, 1), add_bundle(layout, 2)
    register(layout, 1, bundle=first)
    promote(layout, 1, first)
    before = answer(layout, first, version=1, rows=30, labelled=10)
    bad = report(layout, 1, first, 0.85, drifted=True)
    decide(layout, bad)
    register(layout, 2, bundle=second)
    promote(layout, 2, second)
    after = answer(layout, second, version=2, rows=20, labelled=5)
    good = report(layout, 2, second, 0.98, drifted=False)
    return Mill(layout, before + after, [bad, good])
