"""What a request of protocol v2 asks for beside its tensors: outputs, their form, and how long it may wait.

Of the parameters that Triton's extensions know (docs/protocol of triton-inference-server/server) those are heeded that
mean something here; those that ask for what is not here are refused, for to ignore them would be another answer than
the one that was asked for. `priority` is what it is in Triton where a model has no levels of it: without effect. All
others are the client's own, and are left aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tidemill.domain.bundle import Signature
from tidemill.errors import InputError, nearest
from tidemill.serve.failure import refusal

OUTPUTS = ("scores", "embedding", "output")
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_RESERVED = "triton_"
_MICROSECOND = 1e-6
_NONE: frozenset[str] = frozenset()
_NO_CLASSES: Mapping[str, int] = MappingProxyType({})


class Asked(NamedTuple):
    """Which outputs a request wants, which of them in binary, and the id that it gave itself.

    `classes` says of how many classes, the likeliest first, an output is to be; `timeout` is in seconds, 0 for none.
    """

    outputs: tuple[str, ...]
    binary: frozenset[str]
    id: str | None
    classes: Mapping[str, int]
    timeout: float


def read_wishes(document: Mapping[str, Any], signature: Signature) -> Asked:
    """What is asked for. Raises InputError: 422 for an unknown output, 400 for a parameter that is wrong."""
    request_id = document.get("id")
    own_id = request_id if isinstance(request_id, str) else None
    if "parameters" not in document and not document.get("outputs"):
        return Asked(OUTPUTS, _NONE, own_id, _NO_CLASSES, 0.0)
    everything, timeout = False, 0.0
    if "parameters" in document:
        everything, timeout = _of_request(_object(document["parameters"]))
    listed = document.get("outputs") or [{"name": name} for name in OUTPUTS]
    names, binary, classes = [], set(), {}
    for each in listed if isinstance(listed, list) else [None]:
        own = each if isinstance(each, dict) else {}
        name = own.get("name")
        if name not in OUTPUTS:
            raise InputError(f"unknown output {str(name)[:60]!r}", nearest(str(name)[:60], OUTPUTS, kind="outputs"))
        names.append(name)
        wishes = _object(own["parameters"]) if "parameters" in own else {}
        refuse_shared_memory(wishes)
        if _flag(wishes, "binary_data", everything):
            binary.add(name)
        if count := _count(wishes, "classification", "so many classes"):
            _check_classes(name, signature)
            classes[name] = count
    return Asked(tuple(dict.fromkeys(names)), frozenset(binary), own_id, classes, timeout)


def refuse_shared_memory(parameters: Mapping[str, Any]) -> None:
    """Raises InputError, 400, for a tensor that lies, or is to be put, where only a server on this machine reads."""
    if "shared_memory_region" in parameters:
        raise refusal(400, "there is no shared memory here", "send the tensor itself, as JSON or in binary")


def _of_request(parameters: Mapping[str, Any]) -> tuple[bool, float]:
    for name in _SEQUENCE:
        if parameters.get(name):
            raise refusal(400, f"{name} is not taken: the models here keep no state", "send each request for itself")
    for name in parameters:
        if name.startswith(_RESERVED):
            raise refusal(400, f"the parameter {name[:60]!r} is not known here", "leave it away")
    _count(parameters, "priority", "a level, 0 for none")
    timeout = _count(parameters, "timeout", "microseconds, 0 for none")
    return _flag(parameters, "binary_data_output", False), timeout * _MICROSECOND


def _check_classes(name: str, signature: Signature) -> None:
    if name != "scores":
        raise refusal(400, f"there is no classification of {name!r}", "ask for it of the output 'scores'")
    if not signature.labels:
        raise refusal(400, "there is no classification: the model answers with a number", "ask for 'output'")


def _object(parameters: Any) -> Mapping[str, Any]:
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise refusal(400, '"parameters" is not an object', 'write them as {"name": value}')
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise refusal(400, f"{name} is {str(value)[:40]!r}", "it is true or false")
    return value


def _count(parameters: Mapping[str, Any], name: str, what: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise refusal(400, f"{name} is {str(value)[:40]!r}", f"it is a whole number: {what}")
    return value
