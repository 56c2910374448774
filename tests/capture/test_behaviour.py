"""A script behaves under `tidemill run` as without it: output, exit code, signals, tracebacks, environment."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.capture.conftest import TIDEMILL, Folder

Same = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_the_scripts(folder: Folder, same: Same, code: int) -> None:
    folder.write("a.py", f"import sys; sys.exit({code})")
    assert same("a.py").returncode == code
    assert folder.show()["captured"]["code"] == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT])
def test_who_started_it_sees_the_signal_that_the_script_died_of(folder: Folder, same: Same, number: int) -> None:
    folder.write(
        "a.py", f"import os, signal; signal.signal({number}, 0) if {number} != 9 else 0; os.kill(os.getpid(), {number})"
    )
    assert same("a.py").returncode == -number
    shown = folder.show()
    assert shown["captured"]["signal"] == number
    assert shown["status"] == ("FAILED" if number == signal.SIGSEGV else "KILLED")


def test_bytes_pass_unchanged(folder: Folder, same: Same) -> None:
    folder.write(
        "a.py",
        "import sys, os\nb = bytes(range(256)) * 4000\nos.write(1, b)\nos.write(2, b[::-1])\n"
        "sys.stdout.write(sys.stdin.read())",
    )
    done = same("a.py", input=b"through\n" * 1000)
    assert folder.kept("output/stdout.txt") == done.stdout
    assert folder.kept("output/stderr.txt") == done.stderr


def test_the_order_of_two_streams_in_one_place_stays(folder: Folder) -> None:
    folder.write("a.py", "import os\nfor i in range(500): os.write(1 + i % 2, b'%d\\n' % i)")
    done = folder.python("a.py", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, capture_output=False)
    assert done.stdout == b"".join(b"%d\n" % i for i in range(500))
    assert folder.kept("output/output.txt") == done.stdout


def test_tracebacks_have_no_frame_of_ours(folder: Folder, same: Same) -> None:
    folder.write("broken.py", "import sklearn.base\nraise ImportError('not here')")
    folder.write(
        "a.py",
        "import sys, traceback\n"
        "try:\n    import broken\nexcept ImportError: traceback.print_exc()\n"
        "from sklearn.linear_model import LinearRegression\n"
        "try: LinearRegression().fit([[1.0]], [1.0, 2.0])\nexcept ValueError: traceback.print_exc()\n"
        "sys.excepthook = lambda *a: print('own hook', a[0])\n"
        "1 / 0\n",
    )
    assert same("a.py").returncode == 1


def test_a_framework_that_cannot_be_imported_fails_as_it_would(folder: Folder, same: Same) -> None:
    folder.write("xgboost/__init__.py", "")
    folder.write("xgboost/callback.py", "def f():\n    raise RuntimeError('broken')\nf()\n")
    folder.write("a.py", "import xgboost.callback")
    assert b"broken" in same("a.py").stderr


def test_what_python_does_at_its_start_stays(folder: Folder, same: Same) -> None:
    folder.write("mine/sitecustomize.py", "import sys; print('mine', __name__, sys.path[1:3])")
    folder.write("a.py", "import sys; print(sys.path, sys.argv, 'sitecustomize' in sys.modules)")
    folder.environment["PYTHONPATH"] = str(folder.path / "mine")
    assert b"mine" in same("a.py", "x").stdout
    for option in ("-I", "-E"):
        same(option, "a.py")
    folder.write("b.py", "import sys; print(sys.argv, len(sys.meta_path))")
    same("-S", "b.py")


def test_own_audit_hooks_and_os_exit(folder: Folder, same: Same) -> None:
    folder.write("a.py", "import sys, os\nseen = []\nsys.addaudithook(lambda e, a: seen.append(e))\n"
                         "open('x.txt', 'w').close()\n"
                         "print('open' in seen, flush=True)\nos._exit(7)")  # fmt: skip
    assert same("a.py").returncode == 7
    assert folder.names("writes") == {"x.txt"}


def test_the_environment_gains_only_what_is_needed(folder: Folder) -> None:
    folder.write("a.py", "import os\nprint('\\n'.join(sorted(os.environ)))")
    with_it = set(folder.python("a.py").stdout.decode().split())
    without = set(folder.bare(sys.executable, "a.py").stdout.decode().split())
    assert with_it - without <= {"LD_PRELOAD", "PYTHONPATH", "TIDEMILL_CAPTURE"}
    assert without <= with_it


def test_a_signal_sent_to_tidemill_reaches_the_script_once(folder: Folder) -> None:
    folder.write("a.py", "import signal, sys, time\nn = []\nsignal.signal(15, lambda *a: n.append(1))\n"
                         "print('ready', flush=True)\n"
                         "end = time.time() + 20\nwhile not n and time.time() < end: time.sleep(0.02)\n"
                         "time.sleep(0.3)\nsys.exit(40 + len(n))")  # fmt: skip
    with subprocess.Popen(
        (*TIDEMILL, "run", "--", sys.executable, "a.py"),
        cwd=folder.path,
        env=folder.environment,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(timeout=30) == 41


def test_a_reader_that_goes_away_is_noticed_by_the_script(folder: Folder) -> None:
    folder.write("a.py", "import sys\nfor i in range(10**7): print(i)")
    command = f"'{sys.executable}' -m tidemill run -- '{sys.executable}' a.py 2>err.txt | head -1"
    done = folder.bare("sh", "-c", command)
    assert done.stdout == b"0\n"
    assert b"BrokenPipeError" in folder.path.joinpath("err.txt").read_bytes()


def test_no_such_program_is_one_line(folder: Folder) -> None:
    done = folder.run("no-such-program")
    assert done.returncode == 2
    assert b"no-such-program: No such file or directory" in done.stderr


def on_terminal(folder: Folder, *command: str, keys: bytes = b"", after: bytes = b"") -> tuple[bytes, int]:
    """What comes out of a terminal that `command` runs in, when `keys` are typed once `after` was seen."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder.path)
        os.execvpe(command[0], command, folder.environment)  # noqa: S606 - it is the test's own command
    seen, until, typed = b"", time.monotonic() + 60, not keys
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                part = os.read(terminal, 65536)
            except OSError:
                break
            if not part:
                break
            seen += part
        if not typed and after in seen:
            os.write(terminal, keys)
            typed = True
    os.close(terminal)
    return seen, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_on_a_terminal_the_script_sees_a_terminal(folder: Folder) -> None:
    folder.write(
        "a.py",
        "import os, sys\nprint([os.isatty(i) for i in range(3)], os.get_terminal_size())\nprint(input('name? '))",
    )
    without, _ = on_terminal(folder, sys.executable, "a.py", keys=b"me\n", after=b"name? ")
    within, code = on_terminal(folder, *TIDEMILL, "run", "--", sys.executable, "a.py", keys=b"me\n", after=b"name? ")
    assert b"[True, True, True]" in without
    assert within.startswith(without)  # our own line of summary comes after it
    assert code == 0
    assert b"[True, True, True]" in folder.kept("output/output.txt")


