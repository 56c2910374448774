"""What `data add` is given, as local files: a path, an address, or the name of a choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tidemill.dataset.reading import Reading, Steps
from tidemill.domain.digest import Digest
from tidemill.errors import InputError, NotFoundError, nearest
from tidemill.files import link_or_copy, staged_directory
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.config.schema.source import SourceConfig
    from tidemill.domain.dataset import Kind


@dataclass(frozen=True, slots=True)
class Fetching:
    """How addresses are followed: what a single one is pinned to, and whether one without encryption is."""

    digest: Digest | None = None
    allow_http: bool = False
    progress: Callable[[int, int], None] = lambda done, total: None
    note: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Given:
    """Files at `path`, read as `reading` says; `source` are the addresses they came from, with their digests."""

    path: Path
    name: str | None
    reading: Reading
    source: Mapping[str, str] = field(default_factory=dict)


def resolve(layout: Layout, what: str, *, choice: str | None, reading: Reading, fetching: Fetching) -> Given:
    """The local files that `what` means: a path, an address, or a choice of the group `data` that has addresses.

    `choice` names one that says how to read them; what `reading` says comes first. Raises InputError, DataError,
    NotFoundError and StorageError.
    """
    path = Path(what)
    if choice is not None and not _is_choice(layout, choice):
        known = _described(layout)
        raise NotFoundError(
            f"--as {choice!r}: no such data set is known", nearest(choice, known, kind="known data sets")
        )
    if "://" in what:
        settings = _settings(layout, choice) if choice else None
        found, digest = _fetch(layout, what, fetching, settings)
        return Given(_opened(layout, found, digest), choice, _merged(reading, settings), {what: digest})
    if choice is not None or path.exists():
        settings = _settings(layout, choice) if choice else None
        return Given(_local(layout, path, settings), choice, _merged(reading, settings))
    if _is_choice(layout, what):
        settings = _settings(layout, what)
        if not settings.files:
            raise InputError(
                f"{what} has no address that could be fetched",
                f"get it from {settings.page}, then: data add PATH --as {what}",
            )
        return _fetch_choice(layout, what, settings, reading, fetching)
    raise NotFoundError(f"{what} does not exist", _hint(layout, what))


def sources(layout: Layout) -> Path:
    """Where downloads and unpacked archives are kept; may be removed at any time."""
    return layout.cache / "sources"


def _hint(layout: Layout, what: str) -> str:
    return f"check the path; {nearest(what, _described(layout), kind='known data sets')}"


def _described(layout: Layout) -> list[str]:
    """The choices that say where their data comes from."""
    from omegaconf import OmegaConf
    from yaml import YAMLError

    from tidemill.config.groups import PACKAGED, choices

    found = []
    for name in choices(layout.conf, "data"):
        own = layout.conf / "data" / f"{name}.yaml"
        try:
            settings = OmegaConf.load(own if own.is_file() else PACKAGED / "data" / f"{name}.yaml")
        except (OSError, YAMLError):  # said where it is used
            continue
        if OmegaConf.select(settings, "source.files") or OmegaConf.select(settings, "source.page"):
            found.append(name)
    return found


def _is_choice(layout: Layout, what: str) -> bool:
    from tidemill.config.groups import choices

    return what != "default" and what in choices(layout.conf, "data")


def _settings(layout: Layout, choice: str) -> SourceConfig:
    from tidemill.project.configuration import config

    return config(layout, [f"data={choice}"]).data.source


def _merged(reading: Reading, settings: SourceConfig | None) -> Reading:
    if settings is None:
        return reading
    keep = {name: (ends[0], ends[1]) for name, ends in settings.keep.items() if _two(name, ends)}
    return reading._replace(
        target=reading.target or settings.target or None,
        text=reading.text or settings.text or None,
        kind=reading.kind or cast("Kind | None", settings.kind or None),
        header=reading.header and settings.header,
        picture=reading.picture or settings.picture or None,
        steps=Steps(dict(settings.derive), keep, tuple(settings.categories), tuple(settings.columns)),
    )


def _two(name: str, ends: list[float]) -> bool:
    if len(ends) != 2:
        raise InputError(f"source.keep.{name} must be [lowest, highest], not {ends}", "give both ends")
    return True


def _local(layout: Layout, path: Path, settings: SourceConfig | None) -> Path:
    """A path as it is read: an archive unpacked; of a folder, the files that the choice's addresses name, if any."""
    if path.is_file():
        from tidemill.dataset.archives import is_archive

        return _opened(layout, path, Digest.of_file(path)) if is_archive(path) else path
    if settings is not None and path.is_dir():
        from tidemill.dataset.download import file_name

        named = {split: [path / file_name(each) for each in several] for split, several in settings.files.items()}
        if named and all(file.is_file() for several in named.values() for file in several):
            return _arranged(layout, named)
    return path


def _fetch_choice(layout: Layout, name: str, settings: SourceConfig, reading: Reading, fetching: Fetching) -> Given:
    source: dict[str, str] = {}
    files: dict[str, list[Path]] = {}
    for split, addresses in settings.files.items():
        for address in addresses:
            found, source[address] = _fetch(layout, address, fetching, settings)
            files.setdefault(split, []).append(found)
    if list(files) == ["all"] and len(files["all"]) == 1:
        path = _opened(layout, files["all"][0], Digest(next(iter(source.values()))))
    else:
        path = _arranged(layout, files)
    return Given(path, name, _merged(reading, settings), source)


def _fetch(layout: Layout, address: str, fetching: Fetching, settings: SourceConfig | None) -> tuple[Path, Digest]:
    from tidemill.dataset.download import download

    pinned = fetching.digest
    if pinned is None and settings is not None and (known := settings.digests.get(address)):
        pinned = _digest(known)
    folder = sources(layout) / Digest.of_bytes(address.encode()).hex[:16]
    return download(
        address, folder, pinned=pinned, allow_http=fetching.allow_http, progress=fetching.progress, note=fetching.note
    )


def _digest(text: str) -> Digest:
    try:
        return Digest(text)
    except ValueError:
        raise InputError(f"{text[:80]!r} is no digest", "a digest is sha256: and 64 hexadecimal digits") from None


def parse_digest(text: str | None) -> Digest | None:
    """The digest that a user gave, if any. Raises InputError."""
    return None if text is None else _digest(text)


def _opened(layout: Layout, file: Path, digest: Digest) -> Path:
    """The file; or of an archive the folder it holds, unpacked once."""
    from tidemill.dataset.archives import is_archive, top, unpack

    if not is_archive(file):
        return file
    final = sources(layout) / f"unpacked-{digest.hex[:16]}"
    if not final.is_dir():
        with staged_directory(final, staging=layout.staging) as beside:
            unpack(file, beside)
    return top(final)


def _arranged(layout: Layout, files: Mapping[str, Iterable[Path]]) -> Path:
    """A folder with a folder for each split, which holds its files under further names."""
    marks = [
        [split, str(file), file.stat().st_mtime_ns, file.stat().st_ino] for split in files for file in files[split]
    ]
    final = sources(layout) / f"arranged-{Digest.of_json(marks).hex[:16]}"
    if not final.is_dir():
        with staged_directory(final, staging=layout.staging) as beside:
            for split, several in files.items():
                (beside / split).mkdir()
                for file in several:
                    link_or_copy(file.resolve(), beside / split / file.name)
    return final
