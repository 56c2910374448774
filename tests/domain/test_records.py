"""Digests, records and ids: properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.domain.bundle import Bundle, ImagePreprocessing, TabularPreprocessing, TextPreprocessing
from tidemill.domain.dataset import Column, DatasetVersion, Shard, Split, Version
from tidemill.domain.digest import Digest, canonical_json
from tidemill.domain.prediction import is_prediction_id, new_prediction_id, prediction_time
from tidemill.domain.record import from_plain, to_plain
from tidemill.domain.registry import GENESIS, Event, fold

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_the_order_of_keys_does_not_change_a_digest(value: dict[str, Any]) -> None:
    turned = dict(reversed(list(value.items())))
    assert Digest.of_json(value) == Digest.of_json(turned)
    assert canonical_json(value) == canonical_json(turned)


@given(st.binary(min_size=1), st.integers(min_value=0))
def test_one_bit_changes_a_digest(content: bytes, place: int) -> None:
    flipped = bytearray(content)
    flipped[place % len(content)] ^= 1
    assert Digest.of_bytes(content) != Digest.of_bytes(bytes(flipped))


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "g" * 64, "md5:" + "0" * 32, "sha256:" + "0" * 63])
def test_only_a_digest_is_a_digest(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Digest(text)


def _version(**changes: Any) -> DatasetVersion:
    shard = Shard("shards/train-0.parquet", Digest.of_bytes(b"x"), 3, 100)
    values: dict[str, Any] = {
        "name": "digits", "version": "1.0.0", "task": "image", "kind": "classification",
        "digest": Digest.of_bytes(b"d"),
        "columns": (Column("data", "binary", "image"), Column("label", "string", "target")),
        "splits": (Split("train", 3, {"10": 1, "9": 2}, (shard,)), Split("test", 1, {"2": 1}, ())),
    }  # fmt: skip
    return DatasetVersion(**{**values, **changes})


def test_a_record_survives_the_trip_to_json_and_back() -> None:
    assert from_plain(DatasetVersion, to_plain(_version())) == _version()


def test_numbers_as_labels_sort_as_numbers() -> None:
    assert _version().classes == ("2", "9", "10")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extra": 1}, "unknown field 'extra'"),
        ({"task": "sound"}, "must be one of image, text, tabular"),
        ({"digest": "sha256:no"}, "not a digest"),
        ({"splits": 3}, "must be a list"),
        ({"name": 3}, "must be str"),
    ],
)
def test_a_wrong_record_is_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_plain(DatasetVersion, to_plain(_version()) | change)


def test_a_missing_field_is_named() -> None:
    plain = to_plain(_version())
    del plain["digest"]
    with pytest.raises(ValueError, match="lacks the field 'digest'"):
        from_plain(DatasetVersion, plain)


@pytest.mark.parametrize(
    "preprocessing",
    [ImagePreprocessing("L", 8, 8), TextPreprocessing(64, 0), TabularPreprocessing(())],
    ids=["image", "text", "tabular"],
)
def test_the_kind_of_preprocessing_is_told_by_its_type(preprocessing: object) -> None:
    from typing import get_type_hints

    from tidemill.domain.record import _build

    assert _build(get_type_hints(Bundle)["preprocessing"], to_plain(preprocessing), "preprocessing") == preprocessing


@given(st.tuples(*[st.integers(0, 999)] * 3), st.tuples(*[st.integers(0, 999)] * 3))
def test_versions_order_as_numbers(a: tuple[int, int, int], b: tuple[int, int, int]) -> None:
    first, second = Version(*a), Version(*b)
    assert Version.parse(str(first)) == first
    assert (first < second) == (a < b)


def test_prediction_ids_sort_by_time_and_know_it() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    ids = [new_prediction_id() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(map(is_prediction_id, ids))
    assert before <= prediction_time(ids[0]) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["", "x", "../../etc", "8" + "0" * 25, "0" * 25 + "U", "7" + "Z" * 25])
def test_other_texts_are_no_prediction_ids(text: str) -> None:
    assert not is_prediction_id(text)
    with pytest.raises(ValueError, match="not a prediction id"):
        prediction_time(text)


MOVES = st.lists(st.sampled_from(["registered", "promoted", "rolled_back"]), max_size=20)


@given(MOVES, st.randoms(use_true_random=False))
def test_folding_never_serves_what_was_not_promoted(moves: list[Any], random: Any) -> None:
    events: list[Event] = []
    start, known, promoted = datetime(2026, 1, 1, tzinfo=UTC), 0, set()
    for step, kind in enumerate(moves):
        payload: dict[str, Any] = {}
        if kind == "registered":
            known += 1
            payload = {"version": known, "bundle": str(GENESIS), "run": "r"}
        elif kind == "promoted":
            if not known:
                continue
            payload = {"version": random.randint(1, known)}
            promoted.add(payload["version"])
        at = start + timedelta(seconds=step)
        events.append(Event(step, at, "me", kind, "m", payload, GENESIS, GENESIS))
    state = fold(events)
    assert set(state.champions) <= promoted
    assert len(state.versions) == known
    for event in events:  # the state at a time is the state of the events up to it
        assert fold(events, until=event.at) == fold([e for e in events if e.at <= event.at])
