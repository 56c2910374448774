"""What goes wrong around a script: a server that is away, figures that no database takes, an odd place."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.capture.conftest import TIDEMILL, Folder

AWAY = "http://127.0.0.1:1"


def test_a_server_that_is_away_keeps_nobody_waiting(folder: Folder) -> None:
    from tidemill.journal.frames import read_frames

    folder.environment["MLFLOW_TRACKING_URI"] = AWAY
    began = time.monotonic()
    done = folder.run("sh", "-c", "echo loss: 0.5; exit 3", "--lr", "0.1")
    assert (done.returncode, done.stdout) == (3, b"loss: 0.5\n")
    assert time.monotonic() - began < 60
    (entries,) = (folder.path / ".tidemill/spool").glob("*/entries")
    said = [json.loads(each.payload) for each in read_frames(entries.read_bytes(), 8).frames]
    assert {"start", "params", "metrics", "tags", "keep", "finish"} == {each["kind"] for each in said}
    assert {"tidemill.exit_code": "3"} in [each["values"] for each in said if each["kind"] == "tags"]


def test_tidemill_can_be_ended_while_it_keeps_what_the_script_left(folder: Folder) -> None:
    folder.environment["MLFLOW_TRACKING_URI"] = AWAY
    command = (*TIDEMILL, "run", "--", "sh", "-c", "echo done; exec >&- 2>&-")
    with subprocess.Popen(
        command, cwd=folder.path, env=folder.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        time.sleep(1.0)  # the script is gone; Tidemill imports MLflow now, or waits for the server
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == -signal.SIGTERM


def test_a_signal_for_the_script_at_its_end_hurts_nobody(folder: Folder) -> None:
    folder.write("a.py", "import os, signal\nfor number in (10, 12, 15): signal.signal(number, lambda *a: None)\n"
                         "for number in (10, 12, 15): os.kill(os.getppid(), number)\nprint('end')")  # fmt: skip
    done = folder.python("a.py")
    assert (done.returncode, done.stdout) == (0, b"end\n")
    assert folder.show()["status"] == "FINISHED"


def test_a_step_that_no_database_takes_is_left_out(folder: Folder) -> None:
    folder.write("a.py", "print('step 20240101123456789012345 loss 0.3')\nprint('step 2 acc 0.5')\nraise SystemExit(4)")
    done = folder.python("a.py")
    assert (done.returncode, done.stderr) == (4, b"")
    shown = folder.show()
    assert (shown["status"], shown["metrics"]["printed/acc"]) == ("FAILED", 0.5)
    assert "printed/loss" not in shown["metrics"]


def test_a_folder_below_that_of_the_system_has_lineage(state: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs to write below /var/lib")
    place = Path(tempfile.mkdtemp(dir="/var/lib"))
    try:
        shutil.copytree(state, place / ".tidemill", ignore=shutil.ignore_patterns("artifacts", "staging"))
        folder = Folder(place)
        folder.write("in.csv", "1")
        folder.write("a.py", "open('out.csv', 'w').write(open('in.csv').read())")
        for options in ((), ("--no-preload",)):
            assert folder.python("a.py", options=options).returncode == 0
            assert (folder.names("reads"), folder.names("writes")) == ({"in.csv"}, {"out.csv"})
            assert folder.names("sources") == {"a.py"}
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize(
    ("path", "root", "kind"),
    [
        ("/usr/src/app/in.csv", "/usr/src/app", "data"),
        ("/usr/lib/x.csv", "/usr/src/app", "none"),
        ("/usr/lib/x.csv", "/", "none"),
        ("/home/me/in.csv", "/home/me", "data"),
        ("/home/me/node_modules/app/in.csv", "/home/me/node_modules/app", "data"),
        ("/home/me/app/.venv/lib/python3.11/x.csv", "/home/me/app", "none"),
    ],
)
def test_what_is_data_depends_on_where_the_run_is(path: str, root: str, kind: str) -> None:
    from tidemill.stages.capture.paths import kind_of

    assert kind_of(path, root, f"{root}/.tidemill") == kind


def test_a_slow_reader_of_the_output_loses_nothing(folder: Folder) -> None:
    folder.write("a.py", "import os\nos.write(1, b'x' * 900_000)\nprint('last loss 0.25')")
    with subprocess.Popen(
        (*TIDEMILL, "run", "--", sys.executable, "a.py"), cwd=folder.path, env=folder.environment,
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        time.sleep(2.0)  # the script is done long before anybody reads
        content = process.stdout.read()
        assert process.wait(timeout=60) == 0
    assert len(content) == 900_000 + len("last loss 0.25\n")
    assert folder.kept("output/stdout.txt") == content
    assert "goes on" not in str(folder.show()["captured"]["notes"])


def test_an_empty_command_and_a_folder_that_is_gone_are_told(folder: Folder) -> None:
    done = folder.run("")
    assert done.returncode == 2
    assert b"'': No such file or directory" in done.stderr
    done = folder.bare("sh", "-c", f"mkdir gone && cd gone && rmdir ../gone && {shlex.join(TIDEMILL)} run -- true")
    assert done.returncode == 2
    assert b"the folder that this was started in is gone" in done.stderr


def test_a_failed_run_is_shown_with_what_it_said_last(folder: Folder) -> None:
    folder.write("a.py", "raise ValueError('no such column: price')")
    folder.python("a.py", "--a-parameter-with-a-name-longer-than-others", "7")
    shown = folder.bare(*TIDEMILL, "run", "--show", "last").stdout.decode()
    assert ", 1 process\n" in shown
    assert "  ValueError: no such column: price\n" in shown
    assert "  a-parameter-with-a-name-longer-than-others 7\n" in shown
