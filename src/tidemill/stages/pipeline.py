"""The training as steps: what each is made of, what it left, and whether it has to be done again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tidemill.domain.digest import Digest
from tidemill.domain.record import from_plain, to_plain
from tidemill.files import write_atomic

RECEIPT = "receipt.json"
CODE = ("src", "pretrained")
"""The folders of a project that make what its code makes."""


@dataclass(frozen=True, slots=True)
class Step:
    """`needs` are the steps before it, `sections` the parts of the configuration that it depends on.

    `made_by_code`: it also depends on the project's own code, pretrained weights and the environment.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    sections: tuple[str, ...]
    made_by_code: bool = False


STEPS = (
    Step("data", "the data version, verified", (), ("task", "data.name", "data.version")),
    Step(
        "train", "a run in MLflow, and its model", ("data",),
        ("name", "task", "seed", "data", "model", "optimizer", "trainer", "callbacks"), made_by_code=True,
    ),
    Step("evaluate", "the model on the test split", ("data", "train"), ("report",), made_by_code=True),
    Step("export", "a bundle that answers as the model does", ("data", "train", "evaluate"), ("name", "export")),
    Step("register", "the bundle as a version, the challenger", ("export",), ("name",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a step was made of, by name, and what it left: files with their digests, and facts for a person."""

    step: str
    inputs: Mapping[str, str]
    files: Mapping[str, Digest]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """Of all that it left."""
        return Digest.of_json(to_plain({"files": self.files, "facts": self.facts}))


def step_named(name: str) -> Step | None:
    """The step of that name."""
    return next((step for step in STEPS if step.name == name), None)


def after(name: str) -> set[str]:
    """The step, and all that depend on it."""
    found = {name}
    for step in STEPS:
        if found & set(step.needs):
            found.add(step.name)
    return found


def write_receipt(folder: Path, step: str, inputs: Mapping[str, str], facts: Mapping[str, Any]) -> Receipt:
    """Make the files in `folder` what the step left."""
    receipt = Receipt(step, dict(inputs), _digests(folder), dict(facts))
    write_atomic(folder / RECEIPT, json.dumps(to_plain(receipt), indent=2).encode())
    return receipt


def read_receipt(folder: Path) -> tuple[Receipt | None, str]:
    """The receipt in `folder`, or None and why what lies there is not what a step left."""
    try:
        receipt = from_plain(Receipt, json.loads((folder / RECEIPT).read_bytes()))
    except OSError:
        return None, "never done"
    except ValueError:
        return None, "its receipt cannot be read"
    present = _digests(folder)
    for name in sorted({*receipt.files, *present}):
        if receipt.files.get(name) != present.get(name):
            what = "is gone" if name not in present else "was altered" if name in receipt.files else "was added"
            return None, f"{name} {what}"
    return receipt, ""


def _digests(folder: Path) -> dict[str, Digest]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / RECEIPT)
    return {path.relative_to(folder).as_posix(): Digest.of_file(path) for path in files}


def changes(recorded: Mapping[str, str], present: Mapping[str, str], *, anyway: bool = False) -> list[str]:
    """What differs, each in a few words; with `anyway` what is installed does not count."""
    found = []
    for name in [*present, *(name for name in recorded if name not in present)]:
        was, now = recorded.get(name), present.get(name)
        if was != now and not (anyway and name.startswith(("package ", "python", "platform"))):
            found.append(f"{name} {_short(was)} -> {_short(now)}")
    return found


def _short(text: str | None) -> str:
    if text is None:
        return "none"
    return text[7:15] if text.startswith("sha256:") else text[:40]
