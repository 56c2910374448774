"""docs/faults.md names tests that exist."""

from __future__ import annotations

import re

from .load import ROOT


def test_every_fault_of_the_table_has_its_tests() -> None:
    lines = [line for line in (ROOT / "docs/faults.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(lines) >= 27
    for line in lines:
        named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", line)
        assert named, line
        for path, name in named:
            assert f"\ndef {name}(" in (ROOT / path).read_text(), f"{path}::{name}"
