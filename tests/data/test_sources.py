"""Data that is fetched, packed in archives or in Parquet, and tables whose target is derived."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.config.groups import PACKAGED
from tidemill.dataset import archives
from tidemill.dataset.archives import unpack
from tidemill.dataset.download import download, file_name
from tidemill.dataset.reading import Steps
from tidemill.domain.digest import Digest
from tidemill.errors import DataError, InputError, NotFoundError, StorageError
from tidemill.project import data
from tidemill.project.configuration import config
from tidemill.project.layout import Layout
from tidemill.stages.ingest import Reading

from .conftest import Projects, git, paint, paint_folder, write_csv
from .reading import read


class Site:
    """What the server answers: bytes by path, redirects by path, and how many bytes it gives before it hangs up."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.cuts: list[int] = []
        self.busy = 0
        self.asked: list[str | None] = []
        self.port = 0

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site()
    monkeypatch.setattr("tidemill.dataset.download.time.sleep", lambda _: None)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.lstrip("/").partition("?")[0]
            found.asked.append(self.headers.get("Range"))
            if found.busy:
                found.busy -= 1
                return self._answer(503, b"")
            if path in found.redirects:
                return self._answer(302, b"", Location=found.redirects[path])
            if path not in found.files:
                return self._answer(404, b"")
            content = found.files[path]
            tag = f'"{Digest.of_bytes(content).short}"'
            given = self.headers.get("Range")
            if given and self.headers.get("If-Range") == tag:
                start = int(given.removeprefix("bytes=").rstrip("-"))
                about = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", "ETag": tag}
                return self._answer(206, content[start:], **about)
            return self._answer(200, content, ETag=tag)

        def _answer(self, status: int, content: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: found.cuts.pop(0)] if found.cuts and content else content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def fetch(site: Site, path: str, folder: Path, pinned: Digest | None = None, **named: Any) -> tuple[Path, Digest]:
    return download(site.address(path), folder, pinned=pinned, allow_http=True, progress=lambda *_: None, **named)


def test_a_cut_connection_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    site.files["t.bin"], site.cuts, site.busy = content, [100_000, 50_000], 1
    path, digest = fetch(site, "t.bin", tmp_path)
    assert path.read_bytes() == content
    assert digest == Digest.of_bytes(content)
    assert site.asked == [None, None, "bytes=100000-", "bytes=150000-"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["t.bin"]


def test_a_file_that_changes_in_between_is_begun_again(site: Site, tmp_path: Path) -> None:
    site.files["t.bin"], site.cuts = b"a" * 100_000, [10] * 10
    with pytest.raises(StorageError, match="cannot be had"):
        fetch(site, "t.bin", tmp_path)
    site.files["t.bin"], site.cuts = b"b" * 100_000, []
    assert fetch(site, "t.bin", tmp_path)[0].read_bytes() == b"b" * 100_000


def test_pinned_bytes_are_held_to_their_digest(site: Site, tmp_path: Path) -> None:
    site.files["t.bin"] = b"one"
    one = Digest.of_bytes(b"one")
    fetch(site, "t.bin", tmp_path, one)
    asked = len(site.asked)
    fetch(site, "t.bin", tmp_path, one)
    assert len(site.asked) == asked  # what is pinned and there is not asked for
    site.files["u.bin"] = b"two"
    with pytest.raises(DataError, match="other bytes than pinned"):
        fetch(site, "u.bin", tmp_path, one)
    assert not (tmp_path / "u.bin").exists()


@pytest.mark.parametrize(
    "place", ["http://localhost:{port}/t", "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/"]
)
def test_redirects_into_private_networks_are_refused(site: Site, tmp_path: Path, place: str) -> None:
    site.redirects["go"] = place.format(port=site.port)
    site.files["t"] = b"secret"
    with pytest.raises(InputError, match="private network"):
        fetch(site, "go", tmp_path)
    assert not [each for each in tmp_path.iterdir() if each.suffix != ".json"]
    site.redirects["near"] = "/t"
    assert fetch(site, "near", tmp_path)[0].read_bytes() == b"secret"


@pytest.mark.parametrize(
    ("address", "headline"),
    [
        ("http://example.org/t.csv", "not encrypted"),
        ("file:///etc/passwd", "no address that can be fetched"),
        ("ftp://example.org/t.csv", "no address that can be fetched"),
        ("https://user:secret@example.org/t.csv", "user name or password"),
        ("https:///t.csv", "no address that can be fetched"),
        ("https://example.org:port/t.csv", "is no address"),
    ],
)
def test_addresses_that_are_not_followed(tmp_path: Path, address: str, headline: str) -> None:
    with pytest.raises(InputError, match=headline):
        download(address, tmp_path, pinned=None, allow_http=False, progress=lambda *_: None)


def test_what_is_too_large_or_not_there(site: Site, tmp_path: Path) -> None:
    site.files["t.bin"] = b"a" * 1_000
    with pytest.raises(StorageError, match="more than 999"):
        fetch(site, "t.bin", tmp_path, limit=999)
    with pytest.raises(StorageError, match="404"):
        fetch(site, "gone", tmp_path)
    site.redirects["loop"] = "/loop"
    with pytest.raises(StorageError, match="redirects"):
        fetch(site, "loop", tmp_path)


def test_names_of_files_are_plain() -> None:
    assert file_name("https://x.org/a/b%2F..%2Fc.csv?x=1") == "c.csv"
    assert file_name("https://x.org/") == "data"
    assert file_name("https://x.org/.%00hidden") == "hidden"


def test_an_address_is_added_and_other_bytes_later_are_said(project: Projects, site: Site, tmp_path: Path) -> None:
    layout = project("tabular")
    site.files["t.csv"] = write_csv(tmp_path / "t.csv").read_bytes()
    add = ("data", "add", site.address("t.csv"), "--name", "things", "--allow-http", "--json")
    first = json.loads(_tidemill(layout, *add).stdout)
    digest = str(Digest.of_bytes(site.files["t.csv"]))
    assert first["version"]["source"] == {site.address("t.csv"): digest}
    assert json.loads(git(layout, "show", "things-v1.0.0:data/things.json"))["source"] == first["version"]["source"]
    assert not json.loads(_tidemill(layout, *add).stdout)["new"]
    pinned = (*add, "--digest", digest)
    site.files["t.csv"] = write_csv(tmp_path / "t.csv", shift=7).read_bytes()
    shutil.rmtree(layout.cache / "sources")
    refused = _tidemill(layout, *pinned)
    assert refused.returncode == 2 and "other bytes than pinned" in refused.stderr
    second = json.loads(_tidemill(layout, *add).stdout)
    assert second["new"] and any("other bytes now than when things-v1.0.0" in note for note in second["notes"])


def _tidemill(layout: Layout, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tidemill", *args], cwd=layout.root, capture_output=True, text=True)


def _tar(file: Path, members: Callable[[tarfile.TarFile], None]) -> Path:
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as archive:
        members(archive)
    return file


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[tarfile.TarFile], None]:
    def write(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, target, 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"data") if info.size else None)

    return write


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_an_archive_of_class_folders_is_the_folder(project: Projects, tmp_path: Path, suffix: str) -> None:
    folder = paint_folder(tmp_path / "pets")
    file = tmp_path / f"pets{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(file, "w") as archive:
            for path in folder.rglob("*.png"):
                archive.write(path, path.relative_to(tmp_path))
    else:
        _tar(file, lambda archive: archive.add(folder, "pets"))
    layout = project("image")
    given = data.resolve(layout, str(file), choice=None, reading=Reading(), fetching=data.Fetching())
    added = data.add(layout, given.path, name="things")
    assert added.digest == read(folder, "image").version.digest


