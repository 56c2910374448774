"""Sends what dead processes left in their spools."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tidemill.backends.trackers._shipper import Away, Delivery, Waits, say
from tidemill.backends.trackers._spool import Spool, waiting_spools
from tidemill.backends.trackers._store import MlflowStore
from tidemill.errors import StateError, StorageError, TidemillError, first_line


def ship_waiting(
    root: Path, store: MlflowStore, hear: Callable[[TidemillError], None]
) -> Iterator[tuple[str, int]]:  # fmt: skip
    """Ship what dead processes left below `root`, oldest first: each run's local id and how many entries were sent.

    A spool that cannot be read, or that is meant for another server, is told to `hear` and keeps nobody waiting. Raises
    Away at the first that the server cannot take now; it and the others stay.
    """
    waits: Waits | None = None
    for spool in waiting_spools(root, hear):
        try:
            check(spool, store)
            sent = _ship(spool, store)
        except TidemillError as error:
            hear(error)
        except Waits as error:
            waits = error
        else:
            if sent:
                yield spool.local, sent
    if waits is not None:
        raise waits


def check(spool: Spool, store: MlflowStore) -> None:
    """Say what of the spool was damaged. Closes it and raises StateError when it is meant for another server than
    `store`, StorageError when nothing in it can be sent."""
    if spool.damaged is not None:
        say(f"the disk altered what run {spool.local} has not sent yet; what is whole of it is sent")
        say(f"  as it was found: {spool.damaged}")
    if spool.headless():
        raise StorageError(
            f"what run {spool.local} has not sent cannot be read: its beginning is lost",
            f"it was moved to {spool.abandon()}",
        )
    address = spool.address()
    if address == store.address or (address is None and store.address):
        return
    spool.close()
    here = store.address or "the project's own database"
    raise StateError(
        f"what run {spool.local} has not sent is for {address or 'another tracking server'}, not for {here}",
        f"MLFLOW_TRACKING_URI={address or '…'} tidemill sync" if address != "" else "unset MLFLOW_TRACKING_URI",
    )


def _ship(spool: Spool, store: MlflowStore) -> int:
    sent, empty = spool.waiting(), False
    delivery = Delivery(spool, store)
    try:
        if sent:
            store.reach()
        while delivery.ship():
            pass
        empty = True
    except OSError as error:
        raise Away(first_line(error)) from error
    finally:
        spool.close(remove=empty)
    return sent