def test_control_c_interrupts_the_script_and_nothing_else(folder: Folder) -> None:
    folder.write(
        "a.py",
        "import time\nn = 0\ntry:\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "except KeyboardInterrupt: n += 1\n"
        "time.sleep(0.3)\nprint('caught', n)\nraise SystemExit(5)",
    )
    seen, code = on_terminal(folder, *TIDEMILL, "run", "--", sys.executable, "a.py", keys=b"\x03", after=b"ready")
    assert b"caught 1" in seen
    assert code == 5
    assert folder.show()["captured"]["code"] == 5


def test_a_child_that_outlives_the_script_keeps_its_output(folder: Folder) -> None:
    folder.write("a.sh", "(sleep 1.5; echo late) &\necho early\n")
    began = time.monotonic()
    with subprocess.Popen(
        (*TIDEMILL, "run", "--", "sh", "a.sh"), cwd=folder.path, env=folder.environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - began < 1.5 or process.stdout.read() == b"early\nlate\n"
        if time.monotonic() - began < 1.5:
            assert process.stdout.read() == b"early\nlate\n"
    assert "a child of the script goes on" in str(folder.show()["captured"]["notes"])
    assert folder.kept("output/stdout.txt") == b"early\n"


def test_a_killed_tidemill_is_told_by_the_next(folder: Folder) -> None:
    folder.write(
        "a.py", "import time, pathlib\nprint('ready', flush=True)\ntime.sleep(2)\npathlib.Path('done').touch()"
    )
    with subprocess.Popen(
        (*TIDEMILL, "run", "--name", "first", "--", sys.executable, "a.py"), cwd=folder.path, env=folder.environment,
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.7)  # the run is in the database by then
        process.kill()
        process.wait()
        until = time.monotonic() + 20
        while not (folder.path / "done").exists() and time.monotonic() < until:
            time.sleep(0.05)
    assert (folder.path / "done").exists(), "the script goes on"
    assert folder.python("-c", "pass").returncode == 0
    assert statuses(folder) == {"first": "KILLED", "-c": "FINISHED"}
    assert not list((folder.path / ".tidemill/staging").iterdir())


def statuses(folder: Folder) -> dict[str, str]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.path}/.tidemill/tidemill.db")
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return {str(run.info.run_name): str(run.info.status) for run in found if str(folder.path) in run.info.artifact_uri}


def test_a_full_disk_is_told_and_the_script_goes_on(folder: Folder, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root for a small file system")
    folder.write("a.py", "import sys\nprint('x' * 30_000_000)\nsys.exit(4)")
    small: Any = tmp_path / "small"
    small.mkdir()
    tidemill = f"'{sys.executable}' -m tidemill"
    script = (
        f"mount -t tmpfs -o size=44m none {small} && cp -r {folder.path}/. {small} && cd {small} && "
        f"{tidemill} run -- '{sys.executable}' a.py | wc -c; echo ${{PIPESTATUS[0]}}; {tidemill} run --show last"
    )
    done = folder.bare("unshare", "-m", "bash", "-c", script)
    if b"unshare" in done.stderr or b"mount" in done.stderr:
        pytest.skip("no mount here")
    assert done.stdout.startswith(b"30000001\n4\n")
    assert b"not all is kept" in done.stdout + done.stderr
