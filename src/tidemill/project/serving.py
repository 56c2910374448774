"""The loop's live half: serving a model, and the labels and predictions that its log holds."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.deployment import Deployment
from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError, InputError, ItemError, NotFoundError
from tidemill.process import limit_threads
from tidemill.project.layout import Layout
from tidemill.project.servers import RunningServer, ServerRecord, announced, running_servers, start_server

if TYPE_CHECKING:
    from tidemill.domain.bundle import Signature
    from tidemill.ports import PredictionLog
    from tidemill.serve.limits import Access
    from tidemill.serve.model import ServedModel
    from tidemill.serve.run import Watched

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

TOKEN_VARIABLE = "TIDEMILL_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model to serve comes from: a bundle's directory, and the manifest to watch when an alias was named."""

    directory: Path
    name: str | None
    version: int
    digest: Digest | None
    manifest: Path | None


def serve(
    layout: Layout | None,
    model_text: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    log: Path | None = None,
    access_log: bool = False,
    workers: int = 1,
    worker: str | None = None,
    until_stdin_closes: bool = False,
) -> None:
    """Serve a model until SIGTERM or SIGINT; returns when everything taken is answered and the log is sealed.

    With several `workers` this process only looks after them; `worker` is what it hands to each.

    `model_text` is `name@alias` (watched: a promotion changes the version without a pause), `name/version`, or the
    directory of a bundle, which needs no project. `log` is the prediction log's folder; without it the project's own,
    or for a bundle's directory tidemill-log here. Raises BusyError for a port in use, ConfigError when an address
    beyond loopback has no token.
    """
    limit_threads()
    from tidemill.serve.limits import Access, check_token, is_loopback
    from tidemill.serve.run import listen

    if token is None and not is_loopback(host):
        raise ConfigError(
            f"{host} is reached from other machines, so a token is needed",
            f"give --token-file FILE, or set {TOKEN_VARIABLE}",
        )
    access = Access(is_loopback(host), None if token is None else check_token(token))
    source = find_source(layout, model_text)
    of_project = layout is not None and source.name is not None  # a bundle given by its directory is not the project's
    folder = log or (layout.log if layout and of_project else Path.cwd() / "tidemill-log")
    if worker is not None:
        handed, ready, shared = worker.split(":", 2)
        with socket.socket(fileno=int(handed)) as listener:
            _run(
                listener, source, access, folder, None, lambda url, model: _say(int(ready)), access_log, True,
                shared=Path(shared),
            )  # fmt: skip
        return
    with listen(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}"
        if workers > 1:
            _supervise(listener, source, layout, url, workers, until_stdin_closes)
        else:
            _run(listener, source, access, folder, layout, _shown, access_log, until_stdin_closes, url=url)


def _supervise(
    listener: socket.socket, source: Source, layout: Layout | None, url: str, workers: int, until_stdin_closes: bool
) -> None:
    from tidemill.serve.supervise import supervise

    command = [sys.executable, "-m", "tidemill", *sys.argv[1:]]
    from tidemill.bundle.read import read_record

    named = f"{source.name or read_record(source.directory)[0].name}/{source.version}"
    with announced(layout, url, named) as announce:

        def on_ready() -> None:
            announce()
            _shown(url, f"{named} by {workers} workers")

        supervise(listener, command, workers, on_ready, until_stdin_closes=until_stdin_closes)


def _shown(url: str, model: str) -> None:
    print(f"ready: {model} at {url}  docs: {url}/docs", flush=True)


def _say(ready: int) -> None:
    os.write(ready, b"1")
    os.close(ready)


def _run(
    listener: socket.socket,
    source: Source,
    access: Access,
    folder: Path,
    layout: Layout | None,
    on_ready: Callable[[str, str], None],
    access_log: bool,
    until_stdin_closes: bool,
    *,
    url: str = "",
    shared: Path | None = None,
) -> None:
    from tidemill.backends.sinks.parquet import ParquetSink
    from tidemill.journal.read import Journal
    from tidemill.serve.run import run_server

    model = _load(source)
    watched = _watched(source)
    sink = ParquetSink(folder)
    try:
        with announced(layout, url, model.full_name) as announce:

            def ready() -> None:
                announce()
                on_ready(url, model.full_name)

            run_server(
                listener,
                model,
                sink=sink,
                journal=Journal(folder),
                access=access,
                watched=watched,
                on_ready=ready,
                access_log=access_log,
                until_stdin_closes=until_stdin_closes,
                shared=shared,
            )
    finally:
        sink.close()


