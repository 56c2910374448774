"""The largest pictures that are read, in every format and mode: none takes more than 200 MB."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tidemill.bundle.preprocess import Preprocessor
from tidemill.bundle.room import Room
from tidemill.domain.bundle import ImagePreprocessing
from tidemill.errors import ItemError

PROGRAM = """
import resource, sys
from tidemill.bundle.preprocess import Preprocessor
from tidemill.domain.bundle import ImagePreprocessing
from tidemill.errors import ItemError
small, large = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
preprocessor = Preprocessor(ImagePreprocessing(sys.argv[3], 32, 32))
preprocessor.prepare([small])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    preprocessor.prepare([large] * int(sys.argv[4]))
except ItemError as refused:
    print(refused.headline, file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
SIDE = 5000
TURNED = Image.Exif()
TURNED[0x0112] = 6
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "rgba": ("RGBA", "PNG", {"exif": TURNED}),
    "palette": ("P", "PNG", {"transparency": bytes(range(256))}),
    "16 bits": ("I;16", "PNG", {}),
    "32 bits": ("I", "TIFF", {"compression": "tiff_lzw"}),
    "four inks": ("CMYK", "JPEG", {}),
    "passes": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "fewer colours": ("RGB", "JPEG", {"progressive": True, "exif": TURNED}),
    "webp": ("RGB", "WEBP", {}),
}


def _file(mode: str, kind: str, options: dict[str, Any], side: int) -> bytes:
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JPEGMEM")  # what bounds reading bounds writing, too
        Image.new(mode, (side, side)).save(file, kind, **options)
    return file.getvalue()


def _peak(tmp_path: Any, content: bytes, mode: str, times: int) -> tuple[float, str]:
    """Megabytes, in a process of its own, and what was refused."""
    (tmp_path / "small").write_bytes(_file("RGB", "PNG", {}, 8))
    (tmp_path / "large").write_bytes(content)
    args = [str(tmp_path / "small"), str(tmp_path / "large"), mode, str(times)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *args], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024 / 1e6, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_picture_takes_two_hundred_megabytes(tmp_path: Any, kind: str, mode: str) -> None:
    content = _file(*KINDS[kind], side=SIDE)
    peak, refused = _peak(tmp_path, content, mode, 1)
    assert peak < 210  # the rest is what any first call takes
    assert bool(refused) == (kind in ("webp", "passes")), refused


@pytest.mark.slow
def test_many_of_them_at_once_take_no_more(tmp_path: Any) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8))
    file = io.BytesIO()
    noise.resize((SIDE, SIDE), Image.Resampling.NEAREST).save(file, "JPEG")
    peak, refused = _peak(tmp_path, file.getvalue(), "L", 16)  # so many, and so large, are decoded by several threads
    assert peak < 210
    assert not refused


def test_formats_whose_decoders_take_more_may_have_fewer_pixels() -> None:
    reader = Preprocessor(ImagePreprocessing("RGB", 8, 8))
    with pytest.raises(ItemError, match="more than 12 million pixels"):
        reader.prepare([_file("RGB", "WEBP", {}, 3500)])
    assert reader.prepare([_file("RGB", "WEBP", {}, 3400)])["image"].shape == (1, 8, 8, 3)
    with pytest.raises(ItemError, match="one of several passes that takes more than 200 MB"):
        reader.prepare([_file("RGB", "JPEG", {"progressive": True, "subsampling": 0}, 4800)])


def test_room_is_shared_and_one_that_needs_all_is_let_in_alone() -> None:
    room, most, held, lock = Room(10), [0], [0], threading.Lock()

    def work(units: int) -> None:
        for _ in range(50):
            with room.take(units):
                with lock:
                    held[0] += units
                    most[0] = max(most[0], held[0])
                with lock:
                    held[0] -= units

    threads = [threading.Thread(target=work, args=(units,)) for units in (3, 4, 5, 10, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert most[0] == 25
