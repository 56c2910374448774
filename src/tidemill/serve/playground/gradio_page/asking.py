"""Requests to the server whose page this is, with the token of the person at the page."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_PATIENCE = httpx.Timeout(60.0, connect=5.0)  # seconds; the server says itself when it is busy


class RefusedError(Exception):
    """The server said no: `message` is what is wrong, `remedy` what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one input. `scores` are those of all classes, empty for regression; `seconds` there and back."""

    id: str
    model: str
    version: int
    said: str
    scores: Mapping[str, float]
    seconds: float


class Server:
    """The server at `url`. Where it shows a `certificate`, only that one is trusted, whatever name it bears."""

    def __init__(self, url: str, certificate: Path | None = None) -> None:
        verify = _only(certificate) if certificate else False  # without one, nothing is encrypted
        kept = httpx.Limits(max_keepalive_connections=0 if certificate else 4)  # an idle TLS one delays a server's end
        self._client = httpx.Client(base_url=url, verify=verify, timeout=_PATIENCE, trust_env=False, limits=kept)

    def models(self, token: str) -> list[dict[str, Any]]:
        """What is served, as `Shown.described` says it. Raises RefusedError, as all of these."""
        found: list[dict[str, Any]] = self._ask("GET", "/ui/models.json", token)
        return found

    def examples(self, model: Mapping[str, Any], token: str) -> dict[str, Any]:
        """Inputs with their true labels, and the usual ranges of numbers."""
        asked = {"model": model["name"], "version": str(model["version"])}
        found: dict[str, Any] = self._ask("GET", "/ui/examples.json", token, params=asked)
        return found

    def predict(self, model: Mapping[str, Any], given: object, token: str) -> Answer:
        """What the model says of one input; it answers by the version that is in service now."""
        began = time.perf_counter()
        answer = self._ask("POST", "/" + model["predict"], token, json={"inputs": [given]})
        seconds = time.perf_counter() - began
        first = answer["predictions"][0]
        said = first["class"] if "class" in first else str(first["value"])
        return Answer(first["id"], answer["model"], answer["version"], said, first.get("scores", {}), seconds)

    def feedback(self, prediction: str, label: str, token: str) -> bool:
        """Say what is right of a prediction; whether that was new."""
        answer = self._ask("POST", "/feedback", token, json={"prediction_id": prediction, "label": label})
        return not answer.get("unchanged")

    def _ask(self, method: str, path: str, token: str, **given: Any) -> Any:
        headers = {"authorization": token} if token else {}
        try:
            response = self._client.request(method, path, headers=headers, **given)
            content = response.json()
        except (httpx.HTTPError, ValueError):
            raise RefusedError("the server does not answer", "see whether it still runs, then try again") from None
        if response.is_success:
            return content
        error = content.get("error") if isinstance(content, dict) else None
        said = error if isinstance(error, dict) else {}
        raise RefusedError(said.get("message", f"the server says {response.status_code}"), said.get("remedy", ""))


def _only(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is asked on this machine, by whatever address it listens on
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context
