"""`POST /v1/models/NAME:predict`: plain JSON and uploaded pictures."""

from __future__ import annotations

import orjson

from tidemill.serve.address import Body, Headers
from tidemill.serve.inputs import read_inputs
from tidemill.serve.job import Answer, Given
from tidemill.serve.model import ServedModel


class Plain:
    """JSON or files in, JSON out."""

    def read(self, model: ServedModel, headers: Headers, body: bytes) -> tuple[Given, None]:
        """As `read_inputs`."""
        return read_inputs(model.signature.task, headers.get(b"content-type", b"").decode("latin-1"), body), None

    def write(self, answer: Answer, asked: None) -> Body:
        """As `render`."""
        return Body(render(answer))


def render(answer: Answer) -> bytes:
    """The answer's document: for each row its id, and class, score and all scores, or the value."""
    form = _Form.of(answer.model)
    results = answer.results
    several = range(answer.start, answer.stop)
    if not form.labels:
        rows = [b'{"id":"%b","value":%b}' % (results.ids[at].encode(), results.written[at][0]) for at in several]
    else:
        rows = []
        for at in several:
            written = results.written[at]
            place = form.labels[results.outputs[at]]
            rows.append(form.row % (results.ids[at].encode(), form.names[place], written[place], *written))
    return b"%b%b]}" % (form.head, b",".join(rows))


class _Form:
    """What is the same in all answers of a model, as JSON."""

    _last: tuple[ServedModel, _Form] | None = None

    def __init__(self, model: ServedModel) -> None:
        labels = model.signature.labels
        self.labels = {label: place for place, label in enumerate(labels)}
        self.names = [orjson.dumps(label) for label in labels]
        named = b",".join(name.replace(b"%", b"%%") + b":%b" for name in self.names)
        self.row = b'{"id":"%b","class":%b,"score":%b,"scores":{' + named + b"}}"
        self.head = b'{"model":%b,"version":%d,"predictions":[' % (orjson.dumps(model.name), model.version)

    @classmethod
    def of(cls, model: ServedModel) -> _Form:
        """Kept for the model in service."""
        if cls._last is None or cls._last[0] is not model:
            cls._last = model, cls(model)
        return cls._last[1]
