"""Networks of the transformers library: by their configuration, from a folder, or from the hub.

Weights come from safetensors only, and no code that came with them is ever run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tidemill.errors import ConfigError, nearest

if TYPE_CHECKING:
    from torch import nn

HUB = "hub:"
WEIGHTS = "model.safetensors"
_SETTING = "model.params.pretrained"


def place(given: str, root: Path) -> tuple[str, bool]:
    """What transformers calls the place that `model.params.pretrained` names, and whether it is a folder.

    Raises ConfigError for a folder without weights.
    """
    if given.startswith(HUB):
        return given.removeprefix(HUB), False
    folder = root / given
    for name in ("config.json", WEIGHTS):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{_SETTING}: {folder} holds no {name}",
                f"name a folder with config.json and {WEIGHTS} (for text also tokenizer.json), or hub:NAME",
            )
    return str(folder), True


def load_pretrained(given: str, known: Sequence[str], what: str, root: Path) -> nn.Module:
    """The network without its head. Raises ConfigError when it is none of the kinds `known`, and cannot be loaded."""
    from transformers import AutoConfig, AutoModel

    where, local = place(given, root)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(where, local_files_only=local, trust_remote_code=False)
            if config.model_type not in known:
                raise ConfigError(
                    f"{_SETTING}: {where} is a {config.model_type}, not {what}", f"known are: {', '.join(known)}"
                )
            network: nn.Module = AutoModel.from_pretrained(
                where, config=config, local_files_only=local, use_safetensors=True, trust_remote_code=False,
                dtype=torch.float32,
            )  # fmt: skip
    except ConfigError:
        raise
    except Exception as error:  # no network, no such name, broken files: by classes that have nothing in common
        raise ConfigError(f"{_SETTING}: {where} cannot be loaded: {first_line(error)}", _remedy(local)) from None
    return network


def beside_weights(given: str, name: str, root: Path) -> Mapping[str, Any]:
    """A JSON file that lies with pretrained weights, as plain values; nothing when there is none."""
    where, local = place(given, root)
    try:
        if local:
            path = Path(where) / name
        else:
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

            try:
                path = Path(hf_hub_download(where, name))
            except LocalEntryNotFoundError:  # no network
                raise
            except EntryNotFoundError:
                return {}
        plain = json.loads(path.read_bytes()) if path.is_file() else {}
    except Exception as error:  # as above
        raise ConfigError(f"{_SETTING}: {name} of {where}: {first_line(error)}", _remedy(local)) from None
    return plain if isinstance(plain, dict) else {}


def fresh(kind: str, settings: Mapping[str, Any]) -> nn.Module:
    """A network of `kind` with random weights. Raises ConfigError for settings that its configuration does not have."""
    from transformers import AutoConfig, AutoModel

    known = AutoConfig.for_model(kind).to_dict()
    for name in settings:
        if name not in known:
            raise ConfigError(
                f"model.params.settings: {kind} has no setting {name!r}", nearest(name, known, kind="settings")
            )
    try:
        with quiet():
            network: nn.Module = AutoModel.from_config(AutoConfig.for_model(kind, **settings))  # type: ignore[no-untyped-call]  # transformers' own
    except Exception as error:  # what its classes say of values that do not fit has no class of its own
        raise ConfigError(f"model.params.settings: {kind} refuses them: {first_line(error)}", "change them") from None
    return network


def plain_config(network: nn.Module) -> dict[str, Any]:
    """The shape of a network of transformers as plain values."""
    plain: dict[str, Any] = network.config.to_dict()  # type: ignore[union-attr,operator]  # transformers' own
    return plain


def again(plain: Mapping[str, Any], known: Sequence[str]) -> nn.Module:
    """A network of the shape that `plain_config` described; its weights are random."""
    from transformers import AutoConfig, AutoModel

    settings = dict(plain)
    kind = settings.pop("model_type")
    if kind not in known:
        raise ConfigError(f"no network {kind!r}", f"known are: {', '.join(known)}")
    with quiet():
        network: nn.Module = AutoModel.from_config(AutoConfig.for_model(kind, **settings))  # type: ignore[no-untyped-call]  # transformers' own
    return network


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers without its reports of heads that were left out, and without bars."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers' own
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # transformers' own


def first_line(error: Exception) -> str:
    """What an error of a library says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _remedy(local: bool) -> str:
    return "check the folder" if local else "check the name and the network, or name a folder that holds it"
