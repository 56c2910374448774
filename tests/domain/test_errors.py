"""What becomes of another library's error."""

from __future__ import annotations

from tidemill.errors import first_line


def test_the_first_line_of_an_error_that_says_little_or_much() -> None:
    assert first_line(ValueError("\n what is wrong\n and more")) == "what is wrong"
    assert first_line(TimeoutError()) == "TimeoutError"
    assert len(first_line(ValueError("x" * 9999))) == 300
