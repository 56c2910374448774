"""Changing bytes as damage and attackers do."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, sound: bytes) -> bytes:
    """`sound` with one to six places changed, cut, repeated, or filled with what often breaks readers."""
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.sampled_from(("set", "extreme", "cut", "insert", "delete", "repeat"))):
            case "set" if content:
                content[at] = draw(st.integers(0, 255))
            case "extreme":
                filler = draw(st.sampled_from((b"\xff", b"\x00", b"\x7f", b"\x80")))
                content[at : at + draw(st.integers(1, 8))] = filler * draw(st.sampled_from((1, 4, 8)))
            case "cut":
                del content[at:]
            case "insert":
                content[at:at] = draw(st.binary(min_size=1, max_size=12))
            case "delete":
                del content[at : at + draw(st.integers(1, 12))]
            case _:
                content[at:at] = content[at : at + draw(st.integers(1, 64))]
    return bytes(content)
