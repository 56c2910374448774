"""What goes wrong around a script: a server that is away, figures that no database takes, an odd place."""

from __future__ import annotations

import json
import signal
import subprocess
import time

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
