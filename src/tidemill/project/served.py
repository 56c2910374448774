"""Which model a name means to a server: where its bundle lies, how it is loaded, and what says that it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.deployment import Deployment
from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError, NotFoundError
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.serve.model import ServedModel
    from tidemill.serve.run import Watched


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model to serve comes from: a bundle's directory, and the manifest to watch when an alias was named."""

    directory: Path
    name: str | None
    version: int
    digest: Digest | None
    manifest: Path | None


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


def refuse_twins(model_texts: Sequence[str], sources: Sequence[Source]) -> None:
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


def load(source: Source, *, threads: int, proofs: Path | None) -> ServedModel:
    """The model, audited and proven; `threads` compute a batch, and `proofs` knows bundles that were tried before."""
    from tidemill.backends.runtimes.onnx import OnnxRuntime
    from tidemill.bundle.read import read_record
    from tidemill.serve.model import load_model

    return load_model(
        source.directory,
        name=source.name or read_record(source.directory)[0].name,
        version=source.version,
        expected=source.digest,
        runtime=OnnxRuntime(),
        threads=threads,
        proofs=proofs,
    )


def watched(source: Source, *, threads: int, proofs: Path | None) -> Watched | None:
    """The manifest that says which version is in service, where an alias was named."""
    from tidemill.serve.run import Watched

    if source.manifest is None:
        return None

    def load_next(deployment: Deployment, directory: Path) -> ServedModel:
        named = Source(directory, deployment.name, deployment.version, deployment.bundle, None)
        return load(named, threads=threads, proofs=proofs)

    return Watched(source.manifest, load_next)
