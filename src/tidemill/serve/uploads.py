"""Files out of a multipart/form-data body, in memory: the body is bounded already."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tidemill.errors import InputError
from tidemill.serve.failure import refusal

MAX_FILES = 1024


class _Parts:
    """Collects the content of the parts that carry a file name."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self.complete = False
        self._disposition = b""
        self._name = bytearray()
        self._value = bytearray()
        self._content = bytearray()

    def begin(self) -> None:
        self._disposition = b""
        self._content = bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if bytes(self._name).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def end(self) -> None:
        if b"filename" not in parse_options_header(self._disposition)[1]:
            return
        if len(self.files) == MAX_FILES:
            raise InputError(f"more than {MAX_FILES} files in one request", "send fewer at a time")
        self.files.append(bytes(self._content))

    def finish(self) -> None:
        self.complete = True


def read_files(content_type: str, body: bytes) -> list[bytes]:
    """The uploaded files, in order; form fields without a file name are left out. Raises InputError."""
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise refusal(
            400, "the multipart body has no boundary", "let the client set Content-Type:  curl -F file=@x.png …"
        )
    parts = _Parts()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.header_field,
                "on_header_value": parts.header_value,
                "on_header_end": parts.header_end,
                "on_part_data": parts.data,
                "on_part_end": parts.end,
                "on_end": parts.finish,
            },
        )
        parser.write(body)
    except FormParserError:
        raise _damaged() from None
    if not parts.complete:
        raise _damaged()
    if not parts.files:
        raise InputError("the form holds no file", "send one:  curl -F file=@x.png …")
    return parts.files


def _damaged() -> InputError:
    return refusal(400, "the multipart body is damaged or cut off", "send it again:  curl -F file=@x.png …")
