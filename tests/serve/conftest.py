"""Servers to ask: the application in this process, and the real one as a process of its own."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tidemill.backends.runtimes.onnx import OnnxRuntime
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.journal.read import Journal
from tidemill.ports import PredictionSink
from tidemill.project.layout import Layout
from tidemill.serve.app import build_app
from tidemill.serve.limits import Access
from tidemill.serve.model import ServedModel, load_model
from tidemill.serve.service import Service

from . import bundles

PROOFS = Path(tempfile.mkdtemp(prefix="tidemill-proofs-"))
"""Which bundles were tried: one folder for all tests of a process."""
LOOPBACK = Access(loopback=True, token=None)


def load(directory: Path, version: int = 1) -> ServedModel:
    """A bundle of `bundles` as the server loads it."""
    name = {"img": "digits", "tab": "sizes", "reg": "price", "txt": "mood"}.get(directory.name, "digits")
    return load_model(
        directory, name=name, version=version, expected=None, runtime=OnnxRuntime(), threads=1, proofs=PROOFS
    )


class App:
    """The application with a real log, on an event loop of its own; asked as a client would, without a socket."""

    def __init__(self, model: ServedModel, log: Path, access: Access = LOOPBACK, sink: PredictionSink | None = None):
        self.log = log
        self.model = model
        self._sink = sink or ParquetSink(log)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.service: Service = self.call(self._build, access)

    def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call `function` on the loop's thread; wait for it, and for what it gives if that is a coroutine."""

        async def run() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=60)

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
                return await client.request(method, path, **given)

        response: httpx.Response = self.call(ask)
        return response

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.request("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)

    def predict(self, inputs: list[Any]) -> httpx.Response:
        return self.post(f"/v1/models/{self.model.name}:predict", json={"inputs": inputs})

    def logged(self) -> Any:
        """The log's table of predictions."""
        return Journal(self.log).predictions()

    def close(self) -> None:
        self.call(self.service.drain)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._sink.close()

    def _build(self, access: Access) -> Service:
        service = Service([self.model], self._sink, Journal(self.log))
        self._app = build_app(service, access)
        return service


Start = Callable[..., App]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts applications, and ends them after the test."""
    started: list[App] = []

    def begin(bundle: Path, access: Access = LOOPBACK, sink: PredictionSink | None = None) -> App:
        started.append(App(load(bundle), tmp_path / f"log{len(started)}", access, sink))
        return started[-1]

    yield begin
    for app in started:
        app.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for each task: img, tab, reg (regression) and txt; not to be changed."""
    root = tmp_path_factory.mktemp("bundles")
    bundles.image_bundle(root / "img")
    bundles.tabular_bundle(root / "tab")
    bundles.tabular_bundle(root / "reg", regression=True, name="price")
    bundles.text_bundle(root / "txt")
    return root


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project that serves digits@champion, version 1."""
    root = tmp_path / "a project"
    root.mkdir()
    (root / "tidemill.toml").write_text('[project]\nname = "digits"\ntask = "image"\n')
    layout = Layout(root)
    bundles.publish(layout.serving, store(layout, seed=1), 1)
    return layout


def store(layout: Layout, *, seed: int, **given: Any) -> Path:
    """An image bundle among the project's, under its digest."""
    from tidemill.bundle.read import open_bundle

    beside = bundles.image_bundle(layout.bundles / f"making-{seed}", seed=seed, **given)
    final = layout.bundle(open_bundle(beside).digest)
    return beside.rename(final)
