"""When spools are sealed, by whom, and what stays possible where nobody can."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.errors import MissingExtraError, StorageError
from tidemill.journal import sweep as sweeping
from tidemill.journal import writer as writing
from tidemill.journal.batches import batch_payload
from tidemill.journal.columns import to_parquet, to_table
from tidemill.journal.find import LoggedAnswers, Spools
from tidemill.journal.heads import Heads
from tidemill.journal.read import Journal
from tidemill.journal.records import prediction_payload, to_micros
from tidemill.journal.segments import segments
from tidemill.journal.spool import Spool
from tidemill.journal.writer import Writer
from tidemill.ports import Answered, Asked

from .conftest import Make

_SERVER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name, name=name)
if sys.argv[2] == "without":
    sys.meta_path.insert(0, Absent())
from pathlib import Path
from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.errors import MissingExtraError, StorageError
from tidemill.journal.find import LoggedAnswers
root, digest = Path(sys.argv[1]), Digest.of_bytes(b"")
sink, answers = ParquetSink(root), LoggedAnswers(root)
one = Prediction(new_prediction_id(), now(), "digits", 1, digest, digest, b"x", (1.0,), "0", (2.0,), 1.0)
sink.append([one])
assert "pyarrow" not in sys.modules
assert answers.find_all([one.id, new_prediction_id()]) == {one.id: one}
sink.feedback([Feedback(one.id, "3", now(), "digits")])
answers.find_all([one.id])
assert answers.labels([one.id])[one.id].label == "3"
sink.close()
print(one.id)
for old in sys.argv[3:]:
    try:
        print(*answers.find_all([old]))
    except MissingExtraError as error:
        print(error.remedy)
"""


def _serve(root: Path, arrow: str, *old: str) -> list[str]:
    command = [sys.executable, "-c", _SERVER, str(root), arrow, *old]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_without_arrow_a_server_leaves_spools_and_whoever_has_it_seals_them(root: Path) -> None:
    [first] = _serve(root, "without")
    assert not segments(root, "predictions") and len(list((root / "spool").glob("*.spool"))) == 1
    assert Journal(root).predictions()["id"].to_pylist() == [first]

    assert sweeping.seal_abandoned(root) == 1
    assert len(segments(root, "predictions")) == len(segments(root, "feedback")) == 1
    assert Journal(root).labels([first])[first].label == "3"


def test_without_arrow_what_is_sealed_is_said_to_need_it(root: Path) -> None:
    [first] = _serve(root, "with")
    assert len(segments(root, "predictions")) == 1
    [second, said] = _serve(root, "without", first)
    assert "pip install 'tidemill[parquet]'" in said
    [_, *found] = _serve(root, "with", first, second)
    assert found == [first, second]


