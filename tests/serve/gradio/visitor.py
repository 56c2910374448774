"""Somebody at the page, without a browser: asks as Gradio's own script does, through the server."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import httpx

DONE = "process_completed"


class Visitor:
    """One open page. What it holds is found by the label or the text of its components."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self._session = secrets.token_hex(6)
        config = client.get("/ui/config").json()
        self._components = {each["id"]: each for each in config["components"]}
        self._events = {each["id"]: each for each in config["dependencies"]}
        self.shown: dict[int, Any] = {}

    def open(self) -> None:
        """Load the page, and the panel of its first model."""
        self.open_head()
        self._render()

    def open_head(self) -> None:
        self._run(next(each for each in self._events.values() if [t[1] for t in each["targets"]] == ["load"]))

    def choose(self, model: str) -> None:
        self.fire("Model", "input", model)
        self._render()

    def fire(self, name: str, event: str, *given: Any, chosen: Any = None) -> None:
        """Have an event of the component with this label or text happen; `given` are its inputs, states left out."""
        target = self._find(name)["id"]
        found = next(each for each in reversed(self._events.values()) if [target, event] in each["targets"])
        self._run(found, list(given), target, chosen)

    def example(self, number: int) -> None:
        """Choose one of the examples."""
        kind = next(each for each in reversed(self._components.values()) if each["type"] in ("gallery", "dataset"))
        found = next(each for each in self._events.values() if [kind["id"], "select"] in each["targets"])
        self._run(found, [], kind["id"], {"index": number, "value": None, "selected": True})

    def says(self, name: str) -> Any:
        """The value of a component."""
        return self.shown.get(self._find(name)["id"])

    @property
    def text(self) -> str:
        """All that stands on the page as text."""
        kinds = [key for key, each in self._components.items() if each["type"] == "markdown"]
        return "\n".join(str(self.shown.get(key, "")) for key in kinds)

    @property
    def fields(self) -> list[str]:
        return [str(each["props"].get("label")) for each in self._components.values() if each["props"].get("label")]

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Send a file; what describes it to an event."""
        (path,) = self.client.post("/ui/gradio_api/upload", files={"files": (name, content)}).raise_for_status().json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def _find(self, name: str) -> dict[str, Any]:
        for each in reversed(self._components.values()):
            if name in (each["props"].get("label"), each["props"].get("value")):
                found: dict[str, Any] = each
                return found
        raise AssertionError(f"nothing on the page says {name}: {self.fields}")

    def _render(self) -> None:
        (event,) = (
            each for each in self._events.values() if each["rendered_in"] is None and each["targets"][0][1] == "change"
        )
        self._run(event, [None])

    def _run(
        self, event: dict[str, Any], given: list[Any] | None = None, target: int | None = None, chosen: Any = None
    ) -> None:
        waiting = list(given or [])
        data = [
            None if self._components[key]["type"] == "state" or not waiting else waiting.pop(0)
            for key in event["inputs"]
        ]
        asked = {
            "data": data, "fn_index": event["id"], "session_hash": self._session, "event_data": chosen,
            "trigger_id": target,
        }  # fmt: skip
        self.client.post("/ui/gradio_api/queue/join", json=asked).raise_for_status()
        output = self._hear()
        if changed := output.get("render_config"):
            self._components |= {each["id"]: each for each in changed["components"]}
            self._events |= {each["id"]: each for each in changed["dependencies"]}
        for key, value in zip(event["outputs"], output["data"], strict=False):
            self._take(key, value)

    def _take(self, key: int, value: Any) -> None:
        if isinstance(value, dict) and value.get("__type__") == "update":
            if "value" not in value:
                return
            value = value["value"]
        self.shown[key] = value

    def _hear(self) -> dict[str, Any]:
        ends = time.monotonic() + 60
        with self.client.stream("GET", "/ui/gradio_api/queue/data", params={"session_hash": self._session}) as stream:
            stream.raise_for_status()
            for line in stream.iter_lines():
                assert time.monotonic() < ends
                if line.startswith("data:") and (said := json.loads(line[5:]))["msg"] == DONE:
                    assert said["success"], said
                    output: dict[str, Any] = said["output"]
                    return output
        raise AssertionError("the stream ended without an answer")
