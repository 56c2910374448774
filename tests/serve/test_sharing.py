"""Who of those that wait is computed with whom, when, and by which thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.errors import BusyError
from tidemill.serve.batching import SLICE_ROWS, Engine
from tidemill.serve.pace import Seconds
from tidemill.serve.room import BATCH_ROWS, Room

from .held import SLOW, Desk, at_desk, held_model

QUICKER = ((1, 0.0025), (16, 0.04))
FIXED = ((1, 0.1), (16, 0.1))
"""Seconds that say: a batch takes as long as one row."""
Share = Callable[[int, int, int, Seconds], int]


@pytest.fixture(scope="module")
def share(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Share:
    """What a thread takes of `rows` that wait, where of `threads` so many are `busy`, with the one that asks."""
    engines: list[Engine] = []

    async def keep(desk: Desk) -> None:
        engines.append(desk.engine)

    at_desk(*held_model(made / "reg"), tmp_path_factory.mktemp("log"), keep)

    def share(rows: int, threads: int, busy: int, seconds: Seconds) -> int:
        (engine,) = engines
        engine._pace, engine._rows, engine._busy = Room(seconds, engine._series), rows, busy
        engine._threads = [None] * threads  # type: ignore[list-item]  # they are only counted
        return engine._share()

    return share


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_share_is_a_part_where_a_part_is_quicker(share: Share, data: st.DataObject) -> None:
    rows, threads = data.draw(st.integers(1, 4096)), data.draw(st.integers(1, 16))
    busy = data.draw(st.integers(1, threads))
    start, each = data.draw(st.floats(0, 1)), data.draw(st.floats(1e-4, 1))
    free, whole = threads - busy + 1, min(rows, BATCH_ROWS)
    part = -(-rows // (free + 1))  # one more than there are threads: for who is done first
    took = share(rows, threads, busy, ((1, start + each), (16, start + 16 * each)))

    assert 1 <= took <= BATCH_ROWS
    saved = (start + each * part) / (start + each * whole)
    if saved < 0.7499:
        assert took == min(part, BATCH_ROWS)
    if saved > 0.7501:
        assert took == BATCH_ROWS  # all that waits


def test_threads_that_are_free_share_what_waits(made: Path, tmp_path: Path) -> None:
    """Of 12 rows each of two threads takes 4, and leaves 4 for who is done first."""
    model, held = held_model(made / "reg", workers=2, seconds=SLOW)

    async def scenario(desk: Desk) -> None:
        await desk.ask().values()  # from now on there are threads
        while desk.engine._busy:
            await asyncio.sleep(0.002)
        held.shut()
        asked = [desk.ask() for _ in range(12)]
        await held.came(3)
        assert sorted(held.runs) == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
        held.open()
        assert [await each.values() for each in asked] == [[at] for at in range(1, 13)]

    at_desk(model, held, tmp_path, scenario)


def test_where_a_part_takes_as_long_as_the_whole_one_thread_takes_all(made: Path, tmp_path: Path) -> None:
    model, held = held_model(made / "reg", workers=2, seconds=FIXED)

    async def scenario(desk: Desk) -> None:
        held.shut()
        asked = [desk.ask() for _ in range(12)]
        await held.came(1)
        assert held.runs == [list(range(12))]
        desk.ask()  # what comes meanwhile is the next batch, of the other thread
        await held.came(2)
        assert held.runs[1] == [12]
        held.open()
        assert [await each.values() for each in asked] == [[at] for at in range(12)]

    at_desk(model, held, tmp_path, scenario)


SIZES = st.lists(st.one_of(st.integers(1, 8), st.integers(20, 300)), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(sizes=SIZES, workers=st.integers(1, 3), fixed=st.booleans())
def test_each_row_is_computed_once_and_answers_its_own_request(
    tmp_path_factory: pytest.TempPathFactory, made: Path, sizes: list[int], workers: int, fixed: bool
) -> None:
    model, held = held_model(made / "reg", workers=workers, seconds=FIXED if fixed else QUICKER)

    async def scenario(desk: Desk) -> None:
        held.shut()
        asked = [desk.ask(size) for size in sizes[:-1]]
        await held.came(min(1, len(asked)))
        asked.append(desk.ask(sizes[-1]))  # while others compute
        held.open()
        for each in asked:
            assert await each.values() == each.marks

    logged = at_desk(model, held, tmp_path_factory.mktemp("log"), scenario)

    computed = [mark for run in held.runs for mark in run]
    assert sorted(computed) == list(range(sum(sizes)))
    assert all(run == list(range(run[0], run[0] + len(run))) for run in held.runs)  # neighbours, in their order
    assert max(map(len, held.runs)) <= SLICE_ROWS
    if workers == 1:
        assert computed == list(range(sum(sizes)))  # first come, first served
    assert sorted(float(row["output"]) for row in logged) == list(range(sum(sizes)))


def test_a_small_request_does_not_wait_for_a_large_one_before_it(made: Path, tmp_path: Path) -> None:
    """The large one has one thread, whatever its size; the other goes on."""
    model, held = held_model(made / "reg", workers=2)

    async def scenario(desk: Desk) -> None:
        held.shut()
        large = desk.ask(4000)
        await held.came(1)
        small = [desk.ask() for _ in range(3)]
        held.open(most=len(small))
        for each in small:
            assert await each.values() == each.marks
        assert not large.future.done()
        held.open()
        assert await large.values() == large.marks

    at_desk(model, held, tmp_path, scenario)


def test_a_large_request_is_not_overtaken_by_small_ones_that_came_later(made: Path, tmp_path: Path) -> None:
    model, held = held_model(made / "reg", workers=1)

    async def scenario(desk: Desk) -> None:
        held.shut()
        first = desk.ask()
        await held.came(1)
        large = desk.ask(300)
        later = [desk.ask() for _ in range(40)]
        held.open()
        for each in (first, large, *later):
            assert await each.values() == each.marks
        assert desk.answered[:2] == [first.first, large.first]
        assert desk.answered[2:] == [each.first for each in later]

    at_desk(model, held, tmp_path, scenario)


def test_one_whose_time_is_over_hears_of_it_while_the_others_wait_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.serve.room.WAITING_ROWS", 4)
    model, held = held_model(made / "reg", workers=1)

    async def scenario(desk: Desk) -> None:
        await desk.ask().values()  # from now on there is a thread
        held.shut()
        computed = desk.ask(timeout=1.0)  # its turn has come: it is not refused any more
        await held.came(2)
        before, hurried, after = desk.ask(), desk.ask(2, timeout=1.5), desk.ask()
        began = time.monotonic()
        error = await hurried.error()
        assert 1.4 < time.monotonic() - began < 15
        assert isinstance(error, BusyError) and "1.5 s" in error.headline and error.retry_after == 1
        assert not before.future.done()
        late = desk.ask(2)  # there is room again for two
        held.open()
        for each in (computed, before, after, late):
            assert await each.values() == each.marks
        assert desk.series.failures["timeout"] == 1
        assert desk.series.requests == 5

    logged = at_desk(model, held, tmp_path, scenario)

    assert 3 not in [mark for run in held.runs for mark in run]
    assert sorted(float(row["output"]) for row in logged) == [0, 1, 2, 5, 6, 7]


def test_one_who_was_answered_in_time_leaves_no_timer(made: Path, tmp_path: Path) -> None:
    model, held = held_model(made / "reg", workers=1)

    async def scenario(desk: Desk) -> None:
        loop = asyncio.get_running_loop()
        asked = [desk.ask(timeout=3600.0) for _ in range(5)]
        for each in asked:
            assert await each.values() == each.marks
        scheduled = [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        assert not [each for each in scheduled if each.when() > loop.time() + 1800]
        assert desk.series.failures["timeout"] == 0

    at_desk(model, held, tmp_path, scenario)


def test_who_cannot_be_answered_in_the_time_it_has_is_refused_at_once(made: Path, tmp_path: Path) -> None:
    model, held = held_model(made / "reg", workers=1)

    async def scenario(desk: Desk) -> None:
        held.shut()
        desk.ask()
        await held.came(1)
        desk.ask(100)  # a second of work, as the pace says
        with pytest.raises(BusyError, match=r"longer than 0\.5 s"):
            desk.ask(timeout=0.5)
        desk.ask(timeout=5.0)
        assert desk.series.failures["timeout"] == 1
        assert desk.series.pending == 3

    at_desk(model, held, tmp_path, scenario)


def test_one_who_went_away_is_not_computed_and_those_beside_it_are(made: Path, tmp_path: Path) -> None:
    model, held = held_model(made / "reg", workers=1, seconds=FIXED)

    async def scenario(desk: Desk) -> None:
        held.shut()
        desk.ask()
        await held.came(1)
        stays, goes, last = desk.ask(2), desk.ask(3, gone=lambda: True), desk.ask()
        held.open()
        assert isinstance(await goes.error(), BusyError)
        assert (await stays.values(), await last.values()) == (stays.marks, last.marks)
        assert held.runs[1] == [*stays.marks, *last.marks]
        assert desk.series.failures["client_gone"] == 1

    logged = at_desk(model, held, tmp_path, scenario)

    assert len(logged) == 4


@pytest.mark.parametrize(("waiting", "workers", "seconds"), [(10, 1, 1), (250, 1, 3), (250, 3, 1), (900, 1, 9)])
def test_when_to_come_again_is_when_what_waits_is_done(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int, workers: int, seconds: int
) -> None:
    """A row takes 0.01 s."""
    monkeypatch.setattr("tidemill.serve.room.WAITING_ROWS", waiting)
    model, held = held_model(made / "reg", workers=workers)

    async def scenario(desk: Desk) -> None:
        held.shut()
        for number in range(1, workers + 1):
            desk.ask()
            await held.came(number)
        desk.ask(waiting)
        with pytest.raises(BusyError, match=f"{waiting} inputs are waiting already") as refused:
            desk.ask()
        assert refused.value.retry_after == seconds
        assert f"{seconds} s" in refused.value.remedy
        assert desk.series.failures["queue_full"] == 1

    at_desk(model, held, tmp_path, scenario)


def test_nobody_is_told_to_stay_away_for_longer_than_half_a_minute(made: Path, tmp_path: Path) -> None:
    model, held = held_model(made / "reg", workers=1, seconds=((1, 1.0), (16, 16.0)))

    async def scenario(desk: Desk) -> None:
        held.shut()
        desk.ask()
        await held.came(1)
        desk.ask(60)
        with pytest.raises(BusyError, match="longer than 10 s") as refused:
            desk.ask()
        assert refused.value.retry_after == 30
        assert desk.series.failures["too_slow"] == 1

    at_desk(model, held, tmp_path, scenario)
