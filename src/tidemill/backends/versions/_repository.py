"""DVC in this process: quiet, its caches where the project wants them, its errors as ours."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tidemill.errors import StorageError, TidemillError, first_line, from_message, from_os_error
from tidemill.files import process_lives

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo


@contextmanager
def open_repository(root: Path, cache: Path, doing: str) -> Iterator[Repo]:
    """DVC's view of the project at `root`, silent, its site cache in `cache`.

    Remotes and cache are those that the settings name now, also for tags made before. `doing` names the work in errors.
    """
    with site_cache(cache), _translated(doing):
        from dvc.config import Config
        from dvc.repo import Repo

        now = Config(str(root / ".dvc"))
        core = {"autostage": False} | {key: now["core"][key] for key in ("remote",) if now["core"].get(key)}
        repo = Repo(str(root), config={"core": core, "remote": now["remote"], "cache": now["cache"]})
        try:
            yield repo
        finally:
            repo.close()


@contextmanager
def site_cache(folder: Path) -> Iterator[None]:
    """Have DVC keep its site cache in `folder`, and be quiet, for as long as this lasts."""
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    levels, before = [logger.level for logger in loggers], os.environ.get("DVC_SITE_CACHE_DIR")
    (folder / "repo").mkdir(parents=True, exist_ok=True)  # DVC would make it, and all above it, writable for everyone
    os.environ["DVC_SITE_CACHE_DIR"] = str(folder)
    import dvc.logger  # noqa: F401 - it sets levels when first imported

    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # at ERROR it would still draw its bars on a terminal
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if before is None:
            del os.environ["DVC_SITE_CACHE_DIR"]
        else:
            os.environ["DVC_SITE_CACHE_DIR"] = before


def is_cached(repo: Repo, pointer: bytes) -> bool:
    """Whether DVC's cache has every file of the folder that `pointer`, the content of a .dvc file, means."""
    files = _files(repo, pointer)
    return files is not None and all(repo.cache.local.exists(digest) for digest in files.values())


def copy_out(repo: Repo, pointer: bytes, into: Path, *, remote: bool = True) -> bool:
    """Copy the folder that `pointer` means from DVC's cache, or through it the remote; False where neither has it."""
    if remote and not is_cached(repo, pointer) and repo.config["core"].get("remote") and (address := _address(pointer)):
        repo.cloud.pull([address])
    files = _files(repo, pointer)
    if files is None or not is_cached(repo, pointer):
        return False
    for path, digest in files.items():
        if path.is_absolute() or ".." in path.parts:
            raise StorageError(f"DVC's cache lists a file outside of its folder: {path}", "do not use this cache")
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repo.cache.local.oid_to_path(digest), into / path)
    return True


def _address(pointer: bytes) -> HashInfo | None:
    from dvc_data.hashfile.hash_info import HashInfo

    found = re.search(rb"md5: ([0-9a-f]{32}\.dir)", pointer)
    return HashInfo("md5", found[1].decode()) if found else None


def _files(repo: Repo, pointer: bytes) -> dict[PurePosixPath, str] | None:
    """The files of the folder with their addresses; None where the cache does not have the list."""
    from dvc_data.hashfile import load
    from dvc_data.hashfile.tree import Tree

    address = _address(pointer)
    try:
        tree = load(repo.cache.local, address) if address else None
    except FileNotFoundError:
        return None
    return {PurePosixPath(*key): entry.value for key, _, entry in tree} if isinstance(tree, Tree) else None


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """What DVC and the libraries of its remotes raise, each its own kind, as ours."""
    try:
        yield
    except TidemillError:
        raise
    except ImportError as error:
        raise StorageError(
            f"DVC cannot reach this remote: {first_line(error)}", "install that package with pip"
        ) from error
    except Exception as error:  # each remote's library has classes of its own
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno:
                raise from_os_error(cause, doing) from error
            if (known := from_message(str(cause))) is not None:
                raise known from error
            cause = cause.__cause__ or cause.__context__
        raise StorageError(
            f"DVC failed while {doing}: {first_line(error)}", "see  dvc status  and  dvc doctor"
        ) from error


def clear_rwlock(path: Path, pid: int) -> None:
    """Remove DVC's note of who reads and writes, if only the dead process is in it, or it is torn."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        readers = [each for entries in content.get("read", {}).values() for each in entries]
        owners = {int(each["pid"]) for each in [*readers, *content.get("write", {}).values()]}
    except FileNotFoundError:
        return
    except (ValueError, TypeError, KeyError, AttributeError):
        owners = set()
    if all(owner == pid or not process_lives(owner) for owner in owners):
        path.unlink(missing_ok=True)
