"""Runs the page, and MLflow's beside it, until it is asked to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import uvicorn

from tidemill.errors import BusyError, ConfigError
from tidemill.project.layout import Layout
from tidemill.serve.limits import check_token, is_loopback
from tidemill.serve.run import listen
from tidemill.web.app import create_app
from tidemill.web.mlflow_ui import MlflowLink, MlflowPage

PORT = 8090


class _Server(uvicorn.Server):
    """Says when it listens; an orderly stop ends with exit code 0."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def run(
    layout: Layout,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    mlflow: bool = True,
    token: str | None = None,
    on_ready: Callable[[str, MlflowLink], None],
) -> None:
    """Serve the page of the project at `layout` until SIGTERM, SIGINT or SIGHUP.

    Without `port` it is 8090, or a free one when that is taken. `on_ready` is told the page's address and how MLflow's
    stands. Raises BusyError for a port in use, ConfigError when an address beyond loopback has no token.
    """
    if token is None and not is_loopback(host):
        raise ConfigError(
            f"{host} is reached from other machines, so a token is needed",
            "give --token-file FILE, or set TIDEMILL_TOKEN",
        )
    token = None if token is None else check_token(token)
    listener = _listen(host, port)
    child = _mlflow_page(layout) if mlflow else None
    try:
        address = _address(host, listener, token)
        app = create_app(layout, mlflow=lambda: _link(child, mlflow), loopback=is_loopback(host), token=token)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", proxy_headers=False,
            server_header=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        if child is not None:
            child.start()
        _Server(config, lambda: on_ready(address, _link(child, mlflow))).run(sockets=[listener])
    finally:
        if child is not None:
            child.stop()
        listener.close()


def _listen(host: str, port: int | None) -> socket.socket:
    if port is not None:
        return listen(host, port)
    try:
        return listen(host, PORT)
    except BusyError:
        return listen(host, 0)


def _address(host: str, listener: socket.socket, token: str | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}/" + (f"?token={token}" if token else "")


def _mlflow_page(layout: Layout) -> MlflowPage | None:
    """MLflow's page on a free port; None where a tracking server has one already."""
    if os.environ.get("MLFLOW_TRACKING_URI", "").startswith(("http://", "https://")):
        return None
    with listen("127.0.0.1", 0) as free:
        port = int(free.getsockname()[1])
    return MlflowPage(layout, port)


def _link(child: MlflowPage | None, wanted: bool) -> MlflowLink:
    if child is not None:
        return child.link
    if not wanted:
        return MlflowLink("off")
    parts = urlsplit(os.environ["MLFLOW_TRACKING_URI"])
    return MlflowLink("ready", parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