def find_source(layout: Layout | None, text: str) -> Source:
    """What `text` names. Raises NotFoundError, listing the nearest names.

    An alias that is published is read from its manifest: the registry may be away.
    """
    from tidemill.project.registry import is_bundle, parse_model, resolve

    if is_bundle(text):
        return Source(Path(text).resolve(), None, 0, None, None)
    if layout is None:
        raise NotFoundError(
            f"there is no bundle at {text[:80]!r}, and this is no Tidemill project",
            "give the directory of a bundle, or change to a project:  name@alias or name/version",
        )
    named = parse_model(text)
    manifest = layout.serving / named.name / f"{named.alias}.json" if named.alias else None
    if manifest is not None and manifest.is_file():
        from tidemill.serve.swap import read_manifest

        deployment, directory = read_manifest(manifest)
        return Source(directory, deployment.name, deployment.version, deployment.bundle, manifest)
    from tidemill.project.bundles import local_bundle

    version = resolve(layout, text)
    return Source(local_bundle(layout, version), version.name, version.number, version.bundle, manifest)


def _load(source: Source) -> ServedModel:
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.read import read_record
    from tidemill.process import usable_cores
    from tidemill.serve.model import load_model

    return load_model(
        source.directory,
        name=source.name or read_record(source.directory)[0].name,
        version=source.version,
        expected=source.digest,
        runtime=OnnxRuntime(),
        threads=usable_cores(),
    )


def _watched(source: Source) -> Watched | None:
    from tidemill.serve.run import Watched

    if source.manifest is None:
        return None

    def load(deployment: Deployment, directory: Path) -> ServedModel:
        return _load(Source(directory, deployment.name, deployment.version, deployment.bundle, None))

    return Watched(source.manifest, load)


def read_token(file: Path | None) -> str | None:
    """The token in `file`, or in TIDEMILL_TOKEN, or None. Raises InputError for a file that cannot be read."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(f"the token file {file} cannot be read: {reason}", "check the path") from None


def log(layout: Layout) -> PredictionLog:
    """The project's prediction log; it may be read while servers write it."""
    from tidemill.backends.logs.parquet import ParquetLog

    return ParquetLog(layout.log)


def feedback(layout: Layout, pairs: Iterable[tuple[str, str]]) -> int:
    """Log true labels (or values, as text) for prediction ids; returns how many were new. All are taken, or none.

    Raises ItemError with the pair's index: for an id that is not in the log, and for a label that the model which
    answered does not know.
    """
    from tidemill.backends.sinks.parquet import ParquetSink
    from tidemill.bundle.read import read_record
    from tidemill.domain.prediction import Feedback
    from tidemill.domain.record import now
    from tidemill.journal.read import Journal

    given = list(pairs)
    journal = Journal(layout.log)
    found = journal.find_all([prediction_id for prediction_id, _ in given])
    signatures = {each: read_record(layout.bundle(each))[0].signature for each in {p.bundle for p in found.values()}}
    entries = []
    for index, (prediction_id, label) in enumerate(given):
        if prediction_id not in found:
            raise ItemError(
                index, f"no prediction {prediction_id[:60]!r} in the log", "ids come with each answer of the server"
            )
        prediction = found[prediction_id]
        entries.append(
            Feedback(prediction_id, _checked(index, signatures[prediction.bundle], label), now(), prediction.model)
        )
    known = journal.labels([entry.prediction_id for entry in entries])
    fresh = [e for e in entries if e.prediction_id not in known or known[e.prediction_id].label != e.label]
    if fresh:
        sink = ParquetSink(layout.log)
        try:
            sink.feedback(fresh)
        finally:
            sink.close()
    return len(fresh)


def _checked(index: int, signature: Signature, label: str) -> str:
    from tidemill.serve.feedback import check_label

    try:
        return check_label(signature, label)
    except InputError as error:
        raise ItemError(index, error.headline, error.remedy) from None