def test_only_spools_of_the_time_are_read(root: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = []
    for age in (3, 2, 1, 0):
        spool = Spool(root / "spool")
        logged.append(make())
        spool.append([prediction_payload(logged[-1])], 1)
        spool.close()
        if age:  # its last row was before this prediction
            os.utime(spool.path, (early := time.time() - 86_400 * age, early))
    answers = Spools(root)
    assert answers.find_all([logged[3].id]) == {logged[3].id: logged[3]}
    assert len(answers._heads) == 1
    assert answers.find_all([logged[0].id]) == {}  # as its spool's time says
    monkeypatch.setattr("tidemill.journal.tails._SLACK", timedelta(days=9))
    assert answers.find_all([each.id for each in logged]) == {each.id: each for each in logged}
    assert answers.find_all([new_prediction_id(), "no id"]) == {}


def test_no_more_heads_are_kept_than_there_is_room_for(root: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.journal.find._HELD", 1)
    logged = []
    for _ in range(3):
        spool = Spool(root / "spool")
        logged.append(make())
        spool.append([_batch(logged[-1])], 1)
        spool.close()
    answers = Spools(root)
    for _ in range(2):
        assert answers.find_all([each.id for each in logged]).keys() == {each.id for each in logged}
        assert len(answers._heads) == 1


def test_many_ids_are_found_by_reading_each_head_once(root: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(root / "spool")
    logged = [make() for _ in range(300)]
    spool.append([_batch(each) for each in logged], len(logged))
    spool.close()
    parsed: list[int] = []
    loads = orjson.loads

    def counted(text: bytes) -> object:
        parsed.append(1)
        return loads(text)

    monkeypatch.setattr("tidemill.journal.heads.orjson.loads", counted)
    heads = Heads(spool.path)
    heads.advance()
    assert {row["id"] for row in heads.rows([each.id for each in logged])} == {each.id for each in logged}
    assert len(parsed) <= 3 * len(logged)  # and once more each where its row is read


def test_what_a_loss_of_power_leaves_of_the_last_batch_does_not_count(root: Path, make: Make) -> None:
    spool = Spool(root / "spool")
    first, last = make(), make()
    spool.append([_batch(first)], 1)
    whole = spool.size
    spool.append([_batch(last)], 1)
    spool.close()
    content = spool.path.read_bytes()
    spool.path.write_bytes(content[:-40] + bytes(40))  # its length and its head are there
    heads = Heads(spool.path)
    heads.advance()
    assert (heads.end, heads.ignored) == (whole, len(content) - whole)
    assert [row["id"] for row in heads.rows([first.id, last.id])] == [first.id]
    assert heads.answered()["id"].to_pylist() == Journal(root).predictions()["id"].to_pylist() == [first.id]


def _batch(one: Prediction) -> bytes:
    """As a server writes a prediction."""
    asked = Asked("rows", 1, b'{"inputs": [{"a": 1}]}', 1.0)
    floats = np.ones((1, 2), np.float32)
    answered = Answered(
        one.model, one.version, str(one.bundle), to_micros(one.at), [one.id], [one.output], floats, floats, [asked]
    )
    return batch_payload(answered)


def test_feedback_on_what_is_sealed_elsewhere_is_refused_and_not_called_unknown(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = ParquetSink(root)
    one = make()
    sink.append([one])
    sink.close()
    assert LoggedAnswers(root).find_all([one.id]) == {one.id: one}
    monkeypatch.setattr("tidemill.journal.find.can_seal", lambda: False)
    with pytest.raises(MissingExtraError):
        LoggedAnswers(root).find_all([one.id])


def test_a_busy_process_seals_later(root: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_QUIET", -1.0)  # as if it were busy all the time
    writer = Writer(root, max_rows=1)
    for _ in range(3):
        writer.append([prediction_payload(make())])
    time.sleep(3)
    assert not segments(root, "predictions")
    monkeypatch.setattr(writing, "_QUIET", 1e9)
    deadline = time.monotonic() + 60
    while len(segments(root, "predictions")) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(segments(root, "predictions")) == 2  # the third is in the spool that is written to
    writer.close()
    assert Journal(root).predictions().num_rows == 3


def test_a_busy_process_seals_all_the_same_where_too_much_is_left(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_QUIET", -1.0)
    monkeypatch.setattr(writing, "_MOST", 1)
    writer = Writer(root, max_rows=1)
    for _ in range(2):
        writer.append([prediction_payload(make())])
    deadline = time.monotonic() + 60
    while not segments(root, "predictions") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(segments(root, "predictions")) == 1
    writer.close()


def test_sealing_is_given_up_when_there_is_no_more_time(root: Path, make: Make) -> None:
    spool = Spool(root / "spool")
    spool.append([prediction_payload(make())], 1)
    spool.close()
    with pytest.raises(StorageError, match="could not be sealed: it was ended"):
        sweeping.seal_apart(root, spool.path, lambda: True)
    assert spool.path.exists() and Journal(root).predictions().num_rows == 1


def test_what_cannot_be_sealed_is_told_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "spool").mkdir(parents=True)
    (root / "spool" / "00-foreign.spool").write_bytes(b"something else")
    monkeypatch.setattr(writing, "_QUIET", 1e9)
    monkeypatch.setattr(writing, "_RETRY", 0.0)
    told: list[str] = []
    writer = Writer(root, tell=told.append)
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    writer.close()
    assert len(told) == 1 and "00-foreign.spool" in told[0] and "not a spool" in told[0]


def test_a_spool_that_is_let_go_is_sealed_by_another_process(root: Path, make: Make) -> None:
    """As monitoring does for a server that is too busy to seal, or has no Arrow."""
    writer = Writer(root, max_rows=1)
    for _ in range(2):
        writer.append([prediction_payload(make())])
    deadline = time.monotonic() + 20
    while not sweeping.seal_abandoned(root) and not segments(root, "predictions") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(segments(root, "predictions")) == 1
    assert Journal(root).predictions().num_rows == 2
    writer.append([prediction_payload(make())])
    writer.close()
    assert Journal(root).predictions().num_rows == 3


def test_at_the_end_no_longer_than_a_moment_is_spent_on_others_spools(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        spool = Spool(root / "spool")
        spool.append([prediction_payload(make())], 1)
        spool.close()
    monkeypatch.setattr(writing, "_PARTING", 0.0)
    ParquetSink(root).close()
    assert len(list((root / "spool").glob("*.spool"))) == 3  # its own is empty, and gone
    assert Journal(root).predictions().num_rows == 3


@pytest.mark.parametrize(("size", "groups"), [(10, 2), (100_000, 100)])
def test_row_groups_are_small_in_bytes_too(make: Make, size: int, groups: int) -> None:
    """One id is found by decoding one of them."""
    rows, one = 2100, make()
    fields = {
        "id": one.id, "at": to_micros(one.at), "model": "m", "version": 1, "bundle": str(one.bundle),
        "input_digest": str(one.input_digest), "input": bytes(size), "scores": [1.0], "output": "a",
        "embedding": [1.0], "latency_ms": 1.0,
    }  # fmt: skip
    content = to_parquet(to_table("predictions", [fields] * rows))
    metadata = pq.read_metadata(io.BytesIO(content))
    assert metadata.num_rows == rows
    assert groups <= metadata.num_row_groups <= groups + 8


def test_feedback_keeps_its_place(root: Path, make: Make) -> None:
    sink = ParquetSink(root)
    one = make()
    sink.append([one])
    sink.feedback([Feedback(one.id, "a", now(), "m"), Feedback(one.id, "b", now(), "m")])
    assert LoggedAnswers(root).labels([one.id])[one.id].label == "b"
    sink.close()
