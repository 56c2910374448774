"""From a data version or a model version down to the answers that came of it. Reads the ledger and the log alone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from tidemill.domain.digest import Digest
from tidemill.errors import InputError, NotFoundError, nearest
from tidemill.project import models
from tidemill.project.layout import Layout
from tidemill.project.repository import Objects
from tidemill.stages.descend import Descent, Offspring, offspring
from tidemill.stages.trace import broken_line

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.domain.registry import Event

_TAG = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)-v\d+\.\d+\.\d+")
FORMS = (
    "a prediction's id (26 letters and digits), a model version (digits@champion, digits/3) "
    "or a data version (digits-v1.0.0)"
)


def descend(layout: Layout, subject: str) -> Descent:
    """What came of `subject`: a data version's tag, or name@alias or name/version.

    Raises InputError for anything else, NotFoundError for a data version or model that there is not.
    """
    events = models.ledger(layout).events()
    line = broken_line(events)
    problem = "" if line is None else f"the ledger was altered at line {line}"
    if _TAG.fullmatch(subject):
        digest = _data_digest(layout, subject, events)
        versions = offspring(events, subject)
        return Descent("data", subject, digest, _counted(layout, versions), problem)
    if "@" not in subject and "/" not in subject:
        raise _not_traced(subject, events)
    version = models.resolve(layout, subject)
    versions = [each for each in offspring(events) if (each.name, each.number) == (version.name, version.number)]
    return Descent("model", str(version), version.bundle, _counted(layout, versions), problem)


def _not_traced(subject: str, events: Sequence[Event]) -> InputError:
    versions = [str(each.payload["version"]) for each in events if (each.kind, each.model) == ("registered", subject)]
    if versions:
        return InputError(
            f"{subject} is a model: its versions are traced one by one",
            f"say which:  tidemill trace {subject}/{versions[-1]}, or {subject}@champion",
        )
    return InputError(f"{subject[:80]!r} cannot be traced", f"give {FORMS}")


def answer_ids(layout: Layout, descent: Descent) -> Iterator[str]:
    """The ids of all answers of `descent`, oldest first within each file of the log."""
    wanted = {(each.name, each.number) for each in descent.versions}
    for table in _answered(layout):
        columns = [table.column(name).to_pylist() for name in ("id", "model", "version")]
        yield from (each for each, model, number in zip(*columns, strict=True) if (model, number) in wanted)


def _data_digest(layout: Layout, tag: str, events: Sequence[Event]) -> Digest | None:
    """The digest in the record at the tag. Raises NotFoundError where neither git nor the ledger know the tag."""
    match = _TAG.fullmatch(tag)
    assert match is not None
    with Objects(layout) as objects:
        (record,) = objects.get([f"{tag}:./data/{match[1]}.json"])
    if record is not None:
        try:
            return Digest(json.loads(record)["digest"])
        except (ValueError, KeyError, TypeError):
            return None
    known = {str(event.payload.get("dataset")) for event in events if event.kind == "registered"}
    if tag in known:
        return None
    raise NotFoundError(f"there is no data version {tag[:80]}", nearest(tag, known, kind="data versions with a model"))


def _counted(layout: Layout, versions: Sequence[Offspring]) -> tuple[Offspring, ...]:
    """`versions` with what the log holds of each."""
    counts = {(each.name, each.number): each for each in versions}
    for table in _answered(layout) if versions else ():
        grouped = table.group_by(["model", "version", "bundle"])
        for row in grouped.aggregate([("id", "count"), ("at", "min"), ("at", "max")]).to_pylist():
            if found := counts.get((row["model"], row["version"])):
                counts[found.name, found.number] = replace(
                    found,
                    answers=found.answers + row["id_count"],
                    foreign=found.foreign + (row["id_count"] if row["bundle"] != found.bundle else 0),
                    first=min(filter(None, (found.first, row["at_min"]))),
                    last=max(filter(None, (found.last, row["at_max"]))),
                )
    return tuple(counts.values())


def _answered(layout: Layout) -> Iterator[pa.Table]:
    """Which version gave which answer, a table a file of the log, each answer once; what was asked is not read.

    Running spools are read before the sealed files are listed, as `journal.read` does: one that is sealed meanwhile is
    seen in both forms, and its sealed form counts.
    """
    import pyarrow.parquet as pq

    from tidemill.journal.damage import readable
    from tidemill.journal.heads import ANSWERED, Heads
    from tidemill.journal.segments import segments
    from tidemill.journal.tails import spools

    live = {}
    for path in spools(layout.log):
        tail = Heads(path)
        with suppress(FileNotFoundError):
            tail.advance()
            live[path.stem] = tail
    for segment in segments(layout.log, "predictions"):
        live.pop(segment.stem, None)
        with readable(segment.path):
            table = pq.read_table(segment.path, columns=list(ANSWERED))
        yield table
    for tail in live.values():
        yield tail.answered()
