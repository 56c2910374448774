"""What pyarrow says about a file that it cannot read, as one line with a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidemill.errors import DataError


@contextmanager
def readable(file: Path, *, header: bool = False) -> Iterator[None]:
    """Inside, what pyarrow raises about `file` becomes a DataError that names it. `header` says whether its first line
    holds names: that is not counted as a row."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError) as error:
        raise _unreadable(file, str(error), header) from None
    except UnicodeDecodeError:
        raise encoding(file, "the column names") from None
    except OSError as error:
        if error.errno:
            raise
        raise _unreadable(file, str(error), header) from None


def _unreadable(file: Path, detail: str, header: bool) -> DataError:
    ragged = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", detail)
    if ragged:
        row, expected, got = ragged.groups()
        where = f"row {int(row) - header}" if row else "a row"
        return DataError(
            f"{file} is ragged: {where} has {got} cells where {expected} columns are named",
            "quote cells that hold the separator, or complete the line",
        )
    if "UTF8" in detail or "utf8" in detail.lower():
        return encoding(file, "a cell")
    first = detail.splitlines()[0] if detail else "unknown format"
    return DataError(f"{file} cannot be read: {first[:160]}", "check that the file is whole and is what its name says")


def encoding(file: Path, what: str, *, charset: str = "LATIN1") -> DataError:
    """`file` is in another encoding than UTF-8, as `what` shows."""
    return DataError(
        f"{file} is not UTF-8 ({what})", f"convert it:  iconv -f {charset} -t UTF-8 {file.name} > utf8-{file.name}"
    )