@pytest.mark.parametrize(
    ("members", "headline"),
    [
        (_member("../outside"), "outside of its folder"),
        (_member("/etc/outside"), "outside of its folder"),
        (_member("a/../../outside"), "outside of its folder"),
        (_member("a\\..\\outside"), "outside of its folder"),
        (_member("link", tarfile.SYMTYPE, "/etc/passwd"), "link or a device"),
        (_member("link", tarfile.LNKTYPE, "/etc/passwd"), "link or a device"),
        (_member("pipe", tarfile.FIFOTYPE), "link or a device"),
    ],
)
def test_members_that_no_archive_should_have(
    tmp_path: Path, members: Callable[[tarfile.TarFile], None], headline: str
) -> None:
    file = _tar(tmp_path / "x.tar", members)
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
    (tmp_path / "torn.tar.gz").write_bytes(_tar(tmp_path / "t.tar.gz", _member("a")).read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(tmp_path / "torn.tar.gz", tmp_path / "into-2")
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        unpack(tmp_path / "link.zip", tmp_path / "into-2")
    assert archives.is_archive(Path("x.TGZ")) and not archives.is_archive(Path("x.parquet"))


def test_pictures_in_parquet_are_those_of_the_folder(tmp_path: Path) -> None:
    folder = paint_folder(tmp_path / "in" / "train", classes="ab", count=12)
    for at, split in enumerate(("val", "test")):
        paint_folder(folder.parent / split, classes="ab", count=4, first=500 * (at + 1))
    tables = tmp_path / "tables"
    tables.mkdir()
    for split in ("train", "val", "test"):
        files = sorted((folder.parent / split).rglob("*.png"))
        table = pa.table(
            {
                "image": [{"bytes": path.read_bytes(), "path": path.name} for path in files],
                "label": pa.array(["ab".index(path.parent.name) for path in files], pa.int64()),
            }
        )
        about = {"info": {"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
        half = len(files) // 2
        for number, part in enumerate((table.slice(0, half), table.slice(half))):
            named = part.replace_schema_metadata({"huggingface": json.dumps(about)})
            pq.write_table(named, tables / f"{split}-{number:05d}-of-00002.parquet")
    packed = read(tables, "image")
    assert packed.version.digest == read(folder.parent, "image").version.digest


def test_pictures_in_one_table_with_a_column_of_splits(tmp_path: Path) -> None:
    files = [paint(tmp_path / "in" / f"{number}.png", number) for number in range(40)]
    table = pa.table(
        {
            "bytes": [path.read_bytes() for path in files],
            "class_name": ["cat" if number % 2 else "dog" for number in range(40)],
            "split": ["training"] * 30 + ["validation"] * 4 + ["evaluation"] * 6,
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    packed = read(tmp_path / "t.parquet", "image")
    assert [split.rows for split in packed.version.splits] == [30, 4, 6]
    assert packed.version.classes == ("cat", "dog")
    with pytest.raises(DataError, match="no column with pictures"):
        pq.write_table(table.drop_columns(["bytes"]), tmp_path / "u.parquet")
        read(tmp_path / "u.parquet", "image")


def trips(file: Path, rows: int = 60) -> Path:
    start = datetime(2021, 1, 1, 8)
    table = pa.table(
        {
            "start": [start + timedelta(minutes=row) for row in range(rows)],
            "end": [start + timedelta(minutes=row, seconds=30 * row) for row in range(rows)],
            "zone": [row % 7 for row in range(rows)],
            "miles": [row / 3 for row in range(rows)],
        }
    )
    pq.write_table(table, file)
    return file


TRIPS = Steps(
    {"duration": "minutes from start to end"}, {"duration": (1, 20)}, ("zone",), ("zone", "miles", "duration")
)


def test_a_target_is_derived_and_rows_outside_its_range_go(tmp_path: Path) -> None:
    packed = read(trips(tmp_path / "t.parquet"), "tabular", Reading(target="duration", steps=TRIPS))
    assert [(column.name, column.type) for column in packed.version.columns] == [
        ("zone", "string"), ("miles", "double"), ("duration", "double"),
    ]  # fmt: skip
    found = sorted(
        value for split in packed.version.splits for value in packed.table(split.name)["duration"].to_pylist()
    )
    assert found == [row / 2 for row in range(2, 41)]


@pytest.mark.parametrize(
    ("steps", "headline"),
    [
        (Steps({"x": "__import__('os')"}), "cannot be derived"),
        (Steps({"x": "minutes from start to finish"}), "no column 'finish'"),
        (Steps({"x": "hour of miles"}), "no times"),
        (Steps(keep={"mile": (0, 1)}), "no column 'mile'"),
        (Steps(keep={"miles": (900, 901)}), "no row is within"),
    ],
)
def test_steps_that_cannot_be_done(tmp_path: Path, steps: Steps, headline: str) -> None:
    with pytest.raises(DataError, match=headline):
        read(trips(tmp_path / "t.parquet"), "tabular", Reading(target="miles", steps=steps))


@pytest.mark.parametrize("choice", ["cifar10", "dogs", "food11", "cola", "nyc_taxi"])
def test_packaged_choices_are_whole_and_say_how_to_get_their_data(project: Projects, choice: str) -> None:
    task = {"cola": "text", "nyc_taxi": "tabular"}.get(choice, "image")
    layout = project(task)  # type: ignore[arg-type]  # a task it is
    settings = config(layout, [f"data={choice}"]).data
    assert settings.name == choice
    assert settings.source.page.startswith("http") and settings.source.licence
    assert all(Digest(each) for each in settings.source.digests.values())
    assert (PACKAGED / "data" / f"{choice}.yaml").is_file()
    with pytest.raises(NotFoundError, match="no version of") as caught:
        data.open_for_task(layout, choice, "latest", task)  # type: ignore[arg-type]  # as above
    assert f"tidemill data add {choice}" in caught.value.remedy
    with pytest.raises(NotFoundError, match="does not exist") as caught:
        data.resolve(layout, choice + "x", choice=None, reading=Reading(), fetching=data.Fetching())
    assert choice in caught.value.remedy


REAL = os.environ.get("TIDEMILL_DATA")


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="TIDEMILL_DATA names no folder with the real sets")
@pytest.mark.parametrize(
    ("choice", "place", "rows"),
    [
        ("nyc_taxi", "taxi_green", [73_908, 61_921]),
        ("dogs", "stanford_dogs/stanford_dogs.parquet", [700, 140]),
        ("food11", "food101_10class", [3_000, 750]),
        ("cola", "cola", None),
    ],
)
def test_the_real_sets_are_read_by_their_choices(
    project: Projects, choice: str, place: str, rows: list[int] | None
) -> None:
    layout = project({"cola": "text", "nyc_taxi": "tabular"}.get(choice, "image"))  # type: ignore[arg-type]  # a task
    done = _tidemill(layout, "data", "add", str(Path(str(REAL)) / place), "--as", choice, "--json")
    assert done.returncode == 0, done.stderr
    splits = json.loads(done.stdout)["version"]["splits"]
    assert rows is None or [split["rows"] for split in splits[:2]] == rows
