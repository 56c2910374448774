"""Watches the manifest of an alias. A new version is proven first, then it takes over; a bad one is refused."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tidemill.domain.deployment import Deployment
from tidemill.domain.record import from_plain
from tidemill.errors import GateError, NotFoundError, StorageError, TidemillError
from tidemill.serve.failure import without_paths
from tidemill.serve.logs import say
from tidemill.serve.model import ServedModel
from tidemill.serve.slot import Slot

POLL = 0.2  # seconds
_RETRY = 2.0  # seconds until a version is tried again that may only have been incomplete

Load = Callable[[Deployment, Path], ServedModel]
"""Loads and proves what a manifest names; the path is the bundle's directory."""


def read_manifest(path: Path) -> tuple[Deployment, Path]:
    """The manifest, and the directory of the bundle that it names. Raises NotFoundError or StorageError."""
    try:
        deployment = from_plain(Deployment, json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise NotFoundError(
            f"nothing is published as {path.parent.name}@{path.stem}",
            f"publish a version:  tidemill models promote {path.parent.name} VERSION",
        ) from None
    except (OSError, ValueError) as error:
        raise StorageError(f"the manifest {path} cannot be read: {error}", "publish the version again") from None
    return deployment, path.parent / deployment.place


class Watcher:
    """A thread that follows the manifest at `path` for `slot`."""

    def __init__(self, path: Path, slot: Slot, load: Load) -> None:
        self._path = path
        self._slot = slot
        self._load = load
        self._model = slot.model  # what was last put into service: the loop's thread may not have switched yet
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._seen: tuple[int, int, int] | None = None
        self._retry_at: float | None = None
        self._said = ""
        self._thread = threading.Thread(target=self._watch, name="manifest", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; a version that is just being proven does not come into service any more."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(POLL):
            stamp = self._stamp()
            due = self._retry_at is not None and time.monotonic() >= self._retry_at
            if stamp is not None and (stamp != self._seen or due):
                self._seen, self._retry_at = stamp, None
                self._follow()

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes with every publication; None while nothing is published, and then the old version stays."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _follow(self) -> None:
        named = self._path.stem
        try:
            deployment, directory = read_manifest(self._path)
            named = f"{deployment.name}/{deployment.version}"
            if (deployment.version, deployment.bundle) == (self._model.version, self._model.digest):
                self._said = ""
                self._tell(self._slot.refuse, None)
                return
            model = self._load(deployment, directory)
        except Exception as error:  # whatever is wrong with a new version, the old one goes on serving
            self._refuse(named, error)
        else:
            self._model, self._said = model, ""
            self._tell(self._slot.put, model)
            fields = {"event.action": "model-switched", "tidemill.model": model.name, "tidemill.version": model.version}
            say(f"now serving: {model.full_name}", level="info", **fields)

    def _refuse(self, named: str, error: Exception) -> None:
        if not isinstance(error, GateError):  # its answers will not change
            self._retry_at = time.monotonic() + _RETRY
        reason = error.headline if isinstance(error, TidemillError) else f"{type(error).__name__}: {error}"
        stays = self._model.full_name
        self._tell(self._slot.refuse, f"{named} is refused, {stays} stays: {without_paths(reason)}")
        if self._said == f"{named}: {reason}":  # it is tried every two seconds, perhaps all night
            return
        self._said = f"{named}: {reason}"
        fields = {"event.action": "model-refused", "tidemill.published": named, "tidemill.serving": stays}
        say(f"refused: {named}: {reason}", level="error", **fields, **{"error.type": type(error).__name__})

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        if not self._stop.is_set():
            self._loop.call_soon_threadsafe(call, *arguments)
