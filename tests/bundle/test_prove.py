"""Trying a bundle in a process that may die: what grows or runs without end ends there, and what passed is known."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bundle.hostile import abort, endless, grow, lie
from tests.bundle.sealing import edit
from tidemill.backends.runtimes.onnx import OnnxRuntime, OnnxSession
from tidemill.bundle.proofs import is_proven, remember, state_folder, user_folder
from tidemill.bundle.prove import Limits, libraries, prove
from tidemill.bundle.read import open_bundle
from tidemill.domain.bundle import Bundle
from tidemill.domain.digest import Digest
from tidemill.errors import BundleError, GateError, TidemillError

RUNTIME = OnnxRuntime()


def test_a_sound_bundle_is_proven_and_then_known(example: Path, tmp_path: Path) -> None:
    proofs = tmp_path / "proofs"
    opened = prove(example, None, runtime=RUNTIME, proofs=proofs)
    assert opened == open_bundle(example)
    assert is_proven(proofs, opened.digest, libraries(RUNTIME))
    never = Limits(memory=0, per_byte=0, seconds=0)  # nothing could be proven within these
    assert prove(example, opened.digest, runtime=RUNTIME, proofs=proofs, limits=never) == opened
    with pytest.raises(BundleError, match="longer than 0 seconds"):
        prove(example, opened.digest, runtime=RUNTIME, limits=never)


def test_a_proof_is_for_one_bundle_and_one_version_of_the_runtime(tmp_path: Path) -> None:
    one, other = Digest.of_bytes(b"1"), Digest.of_bytes(b"2")
    remember(tmp_path, one, "runtime 1")
    assert is_proven(tmp_path, one, "runtime 1")
    assert not is_proven(tmp_path, one, "runtime 2")
    assert not is_proven(tmp_path, other, "runtime 1")
    (tmp_path / one.hex).rename(tmp_path / other.hex)
    assert not is_proven(tmp_path, other, "runtime 1")


def test_what_is_known_is_audited_all_the_same(example: Path, tmp_path: Path) -> None:
    digest = prove(example, None, runtime=RUNTIME, proofs=tmp_path / "proofs").digest
    (example / "card.md").write_text("altered")
    with pytest.raises(BundleError, match=r"card\.md"):
        prove(example, digest, runtime=RUNTIME, proofs=tmp_path / "proofs")


def test_what_cannot_be_remembered_is_proven_all_the_same(example: Path, tmp_path: Path) -> None:
    (tmp_path / "proofs").write_text("a file where the folder should be")
    assert prove(example, None, runtime=RUNTIME, proofs=tmp_path / "proofs").digest


def test_the_folder_of_proofs_is_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert state_folder() == Path("/somewhere/tidemill/proofs")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # the standard says to ignore it
    monkeypatch.setenv("HOME", "/home/somebody")
    assert state_folder() == Path("/home/somebody/.local/state/tidemill/proofs")


def test_a_folder_that_others_may_write_proves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    assert user_folder() == tmp_path / "home/tidemill/proofs"
    (tmp_path / "home/tidemill/proofs").chmod(0o777)
    shared = tmp_path / f"tidemill-proofs-{os.geteuid()}"
    assert user_folder() == shared and shared.stat().st_mode & 0o777 == 0o700
    shared.rmdir()
    shared.symlink_to(tmp_path)
    assert user_folder() is None


class Counts(OnnxRuntime):
    """A runtime that leaves a mark beside the bundle each time it is asked for a graph."""

    def load(self, directory: Path, bundle: Bundle, *, threads: int) -> OnnxSession:
        (directory.parent / f"loaded-{os.getpid()}").mkdir()
        return super().load(directory, bundle, threads=threads)


def test_of_many_that_want_it_one_tries_it(example: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        wanted = [pool.submit(prove, example, None, runtime=Counts(), proofs=tmp_path / "proofs") for _ in range(4)]
        assert len({each.result().digest for each in wanted}) == 1
    assert len(list(tmp_path.glob("loaded-*"))) == 1


def test_a_table_that_aborts_its_reader_kills_the_process_that_tries(example: Path) -> None:
    abort(example)
    with pytest.raises(BundleError, match="the process that tried it died of SIGABRT"):
        prove(example, None, runtime=RUNTIME)


@pytest.mark.parametrize("attack", [grow, endless])
def test_what_grows_or_runs_without_end_is_refused_and_not_remembered(
    example: Path, tmp_path: Path, attack: Callable[[Path], None]
) -> None:
    attack(example)
    digest = open_bundle(example).digest  # nothing to be seen before it runs
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(BundleError) as refused:
        prove(example, None, runtime=RUNTIME, proofs=tmp_path / "proofs", limits=Limits(1 << 30, 8, 6.0))
    assert "\n" not in refused.value.headline
    assert time.monotonic() - began < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kilobytes
    assert not is_proven(tmp_path / "proofs", digest, libraries(RUNTIME))


def test_a_wrong_answer_is_a_gate_that_names_it(example: Path) -> None:
    lie(example)
    with pytest.raises(GateError, match=r"golden request \d+ of iris: score '\w+' is .*difference 0\.5"):
        prove(example, None, runtime=RUNTIME)


def test_another_digest_than_the_expected_one_is_refused(example: Path) -> None:
    with pytest.raises(BundleError, match="its digest is"):
        prove(example, Digest.of_bytes(b"other"), runtime=RUNTIME)


def test_a_pipe_or_a_link_in_the_place_of_the_record_does_not_block(example: Path) -> None:
    (example / "bundle.json").unlink()
    os.mkfifo(example / "bundle.json")
    with pytest.raises(BundleError, match="not a plain file"):
        prove(example, None, runtime=RUNTIME)
    (example / "bundle.json").unlink()
    (example / "bundle.json").symlink_to("/dev/zero")
    with pytest.raises(BundleError):
        prove(example, None, runtime=RUNTIME)


class Prints(OnnxRuntime):
    """A runtime under attack: what it prints is not taken for the answer."""

    def load(self, directory: Path, bundle: Bundle, *, threads: int) -> OnnxSession:
        os.write(1, b'{"proven": "everything"}')
        os.kill(os.getpid(), signal.SIGSEGV)
        return super().load(directory, bundle, threads=threads)


class Steals(OnnxRuntime):
    """One that would take a secret, and write a file."""

    def load(self, directory: Path, bundle: Bundle, *, threads: int) -> OnnxSession:
        secret = os.environ.get("TIDEMILL_TOKEN", "no token here")
        try:
            (directory / "written").write_text("x")
        except OSError:
            raise ValueError(f"{secret}, and no file") from None
        return super().load(directory, bundle, threads=threads)


def test_a_process_that_dies_is_a_bundle_error(example: Path) -> None:
    with pytest.raises(BundleError, match="the process that tried it died of SIGSEGV"):
        prove(example, None, runtime=Prints())


def test_the_process_has_no_secret_and_writes_no_file(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_TOKEN", "the token")
    with pytest.raises(BundleError, match="no token here, and no file"):
        prove(example, None, runtime=Steals())


def test_the_process_does_not_outlive_the_one_that_asked(example: Path) -> None:
    endless(example)
    program = (
        "import sys; from pathlib import Path; from tidemill.bundle.prove import prove;"
        "from tidemill.backends.runtimes.onnx import OnnxRuntime;"
        "prove(Path(sys.argv[1]), None, runtime=OnnxRuntime())"
    )
    asking = subprocess.Popen([sys.executable, "-c", program, str(example)])
    try:
        child = _wait_for(lambda: _trial_of(example))
        time.sleep(0.5)  # it is at the loop by then, or about to be: either will do
    finally:
        asking.kill()
        asking.wait()
    assert _wait_for(lambda: not Path(f"/proc/{child}/cmdline").exists())


def _trial_of(directory: Path) -> int | None:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if b"tidemill.bundle.trial" in words and str(directory).encode() in words:
            return int(entry.parent.name)
    return None


def _wait_for(look: Callable[[], object]) -> object:
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.05)
    return found


def test_a_record_may_name_no_target_to_be_made(example: Path) -> None:
    edit(example, lambda record: record.update(_target_="os.system", command="touch /tmp/never"))
    with pytest.raises(BundleError, match=r"bundle\.json"):
        prove(example, None, runtime=RUNTIME)


def test_what_is_not_installed_is_not_the_bundles_fault(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "absent" / "pyarrow").mkdir(parents=True)
    absent = "raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')\n"
    (tmp_path / "absent" / "pyarrow" / "__init__.py").write_text(absent)
    monkeypatch.syspath_prepend(str(tmp_path / "absent"))  # which the process that tries is given, too
    with pytest.raises(TidemillError) as refused:
        prove(example, None, runtime=RUNTIME)
    assert not isinstance(refused.value, BundleError)
    assert "protocol 1 or 2" in refused.value.headline and "pip install 'tidemill[parquet]'" in refused.value.remedy
