"""Clients that ask without a pause, and remember every answer."""

from __future__ import annotations

import http.client
import json
import threading
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from .bundles import picture


class Load:
    """Threads that send pictures to digits. `answered` maps prediction ids to versions; `failed` says what else came.

    A connection that is refused, or that ends where the server said it would, is no failure: nothing was asked in it.
    """

    def __init__(self, url: str, *, clients: int = 4) -> None:
        self._address = urlsplit(url).netloc
        self.answered: dict[str, int] = {}
        self.failed: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def wait_for(self, count: int, version: int | None = None) -> None:
        """Until so many answers came, of `version` if one is given."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            versions = list(self.answered.values())
            if (len(versions) if version is None else versions.count(version)) >= count:
                return
            time.sleep(0.01)
        raise AssertionError(f"only {len(self.answered)} answers came; failures: {self.failed[:3]}")

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        body = picture(number)
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(self._address, timeout=30)
            try:
                connection.connect()
            except OSError:
                return
            try:
                self._converse(connection, body)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                return
            finally:
                connection.close()

    def _converse(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        while not self._stop.is_set():
            connection.request("POST", "/v1/models/digits:predict", body, {"Content-Type": "image/png"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                self.failed.append(content.decode())
                time.sleep(0.05)
                continue
            document = json.loads(content)
            self.answered[document["predictions"][0]["id"]] = document["version"]
            if answer.getheader("Connection") == "close":
                return

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
