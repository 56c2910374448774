"""Archives that somebody else made."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.dataset import archives
from tidemill.dataset.archives import unpack
from tidemill.errors import DataError, StorageError


def pack(file: Path, members: Callable[[tarfile.TarFile], None]) -> Path:
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as archive:
        members(archive)
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[tarfile.TarFile], None]:
    def write(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"data") if info.size else None)

    return write


@pytest.mark.parametrize(
    ("members", "headline"),
    [
        (member("../outside"), "outside of its folder"),
        (member("/etc/outside"), "outside of its folder"),
        (member("a/../../outside"), "outside of its folder"),
        (member("a\\..\\outside"), "outside of its folder"),
        (member("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link, a device"),
        (member("link", tarfile.LNKTYPE, "/etc/passwd"), "is a link, a device"),
        (member("pipe", tarfile.FIFOTYPE), "is a link, a device"),
    ],
)
def test_members_that_no_archive_should_have(
    tmp_path: Path, members: Callable[[tarfile.TarFile], None], headline: str
) -> None:
    file = pack(tmp_path / "x.tar", members)
    (tmp_path / "into").mkdir()
    with pytest.raises(DataError, match=headline):
        unpack(file, tmp_path / "into")
    assert not (tmp_path / "outside").exists()


def test_bombs_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(5_000_000))
    for limits in ({"max_bytes": 1_000_000}, {"max_files": 0}):
        into = tmp_path / f"into-{len(list(tmp_path.iterdir()))}"
        into.mkdir()
        with pytest.raises(DataError, match="holds more than"):
            unpack(tmp_path / "bomb.zip", into, **limits)
    (tmp_path / "torn.tar.gz").write_bytes(pack(tmp_path / "t.tar.gz", member("a")).read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(tmp_path / "torn.tar.gz", tmp_path / "into-2")
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link, a device"):
        unpack(tmp_path / "link.zip", tmp_path / "into-2")
    assert archives.is_archive(Path("x.TGZ")) and not archives.is_archive(Path("x.parquet"))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_bytes_of_every_method(tmp_path: Path, method: int) -> None:
    file = tmp_path / "t.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a", os.urandom(20_000))
    content = bytearray(file.read_bytes())
    content[35:2_000] = bytes(1_965)
    file.write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(file, tmp_path / "into")


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("n" * 300, b"data")
    (tmp_path / "into").mkdir()
    with pytest.raises(DataError, match="a name that is too long here: nnn"):
        unpack(tmp_path / "t.zip", tmp_path / "into")


def test_more_than_the_disk_has_room_for(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    large = 10**15
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("small", b"data")
        archive.writestr("large", b"data")
        archive.filelist[1].file_size = large
    info = tarfile.TarInfo("large")
    info.size = large
    (tmp_path / "t.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    for name in ("t.zip", "t.tar"):
        with pytest.raises(StorageError, match="more than the disk has room for"):
            unpack(tmp_path / name, into, max_bytes=10**18)
    assert not list(into.iterdir())


def test_a_file_with_holes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("holes")
    info.size = 4
    info.pax_headers = {"GNU.sparse.size": "1000000", "GNU.sparse.map": "0,4"}
    with tarfile.open(tmp_path / "t.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(b"data"))
    (tmp_path / "into").mkdir()
    with pytest.raises(DataError, match="file with holes"):
        unpack(tmp_path / "t.tar", tmp_path / "into")
