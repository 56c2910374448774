"""Every error Tidemill raises on purpose: one class per remedy.

    TidemillError                 exit 1, HTTP 500
    ├── InputError                exit 2, HTTP 422   what was given is wrong
    │   ├── ItemError             exit 2, HTTP 422   one item of a batch; `index` says which
    │   ├── ConfigError           exit 2, HTTP 422   a key, group or type in the configuration
    │   ├── DataError             exit 2, HTTP 422   a data set or a file in it
    │   ├── NotFoundError         exit 2, HTTP 404   a name, version, alias, run or prediction
    │   └── StateError            exit 2, HTTP 409   the repository or project is not in a state for this
    ├── GateError                 exit 1, HTTP 409   evidence, parity or golden requests did not hold
    ├── FeedError                 exit 1, HTTP 500   a graph does not take the tensors it was given
    ├── BundleError               exit 1, HTTP 500   a bundle that fails its audit
    ├── StorageError              exit 1, HTTP 507   disk full, file not writable, database locked or away
    ├── BusyError                 exit 1, HTTP 503   a port, lock or queue is taken by somebody else
    └── MissingExtraError         exit 1, HTTP 501   an optional part is not installed

An error has a headline (what is wrong) and a remedy (what to do). The terminal renders them in `tidemill.cli.failure`,
the server in `tidemill.serve.failure`.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class TidemillError(Exception):
    """The work failed. `headline` says what is wrong in one line, `remedy` what to do about it."""

    exit_code = 1
    http_status = 500

    def __init__(self, headline: str, remedy: str = "") -> None:
        super().__init__(headline if not remedy else f"{headline}\n{remedy}")
        self.headline = headline
        self.remedy = remedy


class InputError(TidemillError):
    """What was given is wrong; nothing was changed."""

    exit_code = 2
    http_status = 422


class ItemError(InputError):
    """One item of a batch is wrong, and the others may be fine. `index` counts from 0."""

    def __init__(self, index: int, headline: str, remedy: str = "") -> None:
        super().__init__(headline, remedy)
        self.index = index


class ConfigError(InputError):
    """A configuration key, group, choice or value is wrong."""


class DataError(InputError):
    """A data set, or a file in it, cannot be used."""


class NotFoundError(InputError):
    """A name that does not exist. The remedy lists the nearest ones that do."""

    http_status = 404


class StateError(InputError):
    """The repository or the project is not in a state that allows this."""

    http_status = 409


class GateError(TidemillError):
    """A gate (parity, evidence, golden requests) did not hold."""

    http_status = 409


class FeedError(TidemillError):
    """A graph does not take the shapes or values of the tensors it was given; whose they are, the caller knows."""


class BundleError(TidemillError):
    """A bundle that fails its audit: altered, incomplete, hostile, or newer than this program."""


class StorageError(TidemillError):
    """The disk is full, a file cannot be written, or the database is locked or away."""

    http_status = 507


class BusyError(TidemillError):
    """Something needed is taken: a port, a lock, a place in the queue."""

    http_status = 503
    retry_after = 1  # seconds, as HTTP says it


class MissingExtraError(TidemillError):
    """An optional part of Tidemill is not installed."""

    http_status = 501

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs a part of Tidemill that is not installed",
            f"install it:  pip install 'tidemill[{extra}]'",
        )


def nearest(name: str, known: Iterable[str], *, kind: str = "known names") -> str:
    """A remedy line that lists the known names nearest to `name`, or all of them when few."""
    names = sorted(set(known))
    if not names:
        return f"there are no {kind} yet"
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{kind}: {shown}"


def first_line(error: BaseException) -> str:
    """What an error of another library says, as far as it fits into a headline; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def from_message(message: str) -> TidemillError | None:
    """Libraries wrap what the system or the database said in errors of their own; the words are all that is left."""
    said = message.lower()
    if "no space left on device" in said or "disk is full" in said or "disk full" in said:
        return StorageError("the disk is full", "free some space and run the same command again")
    if "database is locked" in said:
        return BusyError("the project's database is locked by another program", "close what holds it, then try again")
    if "readonly database" in said:
        return StorageError("no permission to write the project's database", "check who owns the project's folder")
    return None


def from_os_error(error: OSError, doing: str) -> TidemillError:
    """The one place that gives an `OSError` a headline and a remedy; `doing` is a phrase like 'writing the bundle'."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"the disk is full while {doing}{where}", "free some space and run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"no permission while {doing}{where}", "check who owns the folder and whether it is writable"
        )
    if error.errno == errno.EADDRINUSE:
        return BusyError(
            f"the port is already in use while {doing}", "choose another with --port, or stop what listens there"
        )
    if error.errno == errno.ENOENT:
        return NotFoundError(f"no such file or folder while {doing}{where}", "check the path")
    return StorageError(
        f"{error.strerror or error} while {doing}{where}", "check the disk and run the same command again"
    )
