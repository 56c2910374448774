"""A table whose columns are not those of the version before: each difference named, and what is done about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tidemill.dataset.checks.finding import EXAMPLES, Inspection
from tidemill.dataset.columns import is_number
from tidemill.dataset.facts import ColumnFacts
from tidemill.domain.dataset import Column, DatasetVersion
from tidemill.errors import nearest

if TYPE_CHECKING:
    import pyarrow as pa

    Casts = dict[str, tuple[pa.DataType, ...]]


@dataclass(slots=True)
class Plan:
    """How columns as they came become columns as they were. `names` maps each column of the packed table to the one of
    the file that it is read from; None where the file has none and it is filled with missing values."""

    names: dict[str, str | None]
    casts: Casts = field(default_factory=dict)
    stopping: dict[str, str] = field(default_factory=dict)
    converted: dict[str, str] = field(default_factory=dict)


def compare_names(previous: DatasetVersion, found: pa.Schema, inspection: Inspection) -> Plan:
    """Which column of the file is which of `previous`; what differs is noted in the plan."""
    convert = inspection.policy.schema == "convert"
    known = [column.name for column in previous.columns]
    spare = [name for name in found.names if name not in known]
    plan = Plan({})
    for column in previous.columns:
        if column.name in found.names:
            plan.names[column.name] = column.name
            continue
        other = next((name for name in spare if name.casefold() == column.name.casefold()), None)
        if other is not None:
            spare.remove(other)
            plan.names[column.name] = other
            (plan.converted if convert else plan.stopping)[column.name] = f"is called {other} here"
        elif convert and column.role != "target":
            plan.names[column.name] = None
            plan.converted[column.name] = "is missing, and filled with missing values"
        else:
            plan.stopping[column.name] = f"is missing (it was {column.type})"
    for name in spare:
        words = f"is new ({found.field(name).type})"
        if convert:
            plan.converted[name] = f"{words}, and left out"
        else:
            plan.stopping[name] = words
    return plan


def compare_types(
    previous: DatasetVersion, facts: Mapping[str, ColumnFacts], inspection: Inspection, plan: Plan
) -> None:
    """Add to `plan` the casts that give each column the type it had, where no value is lost, and what stops."""
    convert = inspection.policy.schema == "convert"
    for column in previous.columns:
        here = facts.get(column.name)
        if here is None or column.type == str(here.type):
            continue
        cast, words, harmless = _judge(column, here)
        if cast is not None and (harmless or convert):
            plan.casts[column.name] = (cast,)
            plan.converted[column.name] = words
        elif cast is None and harmless:
            plan.converted[column.name] = words
        else:
            plan.stopping[column.name] = words + (", which can be converted" if cast is not None else "")


def _judge(column: Column, here: ColumnFacts) -> tuple[pa.DataType | None, str, bool]:
    """The cast, what is said, and whether it is harmless enough to be done unasked."""
    import pyarrow as pa

    wanted, found = arrow_type(column.type), here.type
    was = f"is {found}, was {column.type}"
    if column.type == "null" or wanted is None:
        return None, f"was empty, is {found}" if column.type == "null" else was, column.type == "null"
    if pa.types.is_null(found):
        return wanted, f"is empty, was {column.type}", True
    numbers = is_number(wanted) and is_number(found)
    if here.wanted is not None and here.fits:
        return wanted, was, numbers or pa.types.is_string(wanted) or _same_family(wanted, found)
    if numbers:
        return pa.float64(), f"{was}, and holds numbers that {column.type} cannot: it becomes double", True
    if here.word is not None and is_number(wanted):
        return None, f"held numbers, but row {here.word[0]} holds {here.word[1]!r}", False
    return None, was, False


def _same_family(wanted: pa.DataType, found: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(wanted) and pa.types.is_timestamp(found))


def castable(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast between these types means the same, if it succeeds: a number is no date, 7 is not true."""
    import pyarrow as pa

    numbers = is_number(found) or pa.types.is_boolean(found)
    return not (numbers and pa.types.is_temporal(wanted)) and not (is_number(found) and pa.types.is_boolean(wanted))


def arrow_type(name: str) -> pa.DataType | None:
    """The Arrow type called `name`, as `str(type)` says it; None for one that no table here holds."""
    import pyarrow as pa

    zoned = re.fullmatch(r"timestamp\[(s|ms|us|ns), tz=(.+)\]", name)
    if zoned:
        return pa.timestamp(*zoned.groups())
    try:
        return pa.type_for_alias(name)
    except ValueError:
        return None


def report(plan: Plan, previous: DatasetVersion, path: object, inspection: Inspection) -> None:
    """Say what stops, and what was converted, column by column."""
    if plan.stopping:
        count = len(plan.stopping)
        headline, remedy = _headline(plan, previous, path)
        inspection.add(
            "schema", count, headline, remedy, action="stop",
            examples=(f"{name} {words}" for name, words in plan.stopping.items()), most=count,
            columns=dict(plan.stopping),
        )  # fmt: skip
    if plan.converted:
        count = len(plan.converted)
        inspection.add(
            "converted", count,
            f"{count} column{'' if count == 1 else 's'} came otherwise than in {previous.tag}, and "
            f"{'was' if count == 1 else 'were'} made to fit",
            examples=(f"{name} {words}" for name, words in plan.converted.items()), most=count,
            columns=dict(plan.converted),
        )  # fmt: skip


def _headline(plan: Plan, previous: DatasetVersion, path: object) -> tuple[str, str]:
    remedy = "convert what can be:  --schema convert;  take it as it is:  --schema new;  or give it another --name"
    if len(plan.stopping) == 1 and "held numbers, but " in (words := next(iter(plan.stopping.values()))):
        name, what = next(iter(plan.stopping)), words.removeprefix("held numbers, but ")
        return f"{path}: column {name!r} holds numbers in {previous.tag}, but {what}", "correct or empty that cell"
    known = [column.name for column in previous.columns]
    unlike = [name for name in plan.stopping if name not in known]
    gone = [name for name in plan.stopping if name in known and plan.stopping[name].startswith("is missing")]
    if len(gone) == len(unlike) == 1:
        remedy = f"is {unlike[0]} the new name of {gone[0]}? then rename it; otherwise " + remedy
    elif len(plan.stopping) == 1 and unlike and "did you" in (near := nearest(unlike[0], known)):
        remedy = f"{near} {remedy}"
    return f"{path} has other columns than {previous.tag}: {_listed(plan.stopping)}", remedy


def _listed(columns: Mapping[str, str]) -> str:
    shown = [f"{name!r} {words}" for name, words in list(columns.items())[:EXAMPLES]]
    more = len(columns) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def renamed(
    batch: pa.RecordBatch, names: Mapping[str, str | None], type_of: Callable[[str], pa.DataType]
) -> pa.RecordBatch:
    """The batch with the columns that `names` says, those that it lacks filled with missing values."""
    import pyarrow as pa

    columns = [
        batch.column(source) if source is not None else pa.nulls(batch.num_rows, type_of(name))
        for name, source in names.items()
    ]
    return pa.record_batch(columns, names=list(names))
