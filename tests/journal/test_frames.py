from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import StorageError
from tidemill.journal.frames import HEADER, MAGIC, check_header, join_frames, read_frame_at, read_frames

PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@given(PAYLOADS)
def test_what_is_written_is_read(payloads: list[bytes]) -> None:
    content = HEADER + join_frames(payloads)

    read = read_frames(content)

    assert [each.payload for each in read.frames] == payloads
    assert (read.end, read.ignored) == (len(content), 0)
    assert [read_frame_at(io.BytesIO(content), each.offset) for each in read.frames] == payloads


@given(PAYLOADS.filter(bool), st.data())
def test_a_torn_tail_is_told_from_a_frame_and_counted(payloads: list[bytes], data: st.DataObject) -> None:
    whole = HEADER + join_frames(payloads[:-1])
    content = whole + join_frames(payloads[-1:])
    cut = data.draw(st.integers(len(whole), len(content) - 1))

    read = read_frames(content[:cut])

    assert [each.payload for each in read.frames] == payloads[:-1]
    assert (read.end, read.ignored) == (len(whole), cut - len(whole))


@given(PAYLOADS.filter(bool), st.data())
def test_an_altered_byte_ends_what_is_believed(payloads: list[bytes], data: st.DataObject) -> None:
    content = bytearray(HEADER + join_frames(payloads))
    place = data.draw(st.integers(len(HEADER), len(content) - 1))
    content[place] ^= 0x10

    read = read_frames(bytes(content))

    kept = [each.payload for each in read.frames]
    assert kept == payloads[: len(kept)]
    assert len(kept) < len(payloads)
    assert read.end <= place < read.end + read.ignored


def test_a_spool_of_a_later_format_is_not_guessed_at() -> None:
    with pytest.raises(StorageError, match="format 9"):
        check_header(MAGIC + b"\x09", "x.spool")


def test_another_file_is_no_spool() -> None:
    with pytest.raises(StorageError, match="not a spool"):
        check_header(b"PAR1....", "x.spool")


def test_a_frame_that_is_not_whole_is_not_read() -> None:
    with pytest.raises(StorageError, match="altered"):
        read_frame_at(io.BytesIO(join_frames([b"abc"])[:-1]), 0)


def test_zeros_behind_the_last_frame_are_no_frames() -> None:
    """As a file system leaves them that had given the room and not yet the content when the power went."""
    content = HEADER + join_frames([b"one", b"two"])
    read = read_frames(content + bytes(64))
    assert [each.payload for each in read.frames] == [b"one", b"two"]
    assert (read.end, read.ignored) == (len(content), 64)
