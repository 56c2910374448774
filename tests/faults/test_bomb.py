"""Pictures that are small as files and large as pixels, sent to a running server: refused, and memory stays."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.serve.bundles import picture
from tidemill.project.layout import Layout
from tidemill.project.serving import start_server

MOST = 200.0  # MB
FORMATS = ("PNG", "GIF", "TIFF", "WEBP")


def _flat(width: int, height: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    options = {"compression": "tiff_lzw"} if form == "TIFF" else {}
    Image.new("L", (width, height)).save(file, form, **options)
    return file.getvalue()


def _peak(pid: int) -> float:
    """The most memory that a process had since it was last `_forget`, in MB."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _forget(pid: int) -> None:
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        pytest.skip("needs to reset the peak of a process's memory")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_of_too_many_pixels_is_refused_and_the_largest_takes_no_more_than_it_may(
    layout: Layout, form: str
) -> None:
    beyond = _flat(16_000, 16_000, form)
    largest = _flat(*((3400, 3400) if form == "WEBP" else (5000, 4990)), form)
    with start_server(layout, "digits@champion") as server, ThreadPoolExecutor(8) as pool:

        def send(content: bytes) -> int:
            headers = {"content-type": f"image/{form.lower()}"}
            url = f"{server.url}/v1/models/digits:predict"
            return httpx.post(url, content=content, headers=headers, timeout=60).status_code

        assert send(picture(1)) == 200
        _forget(server.pid)
        before = _peak(server.pid)
        assert set(pool.map(send, [beyond] * 16)) == {422}
        assert _peak(server.pid) - before < MOST
        assert set(pool.map(send, [largest] * 8)) == {200}
        assert _peak(server.pid) - before < MOST
        assert send(picture(2)) == 200
        print(f"{form}: {len(beyond):,} bytes, {_peak(server.pid) - before:.0f} MB")
