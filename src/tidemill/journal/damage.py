"""Says of a damaged file of the log that it is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from tidemill.errors import StorageError


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raises StorageError for what a damaged file, or one that the log did not write, does to Arrow."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        said = str(error).strip().split("\n", 1)[0][:200]
        raise StorageError(
            f"{path.name} of the prediction log is damaged: {said}",
            "restore it from a backup, or move it out of the log to go on without its rows",
        ) from None
