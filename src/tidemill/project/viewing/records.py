"""What the loop's page shows, as frozen records of plain numbers and times. Templates only draw them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidemill.domain.bundle import Parity
from tidemill.domain.dataset import Task
from tidemill.domain.evidence import Evidence

Tone = Literal["plain", "good", "bad", "warn"]


@dataclass(frozen=True, slots=True)
class Hint:
    """What a newcomer types next, and why."""

    text: str
    command: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page shows around its content: project, models to choose from, who serves.

    `since` is when the champion was promoted; `champion` and `challenger` are version numbers.
    """

    project: str
    task: Task
    model: str
    models: tuple[str, ...]
    champion: int | None
    since: datetime | None
    challenger: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class DataView:
    """The newest data version. `rows` counts by split."""

    name: str
    version: str
    rows: Mapping[str, int]
    classes: int


@dataclass(frozen=True, slots=True)
class RunView:
    """The newest training run. `seconds` is None while it runs, `epoch` the last one that it finished."""

    id: str
    status: Literal["running", "finished", "failed", "killed"]
    started: datetime
    seconds: float | None
    epoch: int | None


@dataclass(frozen=True, slots=True)
class ServerView:
    """A model server of this project that is alive."""

    pid: int
    address: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """Traffic from `at` on, for one bucket's length. Latencies in milliseconds; None when nothing was asked."""

    at: datetime
    answers: int
    p50: float | None


@dataclass(frozen=True, slots=True)
class TrafficView:
    """Answers of the last hour; `rate` is answers per second over the last ten seconds, `total` counts all there are.

    The buckets cover the last `span` seconds: an hour, or less where all of the hour's answers are younger.
    `errors` counts the failed requests that running servers have seen since they started; None when none can be asked.
    """

    rate: float
    span: float
    hour: int
    total: int
    errors: int | None
    last: datetime | None
    p50: float | None
    p99: float | None
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class LabelsView:
    """How many answers have a label, how long it took (median, seconds), and labels by bucket as the traffic's."""

    labelled: int
    delay: float | None
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AlarmView:
    """One drift report as the strip of alarms shows it.

    `tested` is false where there were too few answers to test. `harmless` says that the labels of the same window put
    quality at or above the limit; None when no label came.
    """

    report: str
    at: datetime
    tested: bool
    drifted: bool
    harmless: bool | None


@dataclass(frozen=True, slots=True)
class QualityPoint:
    """One report: what was estimated without labels, and what labels said, each (value, low, high) or None."""

    at: datetime
    version: int
    estimated: tuple[float, float, float] | None
    labelled: tuple[float, float, float] | None
    rows: int
    labels: int


@dataclass(frozen=True, slots=True)
class Change:
    """A version that took over at `at`. `tested` is its quality on the test split, when its evidence says."""

    at: datetime
    version: int
    tested: float | None


@dataclass(frozen=True, slots=True)
class QualityView:
    """Quality over time, oldest first. `share` says that the metric is one (accuracy), to be shown in percent.

    `limits` holds, by version, the worst quality that calls for nothing.
    """

    metric: str
    share: bool
    method: str
    points: tuple[QualityPoint, ...]
    limits: Mapping[int, float]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class DriftCell:
    """The strongest test of one feature in one report."""

    report: str
    at: datetime
    feature: str
    method: str
    statistic: float
    p_value: float
    level: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One feature over the reports; None where a report did not test it."""

    feature: str
    cells: tuple[DriftCell | None, ...]


@dataclass(frozen=True, slots=True)
class DriftMap:
    """Features by reports, oldest report first, the most drifted feature first; `hidden` counts those left out."""

    times: tuple[datetime, ...]
    rows: tuple[DriftRow, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class EventView:
    """A line of the ledger in words. `reference` names what to look at, `link` is its page when there is one."""

    sequence: int
    at: datetime
    who: str
    model: str
    kind: str
    title: str
    text: str
    tone: Tone
    reference: str
    link: str | None
    digest: str
    previous: str


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """What the last promotion rested on, and the ledger's line that says so."""

    model: str
    evidence: Evidence
    forced: str | None
    sequence: int
    at: datetime
    digest: str
    previous: str


@dataclass(frozen=True, slots=True)
class Node:
    """One record on the way back from an answer. `verified` is None where nothing could be rechecked.

    `reason` says why it is broken, or could not be rechecked.
    """

    kind: str
    name: str
    detail: str
    verified: bool | None
    digest: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LineageView:
    """One answer, all the way back."""

    prediction: str
    nodes: tuple[Node, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of a model. `present` says that its bundle is on this machine; the rest is read from it."""

    number: int
    aliases: tuple[str, ...]
    registered: datetime
    run: str
    dataset: str
    bundle: str
    metrics: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    parity: Parity | None
    megabytes: float | None
    card: bool
    present: bool


@dataclass(frozen=True, slots=True)
class LoopView:
    """The page `/`. A part is None, or empty, when nothing of it has happened yet; `hint` says what would come next.

    `newest` is the newest version, `decision` the newest decision, `latest` the id of the newest answer.
    """

    frame: Frame
    hint: Hint | None
    data: DataView | None
    run: RunView | None
    newest: VersionView | None
    servers: tuple[ServerView, ...]
    traffic: TrafficView
    labels: LabelsView
    alarms: tuple[AlarmView, ...]
    quality: QualityView | None
    drift: DriftMap | None
    evidence: EvidenceView | None
    events: tuple[EventView, ...]
    decision: EventView | None
    latest: str | None


@dataclass(frozen=True, slots=True)
class ModelsView:
    """The page `/models`, newest version first."""

    frame: Frame
    hint: Hint | None
    versions: tuple[VersionView, ...]


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One answer. `text` is the sentence or the row that was asked about, cut; `picture` says that it was an image."""

    id: str
    at: datetime
    version: int
    output: str
    score: float | None
    label: str | None
    right: bool | None
    latency_ms: float
    text: str
    picture: bool


@dataclass(frozen=True, slots=True)
class PredictionsView:
    """The page `/predictions`, newest answer first; `total` counts all."""

    frame: Frame
    hint: Hint | None
    rows: tuple[PredictionRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class PredictionView:
    """The page of one answer: the answer itself, its likeliest classes, and its lineage."""

    frame: Frame
    row: PredictionRow
    scores: tuple[tuple[str, float], ...]
    lineage: LineageView


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One drift report in the list. `html` says that it has a page of its own."""

    id: str
    at: datetime
    version: int
    rows: int
    labelled: int
    drifted: tuple[str, ...]
    estimated: float | None
    measured: float | None
    html: bool


@dataclass(frozen=True, slots=True)
class DriftView:
    """The page `/drift`, newest report first; `shown` is the report that stands below the list."""

    frame: Frame
    hint: Hint | None
    map: DriftMap | None
    reports: tuple[ReportRow, ...]
    shown: ReportRow | None
    share: bool


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The page `/ledger`, newest line first. `broken` is the first line whose hash does not fit, None when all do."""

    frame: Frame
    hint: Hint | None
    events: tuple[EventView, ...]
    total: int
    broken: int | None
