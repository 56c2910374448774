"""Canonical JSON is the same whoever writes it."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidemill.domain.digest import canonical_json

_FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-6, 1e-3) | st.floats(1e14, 1e18)
_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | _FLOATS | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def _plainly(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@given(st.dictionaries(st.text(), _VALUES, max_size=6))
@example({"a": 1e-05, "b": 0.0001, "c": 9.999e-05, "d": 1e16, "e": 9999999999999998.0, "f": -0.0, "g": 1e22})
@example({"\U0001f30a": 1, "\uffff": 2, "é": 3, "\x7f": "\x00\x1f\x7f\u2028/"})
@example({"big": 2**64, "bigger": 2**63, "least": -(2**63)})
def test_rows_are_written_as_the_standard_library_writes_them(row: dict[str, Any]) -> None:
    assert canonical_json(row) == _plainly(row)


@given(st.binary(min_size=8, max_size=8))
def test_any_float_is(bits: bytes) -> None:
    (value,) = struct.unpack("<d", bits)
    if math.isfinite(value):
        assert canonical_json({"x": value}) == _plainly({"x": value})


def test_what_is_no_number_is_refused() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON"):
            canonical_json({"x": value})
    with pytest.raises(UnicodeEncodeError):
        canonical_json({"x": "\ud800"})
