"""The contract of ports.PredictionSink and ports.PredictionLog, which are two ends of one thing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from tidemill.domain.digest import Digest
from tidemill.domain.prediction import Feedback, Prediction, new_prediction_id
from tidemill.domain.record import now
from tidemill.errors import NotFoundError

if TYPE_CHECKING:
    from tidemill.ports import PredictionLog, PredictionSink


def prediction(*, version: int = 1, model: str = "digits") -> Prediction:
    """An answer of a classifier; its floats are exact in 32 bits."""
    content = b"\x89PNG\x00\xff"
    return Prediction(
        new_prediction_id(), now(), model, version, Digest.of_bytes(b"bundle"), Digest.of_bytes(content), content,
        (0.25, 0.75), "7", (1.5, -2.0), 0.5,
    )  # fmt: skip


def check_log(open_sink: Callable[[], PredictionSink], open_log: Callable[[], PredictionLog]) -> None:
    """What was appended is there at once, exactly once, while the sink is open and after it was closed.

    `open_sink` and `open_log` open the same log, empty at first; each is called several times.
    """
    sink = open_sink()
    logged = [prediction(version=1 + i % 2) for i in range(20)]
    sink.append(logged[:1])
    sink.append(logged[1:])
    label = Feedback(logged[3].id, "1", now(), "digits")
    later = Feedback(logged[3].id, "7", now() + timedelta(seconds=1), "digits")
    sink.feedback([label])
    sink.feedback([later])
    for closed in (False, True):
        if closed:
            sink.close()
            open_sink().close()
        log = open_log()
        assert log.find(logged[7].id) == logged[7]
        table = log.window("digits", version=None, since=None, until=None)
        assert sorted(table["id"].to_pylist()) == sorted(each.id for each in logged), "each answer once"
        assert table.num_rows - table["label"].null_count == 1
        assert log.window("digits", version=2, since=None, until=None).num_rows == 10
        assert log.window("nobody", version=None, since=None, until=None).num_rows == 0
        assert {key: each.label for key, each in log.labels([logged[3].id, logged[4].id]).items()} == {
            logged[3].id: "7"
        }, "the latest label counts"
        assert log.labels([]) == {}
        try:
            log.find(new_prediction_id())
        except NotFoundError:
            continue
        raise AssertionError("find() found what was never appended")
