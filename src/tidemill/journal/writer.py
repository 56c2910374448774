"""A writer's life: appends to its spool, syncs it in the background, changes to a new one, has the old sealed.

A process that is busy leaves sealing for a calmer moment, or for somebody else who has Arrow: spools count as they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tidemill.errors import StorageError, from_os_error
from tidemill.journal.calm import Calm
from tidemill.journal.spool import Spool
from tidemill.journal.sweep import can_seal, left, sweep

_TICK = 1.0  # seconds between two syncs
_RETRY = 300.0  # seconds until what could not be sealed is tried again
_QUIET = 0.25  # of a core; a process that takes more has no time to seal
_MOST = 512 << 20  # bytes of spools, and some are sealed however busy it is
_PARTING = 5.0  # seconds after which no further spool is sealed at the end
MUCH = 256 << 10  # bytes that are not written at once


class Writer:
    """Appends payloads to the log under `root`; safe to use from several threads.

    Another spool is begun when one holds `max_bytes` or `max_rows`, or is `max_age` seconds old. `tell` hears, from
    another thread, of each spool that cannot be sealed, once.
    """

    def __init__(
        self, root: Path, *, max_bytes: int = 64 << 20, max_rows: int = 100_000, max_age: float = 600.0,
        tell: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.root = root
        self._tell = tell
        self._limits = (max_bytes, max_rows, max_age)
        self._lock = threading.Lock()
        self._finished: list[Spool] = []  # to be synced, and let go
        self._synced = 0
        self._retry: dict[Path, float] = {}  # when each that could not be sealed is tried again
        self._told: set[Path] = set()
        self._until = float("inf")  # after that, at the end, no time is left for sealing
        self._stop = threading.Event()
        try:
            self._spool = Spool(root / "spool")
        except OSError as error:
            raise from_os_error(error, "opening the prediction log") from None
        self.calm = Calm(self._spool.path.parent)
        self._tender = threading.Thread(target=self._tend, name="prediction-log", daemon=True)
        self._sealer = threading.Thread(target=self._seal, name="prediction-log-sealer", daemon=True)
        self._tender.start()
        self._sealer.start()

    def append(self, payloads: Sequence[bytes], rows: int | None = None) -> None:
        """On return, `payloads` survive the death of this process. Raises StorageError, and then none was kept.

        `rows` is how many they have in all, where that is not one each.
        """
        with self._lock:
            if self._is_full():
                self._change()
            self._spool.append(payloads, len(payloads) if rows is None else rows)

    def append_at_once(self, payload: bytes, rows: int) -> bool:
        """As `append`, where nothing is waited for; or False, and nothing was written."""
        if not self.calm or len(payload) > MUCH or not self._lock.acquire(blocking=False):
            return False
        try:
            if self._is_full():
                return False
            began = time.perf_counter()
            self._spool.append([payload], rows)
            self.calm.wrote(time.perf_counter() - began)
        finally:
            self._lock.release()
        return True

    def close(self) -> None:
        """Let go of what was written, and seal what there is time for; the rest stays spools, and counts."""
        self._until = time.monotonic() + _PARTING
        self._stop.set()
        self._tender.join()
        self._sealer.join()
        with self._lock:
            self._finished.append(self._spool)
        self._let_go()
        if can_seal() and not self._late():
            for _ in sweep(self.root, give_up=self._late):
                if self._late():
                    break

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def _is_full(self) -> bool:
        max_bytes, max_rows, max_age = self._limits
        spool = self._spool
        if not spool.sound:
            return True
        old = spool.rows > 0 and time.monotonic() - spool.opened > max_age
        return old or spool.rows >= max_rows or spool.size >= max_bytes

    def _change(self) -> None:
        """Go on in a new spool. Where none can be made, a sound old one goes on; an unsound one must not."""
        try:
            fresh = Spool(self._spool.path.parent)
        except OSError as error:
            if self._spool.sound:
                return
            failure = from_os_error(error, "opening the prediction log")
            raise StorageError(failure.headline, failure.remedy) from None
        self._finished.append(self._spool)
        self._spool, self._synced = fresh, 0

    def _tend(self) -> None:
        while not self._stop.wait(_TICK):
            self._let_go()
            self._sync()
            with self._lock:
                if self._is_full() and self._spool.sound:
                    self._change()

    def _sync(self) -> None:
        spool, size = self._spool, self._spool.size
        if size == self._synced:
            return
        try:
            with self.calm.syncing():
                spool.sync()
        except StorageError:
            return  # the spool is marked: the next append opens another, or says why it cannot
        self._synced = size

    def _let_go(self) -> None:
        """Whoever seals them takes their locks."""
        while self._finished:
            spool = self._finished[0]
            with suppress(StorageError), self.calm.syncing():
                spool.sync()
            if not spool.rows and spool.sound:
                spool.path.unlink(missing_ok=True)  # before its lock is given back: nobody has begun to seal it
            spool.close()
            del self._finished[0]

    def _seal(self) -> None:
        """By another thread than syncs: it takes as long as it takes."""
        busy, seen = time.process_time(), time.monotonic()
        while can_seal() and not self._stop.wait(_TICK):
            took, since = time.process_time() - busy, time.monotonic() - seen
            if took < _QUIET * since or left(self.root) > _MOST:
                with suppress(Exception):  # whatever keeps it from looking: it looks again
                    self._sweep()
            busy, seen = time.process_time(), time.monotonic()

    def _sweep(self) -> None:
        """One spool, of this writer or of any that is gone."""
        now = time.monotonic()
        self._retry = {path: at for path, at in self._retry.items() if at > now}
        for path, failure in sweep(self.root, but=self._retry, give_up=self._late):
            if failure is None:
                return
            self._retry[path] = now + _RETRY
            if self._tell is not None and path not in self._told:
                self._told.add(path)
                self._tell(str(failure).splitlines()[0])
