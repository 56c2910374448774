"""A client as anybody's: posts pictures to the server over HTTP, keeps the answers, and counts both."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tidemill.errors import TidemillError


@dataclass(frozen=True, slots=True)
class Picture:
    """A labelled picture file."""

    name: str
    content: bytes
    label: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one picture."""

    picture: Picture
    prediction_id: str
    output: str
    version: int


@dataclass
class Tally:
    """Requests sent, and what became of them. `failures` holds the first line of each refusal."""

    sent: int = 0
    replies: list[Reply] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Client:
    """Sends over `connections` kept-alive connections to `url`, model `name`."""

    def __init__(self, url: str, name: str, *, connections: int = 4) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._path = f"/v1/models/{name}:predict"
        self._connections = connections
        self._lock = threading.Lock()
        self.tally = Tally()

    def send(self, pictures: Sequence[Picture], on_reply: Callable[[int], None] | None = None) -> list[Reply]:
        """Each picture once; the replies in no particular order."""
        began = len(self.tally.replies)
        work = iter(pictures)
        self._run(lambda: self._drain(work, on_reply, began))
        return self.tally.replies[began:]

    def send_until(self, pictures: Sequence[Picture], stop: threading.Event, *, pause: float = 0.002) -> None:
        """The pictures again and again until `stop` is set."""

        def go() -> None:
            connection = self._connect()
            for picture in itertools.cycle(pictures):
                if stop.is_set():
                    break
                self._post(connection, picture)
                time.sleep(pause)
            connection.close()

        self._run(go)

    def feedback(self, replies: Sequence[Reply]) -> int:
        """Post the true labels of `replies`; how many the server took."""
        connection = self._connect()
        body = json.dumps([{"prediction_id": r.prediction_id, "label": r.picture.label} for r in replies])
        connection.request("POST", "/feedback", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        if response.status != 200:
            raise TidemillError(f"the server refused the feedback: {answer}")
        return len(replies)

    def _drain(self, work: Any, on_reply: Callable[[int], None] | None, began: int) -> None:
        connection = self._connect()
        while True:
            with self._lock:
                picture = next(work, None)
            if picture is None:
                break
            self._post(connection, picture)
            if on_reply is not None:
                on_reply(len(self.tally.replies) - began)
        connection.close()

    def _run(self, target: Callable[[], None]) -> None:
        threads = [threading.Thread(target=target, daemon=True) for _ in range(self._connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=30)

    def _post(self, connection: http.client.HTTPConnection, picture: Picture) -> None:
        """One upload, as `curl -F file=@…` sends it. No retry: a lost request must show."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{picture.name}"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        body = head.encode() + picture.content + f"\r\n--{boundary}--\r\n".encode()
        with self._lock:
            self.tally.sent += 1
        try:
            connection.request("POST", self._path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with self._lock:
                self.tally.failures.append(f"{type(error).__name__}: {error}")
            return
        with self._lock:
            if response.status != 200:
                self.tally.failures.append(f"{response.status}: {content[:200].decode(errors='replace')}")
                return
            answer = json.loads(content)
            row = answer["predictions"][0]
            self.tally.replies.append(Reply(picture, row["id"], row["class"], int(answer["version"])))
