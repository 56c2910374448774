"""A split's pictures decoded once: made by processes, kept on disk, mapped by every training after."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill import bundle
from tidemill.backends.families.pictures.pool import Decoding
from tidemill.dataset.decoded import Decoded, evict, key_of, made_once, open_decoded, room, writing
from tidemill.dataset.slices import slices
from tidemill.domain.digest import Digest
from tidemill.domain.record import to_plain
from tidemill.errors import StorageError

if TYPE_CHECKING:
    from tidemill.dataset.read import PackedDataset
    from tidemill.ports import Reporter

_WORTH_PROCESSES = 32_000_000  # bytes of files: less is decoded here sooner than processes start
_log = logging.getLogger("tidemill.pictures")


def decoded(
    data: PackedDataset, split: str, decoding: Decoding, root: Path, *, limit: float, report: Reporter
) -> Decoded | None:
    """The pictures of `split`, from `root` or decoded now; None when they would take more than `limit` GB may hold.

    None, too, when the disk is full: streaming needs none of it. Raises DataError for a picture that cannot be decoded.
    """
    if limit == 0:
        return None
    recipe = recipe_of(data, split, decoding)
    key = key_of(recipe)
    if (found := open_decoded(root, key)) is not None:
        return found
    shape = (data.split(split).rows, *decoding.shape)
    size, most = functools.reduce(int.__mul__, shape), room(root, limit)
    if size > most:
        _log.warning("%s pictures take %.1f GB decoded, the cache %.1f: streaming", split, size / 1e9, most / 1e9)
        return None
    report.progress(0, shape[0], _doing(split))  # perhaps only waiting for another training that does it
    try:
        with made_once(root, key) as theirs:
            if theirs is None:
                evict(root, most - size, spare=key)
                _make(data, split, decoding, root, key, recipe, shape, report)
    except StorageError as error:
        _log.warning("%s: streaming from the shards instead", error.headline)
        return None
    return open_decoded(root, key)


def recipe_of(data: PackedDataset, split: str, decoding: Decoding) -> dict[str, Any]:
    """What the pixels depend on: the shards in their order, the preprocessing, and the decoder, ours and Pillow's."""
    from PIL import __version__ as pillow
    from PIL import features

    libraries = {name: features.version(name) for name in ("jpg", "libjpeg_turbo", "zlib", "webp", "libtiff")}
    return {
        "shards": [shard.digest for shard in data.split(split).shards],
        "column": decoding.column,
        "preprocessing": to_plain(decoding.preprocessing),
        "decoder": {"pillow": pillow, "ours": _ours(), **libraries},
    }


@functools.cache
def _ours() -> str:
    """The digest of the code that decodes: whoever changes it need not remember to raise a number."""
    return Digest.of_file(Path(bundle.__file__).with_name("pictures.py"))


def _make(
    data: PackedDataset, split: str, decoding: Decoding, root: Path, key: str, recipe: dict[str, Any],
    shape: tuple[int, ...], report: Reporter,
) -> None:  # fmt: skip
    if sum(shard.bytes for shard in data.split(split).shards) < _WORTH_PROCESSES:
        decoding = Decoding(decoding.column, decoding.preprocessing, 0)
    rows, height, width, channels = shape
    done = 0
    with writing(root, key, recipe, (rows, height, width, channels)) as writer:
        for part, pixels in decoding.decoded(slices(data, split)):
            writer.write(part.first, pixels)
            done += len(part)
            report.progress(done, rows, _doing(split))


def _doing(split: str) -> str:
    return f"decoding {split} pictures, once"
