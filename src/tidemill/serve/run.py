"""Runs the application under uvicorn until it is asked to stop; then everything that was taken is answered."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from tidemill.errors import BusyError, InputError, from_os_error
from tidemill.journal.find import Answers
from tidemill.serve.accepting import OneByOne
from tidemill.serve.app import Guard, Ui, build_app
from tidemill.serve.limits import Access
from tidemill.serve.logs import say
from tidemill.serve.model import ServedModel
from tidemill.serve.quick import QuickProtocol
from tidemill.serve.service import Service
from tidemill.serve.shared import Shared
from tidemill.serve.starter import stop_without_starter
from tidemill.serve.swap import Load, Watcher
from tidemill.serve.tls import Tls

if TYPE_CHECKING:
    from tidemill.ports import PredictionSink

_IDLE_SECONDS = 75  # longer than the pools of common clients keep a connection, so that they close first
_PARTING_SECONDS = 0.4
_DRAIN_SECONDS = 30
_WRITE_SECONDS = 15.0  # for what waits for the log, when no more requests come
_SEAL_SECONDS = 40.0  # for the log to be sealed then


@dataclass(frozen=True, slots=True)
class Watched:
    """The manifest that says which version is in service, and how what it names is loaded."""

    manifest: Path
    load: Load


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address, before anything heavy is done. Raises BusyError for a port in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError, OverflowError):
        raise InputError(f"cannot listen on {host!r} port {port}", "give an address of this machine") from None
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        failure = from_os_error(error, f"listening on {host}:{port}")
        if isinstance(failure, BusyError):
            raise BusyError(f"port {port} of {host} is in use", failure.remedy) from None
        raise InputError(
            f"cannot listen on {host}:{port}: {error.strerror}", "choose another --host or --port"
        ) from None
    return listener


def run_server(
    listener: socket.socket,
    models: Sequence[tuple[ServedModel, Watched | None]],
    *,
    sink: PredictionSink,
    journal: Answers,
    access: Access,
    on_ready: Callable[[], None],
    access_log: bool = False,
    until_stdin_closes: bool = False,
    shared: Path | None = None,
    tls: Tls | None = None,
    answer_unlogged: bool = False,
    ui: Ui = "page",
) -> None:
    """Serve `models`, each with what is watched for it, until SIGTERM or SIGINT.

    On return every request that was taken is answered and logged, and `sink` is closed. On a disk that stands still it
    does not return: the process then ends with 1.

    `shared` is the folder where the workers of one server put their numbers. With `answer_unlogged`, what cannot be
    logged is answered all the same.
    """
    writing, sealing = (_limit(seconds) for seconds in (_WRITE_SECONDS, _SEAL_SECONDS))

    async def main() -> None:
        workers = Shared(shared) if shared else None
        service = Service([model for model, _ in models], sink, journal, workers, answer_unlogged=answer_unlogged)
        config = _config(build_app(service, access, access_log=access_log, ui=ui), tls)
        server = _Server(config, service, on_ready, among_others=shared is not None)
        watchers = [
            Watcher(watched.manifest, slot, watched.load)
            for slot, (_, watched) in zip(service.slots, models, strict=True)
            if watched
        ]
        if until_stdin_closes:
            stop = partial(asyncio.get_running_loop().call_soon_threadsafe, server.leave)
            stop_without_starter(stop)
        try:
            await server.serve(sockets=[listener])
        finally:
            for watcher in watchers:
                watcher.close()
            writing.start()
            await service.drain()

    config = _config(None)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(main())
    finally:
        writing.cancel()
        sealing.start()
        sink.close()
        sealing.cancel()


def _limit(seconds: float) -> threading.Timer:
    """Once started, ends the process after so long: a write that does not return holds threads that nothing else ends.

    What was answered is in the log then, too, and the next server seals it.
    """

    def leave() -> None:
        try:
            say(f"the prediction log was not closed in {seconds:.0f} s: the server ends without it", level="error")
        finally:
            os._exit(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    return timer


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, service: Service, on_ready: Callable[[], None], *, among_others: bool
    ) -> None:
        super().__init__(config)
        self._service = service
        self._on_ready = on_ready
        self._among_others = among_others

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([] if self._among_others else sockets)
        if self._among_others:
            config = self.config
            for each in sockets or ():
                server = OneByOne(each, self._protocol, tls=config.ssl, backlog=config.backlog)
                self.servers.append(server)  # type: ignore[arg-type]  # it has what uvicorn asks of a server
        self._on_ready()

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn makes one for each connection."""
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # as in uvicorn itself
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def leave(self) -> None:
        """Stop in order: take no new connections, and answer with `Connection: close` on those that there are.

        After a moment those that are idle are closed; without it, clients would send into closed connections. Asked a
        second time, stop at once.
        """
        if self._service.draining:
            self.should_exit = self.force_exit = True
            return
        self._service.draining = True
        for server in self.servers:
            server.close()
        moment = _PARTING_SECONDS if self.server_state.connections else 0
        asyncio.get_running_loop().call_later(moment, setattr, self, "should_exit", True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's own, an orderly stop is not followed by death through the same signal: it exits with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.leave)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _config(app: Guard | None, tls: Tls | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own protocol types differ from Starlette's by name only
        http=partial(QuickProtocol, guard=app) if app else "auto",  # type: ignore[arg-type]  # it makes a protocol
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
