"""Serving models: one process or several, over what the project has in service."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tidemill.errors import ConfigError, InputError
from tidemill.process import limit_threads, usable_cores
from tidemill.project.labelling import feedback, log
from tidemill.project.layout import Layout
from tidemill.project.served import Source, find_source, load, refuse_twins, watched
from tidemill.project.servers import RunningServer, ServerRecord, announced, running_servers, start_server
from tidemill.project.tokens import TOKEN_VARIABLE
from tidemill.project.tokens import access as access_of

if TYPE_CHECKING:
    from tidemill.serve.app import Ui
    from tidemill.serve.limits import Access
    from tidemill.serve.logs import Format
    from tidemill.serve.model import ServedModel
    from tidemill.serve.playground.keeper import Keeper
    from tidemill.serve.run import Watched
    from tidemill.serve.tls import Tls

__all__ = [
    "RunningServer",
    "ServerRecord",
    "feedback",
    "find_source",
    "log",
    "read_token",
    "running_servers",
    "serve",
    "start_server",
]


def serve(
    layout: Layout | None,
    model_texts: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    log: Path | None = None,
    access_log: bool = False,
    answer_unlogged: bool = False,
    log_format: Format = "text",
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    workers: int = 1,
    worker: str | None = None,
    ui: Literal["page", "gradio", "none"] = "page",
    ui_socket: Path | None = None,
    until_stdin_closes: bool = False,
) -> None:
    """Serve models until SIGTERM or SIGINT; returns when everything taken is answered and logged.

    With several `workers` this process only looks after them; `worker` is what it hands to each. The page at /ui is the
    server's own, or one that Gradio makes in a process beside it: one for all workers, which it answers on `ui_socket`.

    Each of `model_texts` is `name@alias` (watched: a promotion changes the version without a pause), `name/version`, or
    the directory of a bundle, which needs no project. `log` is the prediction log's folder; without it the project's
    own, or for bundles' directories tidemill-log here. `log_format` is that of standard error; `tls_cert` and
    `tls_key` are PEM files. Raises BusyError for a port in use, ConfigError when an address beyond loopback has no
    token, and for models of the project beside bundles' directories without `log`; MissingExtraError without Gradio.
    """
    threads = limit_threads()
    from tidemill.serve import logs
    from tidemill.serve.run import listen
    from tidemill.serve.tls import read_tls

    logs.use(log_format)
    if ui == "gradio":
        from tidemill.serve.playground.keeper import check_installed

        check_installed()
    handed, ready, shared = worker.split(":", 2) if worker else ("", "", "")
    access = access_of(layout, host, token, Path(shared) if shared else None)
    tls = read_tls(tls_cert, tls_key)
    sources = [find_source(layout, text) for text in model_texts]
    refuse_twins(model_texts, sources)
    folder = log or _log_of(layout, sources)
    from tidemill.project.bundles import proofs_folder
    from tidemill.project.following import following

    proofs = proofs_folder(layout)
    share = max(1, min(threads, usable_cores()) // workers)
    wanted = _Wanted(sources, access, folder, share, access_log, tls, proofs, answer_unlogged, _page(ui, ui_socket))
    if worker is not None:
        with socket.socket(fileno=int(handed)) as listener:
            _run(listener, wanted, lambda model: _say(int(ready)), until_stdin_closes=True, shared=Path(shared))
        return
    with listen(host, port) as listener, _keeper(ui) as keeper:
        if keeper is not None:
            wanted = replace(wanted, ui=keeper.socket)
        shown = f"[{host}]" if ":" in host else host
        url = f"http{'s' if tls else ''}://{shown}:{listener.getsockname()[1]}"
        manifests = [each.manifest for each in sources if each.manifest]
        with announced(layout, url) as announce, following(layout, manifests):

            def on_ready(models: str) -> None:
                announce(models)
                by = f" by {workers} workers" if workers > 1 else ""
                line = f"ready: {models}{by} at {url}  docs: {url}/docs"
                print(line, flush=True)
                if keeper is not None:  # now, so that it takes nothing from the models' own start
                    keeper.start(_reached(url), tls.certificate if tls else None)
                if log_format == "json":
                    logs.say(line, level="info", **{"event.action": "server-ready", "url.full": url})

            if workers > 1:
                _supervise(listener, wanted, workers, on_ready, until_stdin_closes)
            else:
                _run(listener, wanted, on_ready, until_stdin_closes=until_stdin_closes)


def _page(ui: Literal["page", "gradio", "none"], socket: Path | None) -> Ui:
    """What a worker answers at /ui."""
    if ui == "gradio":
        return socket or "none"
    return ui


def _keeper(ui: str) -> AbstractContextManager[Keeper | None]:
    """Who starts the page's process, where there is to be one."""
    if ui != "gradio":
        return nullcontext()
    from tidemill.serve.playground.keeper import Keeper

    return Keeper()


