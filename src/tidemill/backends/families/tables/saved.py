"""Saving scikit-learn objects with skops, which builds nothing but the types listed here when it loads."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from tidemill.backends.families.tables.trusted import TRUSTED
from tidemill.domain.bundle import Signature, TabularPreprocessing
from tidemill.domain.record import from_plain, to_plain
from tidemill.errors import BundleError, GateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def write_config(
    directory: Path, model: str, signature: Signature, preprocessing: TabularPreprocessing, **more: str
) -> None:
    """config.json: which kind of model, its signature, its preprocessing, and what else it needs to be loaded."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "model": model, "signature": to_plain(signature), "preprocessing": to_plain(preprocessing),
        **{name: value for name, value in more.items() if value},
    }  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def read_config(directory: Path) -> tuple[Mapping[str, Any], Signature, TabularPreprocessing]:
    """What `write_config` wrote. Raises BundleError for a folder that holds no saved model."""
    try:
        config: Mapping[str, Any] = json.loads((directory / "config.json").read_bytes())
        signature = from_plain(Signature, config["signature"])
        str(config["model"])
        return config, signature, from_plain(TabularPreprocessing, config["preprocessing"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{directory} holds no saved model: {error}", "train it again") from None


def dump_skops(value: Any, path: Path, *, also: Sequence[str] = ()) -> None:
    """Write a scikit-learn object; `also` are trusted types of the project's own.

    Raises GateError for an object that `load_skops` would refuse.
    """
    content = skops.io.dumps(value)
    refused = sorted(set(skops.io.get_untrusted_types(data=content)) - {*TRUSTED, *also})
    if refused:
        raise GateError(
            f"the model cannot be saved without pickle: it holds a {refused[0]}", "choose other model.params.settings"
        )
    path.write_bytes(content)


def load_skops(path: Path, *, also: Sequence[str] = ()) -> Any:
    """What `dump_skops` wrote. Raises BundleError for a file that asks for any other type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # estimators that scikit-learn will give up
            return skops.io.load(path, trusted=[*TRUSTED, *also])
    except (UntrustedTypesFoundException, OSError, ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{path} is refused: {error}", "train it again") from None
