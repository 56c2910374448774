"""Data versions of 60,000 small files: add, push and pull, by plain `dvc` on loose files and by tidemill.

    python benchmarks/data.py --data FOLDER [--json FILE] [--quick]

FOLDER holds cifar10/cifar10_train.parquet and cifar10_test.parquet (columns `image`, the bytes of a file, and `file`,
its path); without it, as many pictures of the same size are made up. Both sides work on the same files, on a local
remote, through their command lines; a pull goes into an empty clone. Then: adding again unchanged against reading the
file list, adding 600 files, what a version with 1 % more files uploads, and the peak memory of a large table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

DVC = [sys.executable, "-m", "dvc"]
TIDEMILL = [sys.executable, "-m", "tidemill"]
LISTING = """
import os, sys
found = []
waiting = [sys.argv[1]]
while waiting:
    for entry in os.scandir(waiting.pop()):
        if entry.is_dir():
            waiting.append(entry.path)
        else:
            found.append((entry.path, entry.stat().st_size, entry.stat().st_mtime_ns))
found.sort()
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=os.environ.get("TIDEMILL_DATA"))
    options.add_argument("--json", type=Path)
    options.add_argument("--quick", action="store_true", help="6,000 files, and a table of 200 MB")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-data-") as name:
        found = measure(Path(name), Path(given.data) if given.data else None, given.quick)
    report(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


def measure(place: Path, data: Path | None, quick: bool) -> dict[str, float]:
    count = 6_000 if quick else 60_000
    pictures, more = place / "pictures", list[tuple[str, bytes]]()
    for number, (name, content) in enumerate(files(data, count + count // 100)):
        if number < count:
            write(pictures / name, content)
        else:
            more.append((name, content))
    os.sync()
    time.sleep(0.2)  # what has just changed is read again
    found: dict[str, float] = {"files": count}
    plain(place, pictures, found)
    ours(place, pictures, more, found)
    large_table(place, 200_000_000 if quick else 3_000_000_000, found)
    return found


def plain(place: Path, pictures: Path, found: dict[str, float]) -> None:
    project = place / "plain"
    repository(project, place / "plain-remote")
    shutil.copytree(pictures, project / "pictures")
    found["dvc add"] = seconds([*DVC, "add", "-q", "pictures"], project)
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "Add pictures")
    found["dvc push"] = seconds([*DVC, "push", "-q"], project)
    git(place, "clone", "-q", str(project), "plain-clone")
    found["dvc pull"] = seconds([*DVC, "pull", "-q"], place / "plain-clone")
    same(pictures, place / "plain-clone" / "pictures")
    for folder in ("plain", "plain-clone", "plain-remote"):
        shutil.rmtree(place / folder)


def ours(place: Path, pictures: Path, more: list[tuple[str, bytes]], found: dict[str, float]) -> None:
    project, remote = place / "mill", place / "remote"
    run([*TIDEMILL, "init", "mill", "--task", "image", "--empty"], place)
    run([*DVC, "remote", "add", "-q", "-d", "storage", str(remote)], project)
    git(project, "commit", "-q", "-a", "-m", "Name a remote")
    add = [*TIDEMILL, "data", "add", str(pictures), "--name", "pictures"]
    found["tidemill add"] = seconds(add, project)
    found["tidemill push"] = seconds([*TIDEMILL, "data", "push"], project)
    git(place, "clone", "-q", str(project), "mill-clone")
    found["tidemill pull"] = seconds([*TIDEMILL, "data", "pull"], place / "mill-clone")
    run([*TIDEMILL, "data", "export", "pictures", "--out", str(place / "exported")], place / "mill-clone")
    same(pictures, place / "exported")
    found["file list"] = middle(lambda: seconds([sys.executable, "-c", LISTING, str(pictures)], project))
    found["tidemill add unchanged"] = middle(lambda: seconds(add, project))
    before = size(remote)
    for name, content in more:
        write(pictures / name, content)
    found["tidemill add 1 % more"] = seconds(add, project)
    run([*TIDEMILL, "data", "push"], project)
    found["bytes of the first version"] = before
    found["bytes that 1 % more uploads"] = size(remote) - before
    for folder in ("mill-clone", "exported", "pictures"):
        shutil.rmtree(place / folder)


def large_table(place: Path, goal: int, found: dict[str, float]) -> None:
    """The largest resident memory of `data add` on one large CSV file."""
    run([*TIDEMILL, "init", "table", "--task", "tabular", "--empty"], place)
    file = place / "large.csv"
    rows = 0
    with file.open("w") as handle:
        handle.write("size,count,colour,note,share,target\n")
        while handle.tell() < goal:
            handle.writelines(
                f"{row / 7:.6f},{row * 7919 % 65537},{'red' if row % 3 else 'green'},"
                f"{'a remark that somebody left on this row; ' * 2}{row % 1000},{row % 977 / 977},{row % 5}\n"
                for row in range(rows, rows + 100_000)
            )
            rows += 100_000
    found["table bytes"], found["table rows"] = file.stat().st_size, rows
    add = [*TIDEMILL, "data", "add", str(file), "--name", "large", "--kind", "classification"]
    found["table add"] = seconds(add, place / "table")
    # of the largest child so far; the others are small
    found["table peak memory"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def files(data: Path | None, count: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents: CIFAR-10, or noise; beyond what there is, pictures with other bytes after their end."""
    source = real(data) if data and (data / "cifar10").is_dir() else noise()
    kept: list[tuple[str, bytes]] = []
    for number in range(count):
        entry = next(source, None)
        if entry is None:
            name, content = kept[number % len(kept)]
            path = Path(name)
            entry = str(path.with_name(f"more-{number}{path.suffix}")), content + number.to_bytes(8, "little")
        elif len(kept) < 2_000:
            kept.append(entry)
        yield entry


def real(data: Path) -> Iterator[tuple[str, bytes]]:
    import pyarrow.parquet as pq

    for split in ("train", "test"):
        for batch in pq.ParquetFile(data / "cifar10" / f"cifar10_{split}.parquet").iter_batches(
            columns=["file", "image"]
        ):
            yield from zip(batch.column("file").to_pylist(), batch.column("image").to_pylist(), strict=True)


def noise() -> Iterator[tuple[str, bytes]]:
    import io

    import numpy as np
    from PIL import Image

    print("CIFAR-10 is not there (--data FOLDER): pictures of noise instead", file=sys.stderr)
    chance = np.random.default_rng(0)
    for number in range(10**9):
        content = io.BytesIO()
        Image.fromarray(chance.integers(0, 255, (32, 32, 3), np.uint8)).save(content, "JPEG", quality=75)
        split = "test" if number % 6 == 0 else "train"
        yield f"{split}/class{number % 10}/{number:05d}.jpg", content.getvalue()


def repository(folder: Path, remote: Path) -> None:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    run([*DVC, "init", "-q"], folder)
    run([*DVC, "remote", "add", "-q", "-d", "storage", str(remote)], folder)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def same(one: Path, other: Path) -> None:
    """Both folders hold the same files, byte for byte."""
    subprocess.run(["diff", "-r", "-q", str(one), str(other)], check=True, stdout=subprocess.DEVNULL)


def size(folder: Path) -> float:
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def git(folder: Path, *args: str) -> None:
    who = ["-c", "user.name=Bench", "-c", "user.email=bench@localhost"]
    run(["git", *who, *args], folder)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def seconds(command: list[str], folder: Path) -> float:
    began = time.perf_counter()
    run(command, folder)
    return time.perf_counter() - began


def middle(measured: Callable[[], float], times: int = 5) -> float:
    return sorted(measured() for _ in range(times))[times // 2]


def report(found: dict[str, float]) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{platform.machine()}, {cores} cores · Python {platform.python_version()} · dvc {version('dvc')}\n")
    print(f"{'step':<22}{'dvc':>10}{'tidemill':>10}{'ratio':>8}")
    totals = [0.0, 0.0]
    for step in ("add", "push", "pull"):
        both = [found[f"{who} {step}"] for who in ("dvc", "tidemill")]
        totals = [total + each for total, each in zip(totals, both, strict=True)]
        print(f"{step:<22}{both[0]:>8.2f} s{both[1]:>8.2f} s{both[0] / both[1]:>8.1f}")
    print(f"{'in sum':<22}{totals[0]:>8.2f} s{totals[1]:>8.2f} s{totals[0] / totals[1]:>8.1f}   bar: 15\n")
    listed, again = found["file list"], found["tidemill add unchanged"]
    print(f"unchanged: {again:.2f} s; reading the file list: {listed:.2f} s; ratio {again / listed:.2f}   bar: 2")
    print(f"{found['files'] / 100:,.0f} files more: {found['tidemill add 1 % more']:.2f} s   bar: 3")
    share = found["bytes that 1 % more uploads"] / found["bytes of the first version"]
    print(f"1 % more files upload {share:.2%} of the bytes")
    print(
        f"a table of {found['table bytes'] / 1e9:.1f} GB, {found['table rows']:,.0f} rows: {found['table add']:.0f} s, "
        f"peak memory {found['table peak memory'] / 1e9:.2f} GB   bar: 1"
    )


if __name__ == "__main__":
    main()
