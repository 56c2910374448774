"""What the server says on standard error: one document of the Elastic Common Schema a line."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidemill.files import write_atomic
from tidemill.project.layout import Layout
from tidemill.serve import logs

from . import bundles
from .bundles import ROW
from .conftest import store
from .test_workers import workers_of

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@contextmanager
def as_json() -> Iterator[None]:
    """Not a fixture: between setup and test, pytest puts a stream of its own in place."""
    logs.use("json")
    try:
        yield
    finally:
        logs.use("text")


def _documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_of_a_server_is_a_document(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", str(made / "tab"), "--port", "0", "--access-log"]
    process = subprocess.Popen(
        [*command, "--log-format", "json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[3]
    headers = {"x-request-id": "mine-1", "traceparent": TRACEPARENT}
    httpx.post(f"{url}/v1/models/sizes:predict", json={"inputs": [ROW]}, headers=headers)
    httpx.post(f"{url}/v1/models/sizes:predict?x", json={"inputs": []}, headers={"traceparent": "nonsense"})
    process.send_signal(signal.SIGTERM)
    said = _documents(process.communicate(timeout=30)[1])

    quick, refused = [each for each in said if each["event.dataset"] == "tidemill.access"]
    assert (said[0]["event.action"], said[0]["url.full"]) == ("server-ready", url)
    assert quick | {"@timestamp": "", "event.duration": 0} == {
        "@timestamp": "", "log.level": "info", "message": "POST /v1/models/sizes:predict 200", "ecs.version": logs.ECS,
        "service.name": "tidemill", "process.pid": process.pid, "event.dataset": "tidemill.access", "event.duration": 0,
        "event.outcome": "success", "http.request.id": "mine-1", "http.request.method": "POST",
        "http.response.status_code": 200, "url.path": "/v1/models/sizes:predict", "client.ip": "127.0.0.1",
        "trace.id": "0af7651916cd43dd8448eb211c80319c",
    }  # fmt: skip
    assert 0 < quick["event.duration"] < 30e9
    assert (refused["http.response.status_code"], refused["event.outcome"]) == (422, "failure")
    assert "trace.id" not in refused
    assert process.returncode == 0


def test_a_refused_version_is_a_document_of_its_own(layout: Layout) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", "digits@champion", "--port", "0", "--log-format", "json"]
    other = store(layout, seed=2)  # not what the manifest will say
    with subprocess.Popen(
        command, cwd=layout.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stderr.readline()
            manifest = layout.serving / "digits" / "champion.json"
            named = json.loads(manifest.read_bytes())
            write_atomic(manifest, json.dumps({**named, "version": 2, "place": str(other)}).encode())
            said = json.loads(process.stderr.readline())
        finally:
            process.terminate()

    assert said["message"].startswith("refused: digits/2: ")
    assert (said["log.level"], said["event.action"], said["error.type"]) == ("error", "model-refused", "BundleError")
    assert (said["tidemill.published"], said["tidemill.serving"]) == ("digits/2", "digits/1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["digits@nobody"], "there is no"),
        (["nothing@champion"], "nothing"),
        (["digits@champion", "--host", "0.0.0.0"], "a token is needed"),  # noqa: S104 - it refuses to
        (["digits@champion", "--port", "70000"], "70000"),
        (["digits@champion", "--no-such-option"], "--no-such-option"),
        ([], "MODEL"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_document(layout: Layout, arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", *arguments, "--log-format", "json"]
    done = subprocess.run(command, cwd=layout.root, capture_output=True, text=True, timeout=60, check=False)

    (document,) = _documents(done.stderr)
    assert done.returncode == 2
    assert said in document["message"]
    assert document["log.level"] == "error"


def test_the_death_of_a_worker_and_its_successor_are_documents(layout: Layout) -> None:
    command = [sys.executable, "-m", "tidemill", "serve", "digits@champion", "--port", "0", "--workers", "2"]
    with subprocess.Popen(
        [*command, "--log-format=json"], cwd=layout.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        ready = json.loads(process.stderr.readline())
        first, _ = workers_of(process.pid)
        os.kill(first, signal.SIGKILL)
        ended = json.loads(process.stderr.readline())
        bundles.publish(layout.serving, store(layout, seed=2), 2)
        switched = {json.loads(process.stderr.readline())["process.pid"]}  # of one worker at least
        process.terminate()
        rest = _documents(process.stderr.read())

    assert (ready["event.action"], ready["process.pid"]) == ("server-ready", process.pid)
    assert (ended["event.action"], ended["tidemill.worker.pid"], ended["process.exit_code"]) == (
        "worker-ended",
        first,
        -9,
    )
    assert ended["log.level"] == "error"
    assert process.pid not in switched
    assert {each["event.action"] for each in rest} <= {"model-switched"}


def test_what_a_client_or_a_library_writes_stays_within_its_document(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {"method": "GET", "path": '/"\n{"log.level": "x"}\udcff', "client": None, "headers": []}
    with as_json():
        logs.say_request(scope, "1", 404, 0.001)
        print("a line\nand another", file=sys.stderr)
        print("two", "pieces", file=sys.stderr)

    access, printed, pieces = _documents(capsys.readouterr().err)
    assert (access["url.path"], access["client.ip"]) == (scope["path"], "")
    assert printed["message"] == "a line\nand another"
    assert pieces["message"] == "two pieces"


def test_threads_do_not_mix_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    def say() -> None:
        for _ in range(200):
            print("one", "two", "three", file=sys.stderr)

    threads = [threading.Thread(target=say) for _ in range(4)]
    with as_json():
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    assert {each["message"] for each in _documents(capsys.readouterr().err)} == {"one two three"}


def test_what_libraries_log_and_what_nobody_foresaw_are_documents_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise ValueError("two\nlines")

    other = logging.getLogger("somebody.else")  # of this test alone: MLflow's migrations switch off all that there are

    with as_json(), warnings.catch_warnings(action="default"):
        logging.captureWarnings(True)
        other.error("a task %s", "failed", exc_info=ValueError("why"))
        logging.getLogger("quiet").info("nobody asked")
        warnings.warn("something is old", stacklevel=1)
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        sys.excepthook(KeyError, KeyError("k"), None)

    logged, warned, ended, crashed = _documents(capsys.readouterr().err)
    assert (logged["log.logger"], logged["log.level"], logged["message"]) == ("somebody.else", "error", "a task failed")
    assert logged["error.type"] == "ValueError"
    assert (warned["log.logger"], warned["log.level"]) == ("py.warnings", "warn")
    assert (ended["error.message"], crashed["error.type"]) == ("two\nlines", "KeyError")
    assert ended["error.stack_trace"].startswith("Traceback")


def test_as_text_messages_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    logs.say("now serving", level="info", other=1)
    assert capsys.readouterr().err == "now serving\n"


def test_a_standard_error_that_takes_nothing_stops_nobody() -> None:
    scope: dict[str, Any] = {"method": "POST", "path": "/v1", "headers": [], "client": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", _Full())
        logs.say("nobody hears it")
        logs.say_crash("nor this", ValueError("why"))
        logs.say_request(scope, "id", 200, 0.1)
        with as_json():
            logs.say("nor as a document")
            logs.say_request(scope, "id", 200, 0.1)


class _Full(io.TextIOBase):
    """As a file on a full disk: what is written is not taken."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")