def _reached(url: str) -> str:
    """Where this machine reaches a server that listens on all of its addresses."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _log_of(layout: Layout | None, sources: Sequence[Source]) -> Path:
    """The project's log for its own models; bundles by their directories are not its. Raises ConfigError for both."""
    own = [each for each in sources if each.name]
    if layout is None or not own:
        return Path.cwd() / "tidemill-log"
    if len(own) < len(sources):
        raise ConfigError(
            f"{own[0].name} is logged in the project, and a bundle's directory is not",
            f"say where all of them are logged:  --log {layout.log}, or serve them apart",
        )
    return layout.log


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to serve, to whom, with the log in `folder`; `threads` compute a batch; `proofs` knows tried bundles."""

    sources: Sequence[Source]
    access: Access
    folder: Path
    threads: int
    access_log: bool
    tls: Tls | None
    proofs: Path | None
    answer_unlogged: bool
    ui: Ui


def _supervise(
    listener: socket.socket, wanted: _Wanted, workers: int, on_ready: Callable[[str], None], until_stdin_closes: bool
) -> None:
    from tidemill.bundle.read import read_record
    from tidemill.serve.supervise import supervise

    names = [f"{each.name or read_record(each.directory)[0].name}/{each.version}" for each in wanted.sources]
    command = [sys.executable, "-m", "tidemill", *sys.argv[1:]]
    if isinstance(wanted.ui, Path):
        command += ["--ui-socket", str(wanted.ui)]
    ready = partial(on_ready, ", ".join(names))
    supervise(listener, command, workers, ready, until_stdin_closes=until_stdin_closes)


def _say(ready: int) -> None:
    os.write(ready, b"1")
    os.close(ready)


def _run(
    listener: socket.socket, wanted: _Wanted, on_ready: Callable[[str], None], *, until_stdin_closes: bool,
    shared: Path | None = None,
) -> None:  # fmt: skip
    from tidemill.backends.sinks.parquet import ParquetSink
    from tidemill.journal.find import LoggedAnswers
    from tidemill.serve.logs import say
    from tidemill.serve.run import run_server

    def loaded(each: Source) -> tuple[ServedModel, Watched | None]:
        threads, proofs = wanted.threads, wanted.proofs
        return load(each, threads=threads, proofs=proofs), watched(each, threads=threads, proofs=proofs)

    models = [loaded(each) for each in wanted.sources]
    run_server(
        listener,
        models,
        sink=ParquetSink(wanted.folder, partial(say, level="warn")),
        journal=LoggedAnswers(wanted.folder),
        access=wanted.access,
        on_ready=partial(on_ready, ", ".join(model.full_name for model, _ in models)),
        access_log=wanted.access_log,
        answer_unlogged=wanted.answer_unlogged,
        until_stdin_closes=until_stdin_closes,
        shared=shared,
        tls=wanted.tls,
        ui=wanted.ui,
    )


def read_token(file: Path | None) -> str | None:
    """The token in `file`, or in TIDEMILL_TOKEN, or None. Raises InputError for a file that cannot be read."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"the token file {file} cannot be read: {reason}", "check the path") from None
