"""The loop's live half: serving a model, and the labels and predictions that its log holds."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.deployment import Deployment
from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError, InputError, ItemError, NotFoundError
from tidemill.process import limit_threads, usable_cores
from tidemill.project.layout import Layout
from tidemill.project.servers import RunningServer, ServerRecord, announced, running_servers, start_server
from tidemill.project.tokens import TOKEN_VARIABLE
from tidemill.project.tokens import access as access_of

if TYPE_CHECKING:
    from tidemill.domain.bundle import Signature
    from tidemill.ports import PredictionLog
    from tidemill.serve.limits import Access
    from tidemill.serve.logs import Format
    from tidemill.serve.model import ServedModel
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
    until_stdin_closes: bool = False,
) -> None:
    """Serve models until SIGTERM or SIGINT; returns when everything taken is answered and the log is sealed.

    With several `workers` this process only looks after them; `worker` is what it hands to each.

    Each of `model_texts` is `name@alias` (watched: a promotion changes the version without a pause), `name/version`, or
    the directory of a bundle, which needs no project. `log` is the prediction log's folder; without it the project's
    own, or for bundles' directories tidemill-log here. `log_format` is that of standard error; `tls_cert` and
    `tls_key` are PEM files. Raises BusyError for a port in use, ConfigError when an address beyond loopback has no
    token, and for models of the project beside bundles' directories without `log`.
    """
    threads = limit_threads()
    from tidemill.serve import logs
    from tidemill.serve.run import listen
    from tidemill.serve.tls import read_tls

    logs.use(log_format)
    handed, ready, shared = worker.split(":", 2) if worker else ("", "", "")
    access = access_of(layout, host, token, Path(shared) if shared else None)
    tls = read_tls(tls_cert, tls_key)
    sources = [find_source(layout, text) for text in model_texts]
    _refuse_twins(model_texts, sources)
    folder = log or _log_of(layout, sources)
    from tidemill.project.bundles import proofs_folder
    from tidemill.project.following import following

    proofs = proofs_folder(layout)
    share = max(1, min(threads, usable_cores()) // workers)
    wanted = _Wanted(sources, access, folder, share, access_log, tls, proofs, answer_unlogged)
    if worker is not None:
        with socket.socket(fileno=int(handed)) as listener:
            _run(listener, wanted, lambda model: _say(int(ready)), until_stdin_closes=True, shared=Path(shared))
        return
    with listen(host, port) as listener:
        shown = f"[{host}]" if ":" in host else host
        url = f"http{'s' if tls else ''}://{shown}:{listener.getsockname()[1]}"
        watched = [each.manifest for each in sources if each.manifest]
        with announced(layout, url) as announce, following(layout, watched):

            def on_ready(models: str) -> None:
                announce(models)
                by = f" by {workers} workers" if workers > 1 else ""
                line = f"ready: {models}{by} at {url}  docs: {url}/docs"
                print(line, flush=True)
                if log_format == "json":
                    logs.say(line, level="info", **{"event.action": "server-ready", "url.full": url})

            if workers > 1:
                _supervise(listener, wanted, workers, on_ready, until_stdin_closes)
            else:
                _run(listener, wanted, on_ready, until_stdin_closes=until_stdin_closes)


def _refuse_twins(model_texts: Sequence[str], sources: Sequence[Source]) -> None:
    """Raises ConfigError for two of which requests could not mean the second. An alias may name a version beside it."""
    from tidemill.bundle.read import read_record

    seen: dict[object, str] = {}
    for text, each in zip(model_texts, sources, strict=True):
        name = each.name or read_record(each.directory)[0].name
        key = each.manifest or (name, each.version)
        if key in seen:
            raise ConfigError(
                f"{seen[key]} and {text} are both {name}/{each.version}: requests could not mean the second",
                "give one of them; bundles of one name are told apart once they are registered",
            )
        seen[key] = text


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


def _supervise(
    listener: socket.socket, wanted: _Wanted, workers: int, on_ready: Callable[[str], None], until_stdin_closes: bool
) -> None:
    from tidemill.bundle.read import read_record
    from tidemill.serve.supervise import supervise

    names = [f"{each.name or read_record(each.directory)[0].name}/{each.version}" for each in wanted.sources]
    command = [sys.executable, "-m", "tidemill", *sys.argv[1:]]
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
    from tidemill.journal.read import Journal
    from tidemill.serve.run import run_server

    models = [(_load(each, wanted), _watched(each, wanted)) for each in wanted.sources]
    run_server(
        listener,
        models,
        sink=ParquetSink(wanted.folder),
        journal=Journal(wanted.folder),
        access=wanted.access,
        on_ready=partial(on_ready, ", ".join(model.full_name for model, _ in models)),
        access_log=wanted.access_log,
        answer_unlogged=wanted.answer_unlogged,
        until_stdin_closes=until_stdin_closes,
        shared=shared,
        tls=wanted.tls,
    )


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


def _load(source: Source, wanted: _Wanted) -> ServedModel:
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.read import read_record
    from tidemill.serve.model import load_model

    return load_model(
        source.directory,
        name=source.name or read_record(source.directory)[0].name,
        version=source.version,
        expected=source.digest,
        runtime=OnnxRuntime(),
        threads=wanted.threads,
        proofs=wanted.proofs,
    )


def _watched(source: Source, wanted: _Wanted) -> Watched | None:
    from tidemill.serve.run import Watched

    if source.manifest is None:
        return None

    def load(deployment: Deployment, directory: Path) -> ServedModel:
        return _load(Source(directory, deployment.name, deployment.version, deployment.bundle, None), wanted)

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
