"""What is refused is counted, by its reason, under Tidemill's name and under Triton's; and says when to come again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.errors import StorageError
from tidemill.ports import Answered
from tidemill.serve import failure
from tidemill.serve.failure import to_failure, without_paths
from tidemill.serve.inputs import rows
from tidemill.serve.job import Given
from tidemill.serve.keys import Keys
from tidemill.serve.limits import Access
from tidemill.serve.metrics import Meters
from tidemill.serve.rates import parse_rate
from tidemill.serve.tokens import add_token

from .bundles import ROW
from .conftest import App, load
from .held import Held, held_model
from .sockets import listening

TRITON = {"REJECTED", "CANCELED", "BACKEND", "OTHER"}
INFER = "/v2/models/price/infer"
PREDICT = "/v1/models/price:predict"


class Full(ParquetSink):
    """A disk without room."""

    def answered_at_once(self, batch: Answered) -> bool:
        raise StorageError("the disk is full", "free some space")

    def answered(self, batches: Sequence[Answered]) -> None:
        raise StorageError("the disk is full", "free some space")


@pytest.fixture
def held(made: Path, tmp_path: Path) -> Iterator[tuple[App, Held]]:
    """A server of one thread whose model takes 0.01 s a row, as it says, and as long as a test wants."""
    model, door = held_model(made / "reg", workers=1)
    app = App(model, tmp_path / "log")
    yield app, door
    door.open()
    app.close()


def counted(text: str) -> tuple[dict[str, float], dict[str, float]]:
    """Failures by reason: as Tidemill names them, and as Triton does; those that are not none."""
    own, triton = {}, {}
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            if each.name == "tidemill_request_failures_total" and each.value:
                own[each.labels["reason"]] = each.value
            if each.name == "nv_inference_request_failure":
                triton[each.labels["reason"]] = each.value
    assert set(triton) == TRITON  # all of them at any time, as Triton has it
    return own, {reason: count for reason, count in triton.items() if count}


def tensors(width: float, **more: Any) -> dict[str, Any]:
    values = {"width": width, "height": 0.0}
    return {"inputs": [{"name": n, "datatype": "FP32", "shape": [1], "data": [v]} for n, v in values.items()], **more}


def several(app: App, waiting: int, body: dict[str, Any], path: str = INFER) -> httpx.Response:
    """The answer to `body` while one request is computed, and `waiting` rows wait."""
    door = app.model.predictor.session
    assert isinstance(door, Held)

    async def scenario() -> httpx.Response:
        door.shut()
        slot = app.service.slots[0]
        pending = [asyncio.create_task(slot.ask(_rows(1), time.perf_counter()))]
        await door.came(len(door.runs) + 1)
        if waiting:
            pending.append(asyncio.create_task(slot.ask(_rows(waiting), time.perf_counter())))
            await asyncio.sleep(0)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app._app), base_url="http://localhost") as client:
            answer = await client.post(path, json=body)
        door.open()
        await asyncio.gather(*pending)
        return answer

    answer: httpx.Response = app.call(scenario)
    return answer


def _rows(number: int) -> Given:
    return rows("tabular", [ROW] * number)


@pytest.mark.parametrize(("waiting", "seconds"), [(50, "1"), (450, "5"), (800, "8")])
def test_a_full_queue(held: tuple[App, Held], monkeypatch: pytest.MonkeyPatch, waiting: int, seconds: str) -> None:
    app, _ = held
    monkeypatch.setattr("tidemill.serve.room.WAITING_ROWS", waiting)
    answer = several(app, waiting, {"inputs": [ROW]}, PREDICT)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, seconds), answer.text
    assert answer.json()["error"]["remedy"] == f"try again in {seconds} s"
    assert counted(app.get("/metrics").text) == ({"queue_full": 1}, {"REJECTED": 1})


def test_a_wait_that_is_too_long(held: tuple[App, Held]) -> None:
    app, _ = held
    answer = several(app, 1200, {"inputs": [ROW]}, PREDICT)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "12"), answer.text
    assert counted(app.get("/metrics").text) == ({"too_slow": 1}, {"REJECTED": 1})


@pytest.mark.parametrize("waiting", [0, 100], ids=["that ends while it waits", "that is shorter than the queue"])
def test_a_timeout_of_the_request(held: tuple[App, Held], waiting: int) -> None:
    app, _ = held
    answer = several(app, waiting, tensors(1, parameters={"timeout": 200_000}))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
    assert "0.2 s" in answer.json()["error"]
    assert counted(app.get("/metrics").text) == ({"timeout": 1}, {"REJECTED": 1})
    assert app.logged().num_rows == 1 + waiting


def test_a_timeout_that_does_not_end(held: tuple[App, Held]) -> None:
    app, _ = held
    for timeout in (0, 5_000_000):
        answer = app.post(INFER, json=tensors(7, parameters={"timeout": timeout, "priority": 3}))
        assert answer.status_code == 200, answer.text
    assert counted(app.get("/metrics").text) == ({}, {})


def test_an_input_that_the_model_has_no_number_for(held: tuple[App, Held]) -> None:
    app, _ = held
    assert app.post(PREDICT, json={"inputs": [{"width": 3e38, "height": 3e38}]}).status_code == 422
    assert counted(app.get("/metrics").text) == ({"input": 1}, {"BACKEND": 1})


def test_a_full_disk(made: Path, tmp_path: Path) -> None:
    app = App(load(made / "reg"), tmp_path, sink=Full(tmp_path))
    try:
        answer = app.post(PREDICT, json={"inputs": [ROW]})
        assert (answer.status_code, answer.headers["retry-after"]) == (507, "5")
        assert counted(app.get("/metrics").text) == ({"log": 1}, {"OTHER": 1})
    finally:
        app.close()


def test_a_token_that_asks_too_often(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    text, _ = add_token(path, "shop", ["predict", "admin"], parse_rate("2/h"))
    app = App(load(made / "reg"), tmp_path / "log", Access(loopback=False, token="for-the-metrics", keys=Keys(path)))
    headers = {"authorization": f"Bearer {text}"}
    try:
        with listening(app) as port:
            for way in (PREDICT, PREDICT + "?x", INFER, "/metrics", PREDICT):
                answer = httpx.post(f"http://localhost:{port}{way}", json={"inputs": [ROW]}, headers=headers)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 1000
        text = app.get("/metrics", headers={"authorization": "Bearer for-the-metrics"}).text
        assert counted(text) == ({"rate": 2}, {"REJECTED": 2})  # of predictions: the one of /metrics has no model
    finally:
        app.close()


def test_one_who_is_not_answered_in_time_is_answered_all_the_same_where_it_was_begun(held: tuple[App, Held]) -> None:
    """The timeout is that of the queue."""
    app, door = held

    async def scenario() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app._app), base_url="http://localhost") as client:
            await client.post(INFER, json=tensors(8))  # from now on there is a thread
            door.shut()
            asked = asyncio.create_task(client.post(INFER, json=tensors(9, parameters={"timeout": 1_000_000})))
            await door.came(2)
            await asyncio.sleep(1.2)
            door.open()
            return await asked

    answer = app.call(scenario)
    assert answer.status_code == 200, answer.text
    (scores, _, _) = answer.json()["outputs"]
    assert scores["data"] == [9.0]


def test_the_counts_of_several_workers_are_one(made: Path) -> None:
    served = load(made / "reg")
    one, other = Meters(), Meters()
    one.model(served).failures["rate"] += 2
    other.model(served).failures["rate"] += 3
    other.model(served).failures["log"] += 1
    text = one.together([json.loads(json.dumps(other.plain()))]).text().decode()

    assert counted(text) == ({"rate": 5, "log": 1}, {"REJECTED": 5, "OTHER": 1})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the bundle /home/ines/my models/.tidemill/b cannot be used", "the bundle … cannot be used"),
        ("'/srv/in two words/x' is gone", "'…' is gone"),
        ("/a/b c/d: see /docs or http://localhost/docs/x", "…: see /docs or http://localhost/docs/x"),
    ],
)
def test_places_on_this_machine_are_left_out(text: str, shown: str) -> None:
    assert without_paths(text) == shown


def test_what_befalls_every_request_is_said_once_and_then_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = StorageError("the disk is full of a test", "free some space")
    for number in range(50):
        assert to_failure(full, f"r{number}").status == 507
    assert capsys.readouterr().err == "request r0: the disk is full of a test; free some space\n"
    monkeypatch.setattr(failure, "_PAUSE", 0.0)
    to_failure(full, "r50")
    assert (
        capsys.readouterr().err == "request r50: the disk is full of a test; free some space (and 49 more before it)\n"
    )
