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
import pyarrow.parquet as pq
import pytest

from tidemill.backends.sinks.parquet import ParquetSink
from tidemill.domain.prediction import Feedback, new_prediction_id
from tidemill.domain.record import now
from tidemill.errors import MissingExtraError
from tidemill.journal import sweep as sweeping
from tidemill.journal import writer as writing
from tidemill.journal.columns import to_parquet, to_table
from tidemill.journal.find import LoggedAnswers, Unsealed
from tidemill.journal.read import Journal
from tidemill.journal.records import prediction_payload, to_micros
from tidemill.journal.segments import segments
from tidemill.journal.spool import Spool
from tidemill.journal.writer import Writer

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
from tidemill.errors import MissingExtraError
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
    for hour in range(4):
        spool = Spool(root / "spool")
        logged.append(make())
        spool.append([prediction_payload(logged[-1])], 1)
        spool.close()
        early = time.time() - 86_400 * (4 - hour)
        if hour < 3:
            os.utime(spool.path, (early, early))  # its last row was before this prediction
    answers = Unsealed(root)
    assert answers.find_all([logged[3].id]) == {logged[3].id: logged[3]}
    assert len(answers._tails) == 1
    assert answers.find_all([logged[0].id]) == {}  # as its spool's time says
    monkeypatch.setattr("tidemill.journal.find._SLACK", timedelta(days=9))
    assert answers.find_all([each.id for each in logged]) == {each.id: each for each in logged}
    assert answers.find_all([new_prediction_id(), "no id"]) == {}


def test_feedback_on_what_is_sealed_elsewhere_is_refused_and_not_called_unknown(root: Path, make: Make) -> None:
    sink = ParquetSink(root)
    one = make()
    sink.append([one])
    sink.close()
    with pytest.raises(MissingExtraError):
        Unsealed(root).find_all([one.id])
    assert LoggedAnswers(root).find_all([one.id]) == {one.id: one}


def _work(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        np.dot(np.ones(1000), np.ones(1000))


def test_a_busy_process_seals_later(root: Path, make: Make) -> None:
    writer = Writer(root, max_rows=1)
    for _ in range(3):
        writer.append([prediction_payload(make())])
    _work(4)
    assert not segments(root, "predictions")
    deadline = time.monotonic() + 40
    while len(segments(root, "predictions")) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(segments(root, "predictions")) == 2  # the third is in the spool that is written to
    writer.close()
    assert len(segments(root, "predictions")) == 3


def test_a_busy_process_seals_all_the_same_where_too_much_is_left(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_MOST", 1)
    writer = Writer(root, max_rows=1)
    for _ in range(2):
        writer.append([prediction_payload(make())])
    deadline = time.monotonic() + 40
    while not segments(root, "predictions") and time.monotonic() < deadline:
        _work(0.2)
    assert len(segments(root, "predictions")) == 1
    writer.close()


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
    assert len(list((root / "spool").glob("*.spool"))) == 3  # of four, the new one among them
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
    answers = Unsealed(root)
    answers.find_all([one.id])
    assert answers.labels([one.id])[one.id].label == "b"
    sink.close()
