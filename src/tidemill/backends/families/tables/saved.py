"""Saving scikit-learn objects with skops, which builds nothing but the types listed here when it loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from tidemill.domain.bundle import Signature, TabularPreprocessing
from tidemill.domain.record import from_plain, to_plain
from tidemill.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUSTED = ("numpy.dtype",)
"""Types beyond those that skops itself trusts. A list, and never a flag that trusts them all."""


def write_config(directory: Path, model: str, signature: Signature, preprocessing: TabularPreprocessing) -> None:
    """config.json: which kind of model, its signature and its preprocessing."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {"model": model, "signature": to_plain(signature), "preprocessing": to_plain(preprocessing)}
    (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def read_config(directory: Path) -> tuple[str, Signature, TabularPreprocessing]:
    """Raises BundleError for a folder that holds no saved model."""
    try:
        config: Mapping[str, Any] = json.loads((directory / "config.json").read_bytes())
        signature = from_plain(Signature, config["signature"])
        return str(config["model"]), signature, from_plain(TabularPreprocessing, config["preprocessing"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{directory} holds no saved model: {error}", "train it again") from None


def dump_skops(value: Any, path: Path) -> None:
    """Write a scikit-learn object."""
    skops.io.dump(value, path)


def load_skops(path: Path) -> Any:
    """What `dump_skops` wrote. Raises BundleError for a file that asks for any other type."""
    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except (UntrustedTypesFoundException, OSError, ValueError, TypeError, KeyError) as error:
        raise BundleError(f"{path} is refused: {error}", "train it again") from None
