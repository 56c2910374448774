"""Models that a project holds itself: imported from its `src/`, without being installed.

Nothing but a `.py` file below that folder is imported, and a name that the folder shares with an installed package is
refused. The code of every module that came from there is digested: a saved model of one's own needs it again.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tidemill.domain.digest import Digest
from tidemill.errors import ConfigError, StateError, nearest

SOURCE = "src"
_SETTING = "model.params.path"
_one_at_a_time = threading.RLock()  # the module table is the process's
_known: dict[tuple[Path, str], Imported] = {}
_sources: set[Path] = set()  # the src/ of each project that something was imported from


class Imported(NamedTuple):
    """What makes the model, the files below `src/` that its import ran, and their digest."""

    make: Callable[..., Any]
    files: tuple[Path, ...]
    digest: Digest


def imported(path: str, root: Path) -> Imported:
    """What MODULE.NAME stands for in the project at `root`. Raises ConfigError naming what is wrong with it."""
    source = (root / SOURCE).resolve()
    with _one_at_a_time:
        found = _known.get((source, path))
        if found is None or found.digest != _digest(source, found.files):
            found = _known[source, path] = _imported(path, source)
    return found


def check_unchanged(path: str, root: Path, digest: str) -> Imported:
    """As `imported`. Raises StateError when the code is not that of `digest`."""
    found = imported(path, root)
    if found.digest != digest:
        names = ", ".join(str(each.relative_to((root / SOURCE).resolve())) for each in found.files)
        raise StateError(
            f"{path} is not the code that this model was trained with ({names} differs)",
            "check out the commit of its run, or train it again",
        )
    return found


def made(found: Imported, path: str, settings: Mapping[str, Any]) -> Any:
    """The model. Raises ConfigError with what its own code says, and the line that says it."""
    try:
        return found.make(**settings)
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"{path}: {told(error, found)}", "correct it, or model.params.settings") from None


def told(error: Exception, found: Imported) -> str:
    """What a user's code raised, with the last line of the user's own files that it came through."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename) in found.files:
            place = f" ({Path(frame.filename).name}, line {frame.lineno})"
    said = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {said[:300]}{place}"


def _imported(path: str, source: Path) -> Imported:
    module_name, _, name = path.rpartition(".")
    if not module_name or not all(word.isidentifier() for word in path.split(".")):
        raise ConfigError(f"{_SETTING}={path} is no import path", "write MODULE.NAME, for a NAME in src/MODULE.py")
    _forget()
    _check_file(module_name, source)
    module, files = _module(module_name, source)
    make = getattr(module, name, None)
    if make is None:
        known = [
            each for each, value in vars(module).items()
            if not each.startswith("_") and callable(value) and getattr(value, "__module__", None) == module_name
        ]  # fmt: skip
        raise ConfigError(f"{_SETTING}: {module_name} has no {name!r}", nearest(name, known, kind="names in it"))
    if not callable(make):
        raise ConfigError(
            f"{_SETTING}: {path} is a {type(make).__name__}, not a class or a function that makes a model",
            "name the class, or a function that returns the model",
        )
    return Imported(make, files, _digest(source, files))


def _check_file(module: str, source: Path) -> None:
    """Raises ConfigError unless `module` is a file below `source`, and nothing installed bears its name."""
    words = module.split(".")
    file = source.joinpath(*words).with_suffix(".py")
    package = source.joinpath(*words) / "__init__.py"
    real = next((each.resolve() for each in (file, package) if each.is_file()), None)
    if real is None:
        known = [".".join(each.relative_to(source).with_suffix("").parts) for each in source.rglob("*.py")]
        raise ConfigError(
            f"{_SETTING}: there is no {file}", nearest(module, known, kind="modules in src/") if known else "write it"
        )
    if not real.is_relative_to(source):
        raise ConfigError(f"{_SETTING}: {file} leads out of the project's src/", "copy the file into src/")
    top = words[0]
    if top in sys.stdlib_module_names or _stands_elsewhere(top, source):
        raise ConfigError(f"{_SETTING}: {top} is also the name of an installed package", f"rename src/{top}")


def _stands_elsewhere(top: str, source: Path) -> bool:
    if top in sys.modules:
        place = _place(sys.modules[top])
    else:
        spec = importlib.util.find_spec(top)
        if spec is None:
            return False
        place = Path(spec.origin).resolve() if spec.origin else None
    return place is None or not place.is_relative_to(source)


def _module(name: str, source: Path) -> tuple[Any, tuple[Path, ...]]:
    """The module, run anew with all of `src/` that it imports, and the files that this ran."""
    _sources.add(source)
    sys.path.insert(0, str(source))
    importlib.invalidate_caches()
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing appears in the user's folder
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever the user's code raises while it is imported
        files = tuple(source.rglob("*.py"))
        stand_in = Imported(Imported, files, Digest.of_bytes(b""))
        raise ConfigError(f"{_SETTING}: importing {name}: {told(error, stand_in)}", "correct that file") from None
    finally:
        sys.path.remove(str(source))
        sys.dont_write_bytecode = written
    return module, tuple(sorted(_files_of(source)))


def _forget() -> None:
    """Take what came from the `src/` of any project out of the module table: it may have changed, or be another's."""
    for name, module in list(sys.modules.items()):
        place = _place(module)
        if place is not None and any(place.is_relative_to(source) for source in _sources):
            del sys.modules[name]


def _files_of(source: Path) -> list[Path]:
    places = [_place(module) for module in list(sys.modules.values())]
    return [each for each in places if each is not None and each.is_relative_to(source) and each.is_file()]


def _place(module: Any) -> Path | None:
    """The file of a module; of a package without one its folder."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return Path(file).resolve()
    folders = list(getattr(module, "__path__", None) or [])
    return Path(str(folders[0])).resolve() if folders else None


def _digest(source: Path, files: tuple[Path, ...]) -> Digest:
    content = {str(each.relative_to(source)): each.read_text("utf-8") if each.is_file() else "" for each in files}
    return Digest.of_json(content)
