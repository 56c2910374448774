"""The state of the code and of the environment that a run is made of."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

from tidemill.domain.digest import Digest
from tidemill.domain.run import Code, Environment
from tidemill.errors import StateError

_WHOLE = 1_000_000  # bytes: a larger new file is in the difference by its digest alone


def code_state(root: Path, *, fresh: Callable[[str], bool] = lambda name: True) -> tuple[Code, bytes]:
    """The commit that is checked out, and what differs from it: changes, and new files that git does not ignore.

    The difference is a patch for `git apply`; binary and large new files are named with their digest. A detached HEAD
    is as good as a branch. Of the new files those count for which `fresh(name)` says so. Raises StateError when `root`
    is in no git repository, or there is no commit yet.
    """
    inside = _git(root, "rev-parse", "--is-inside-work-tree", check=False)
    if inside.returncode:
        reason = inside.stderr.decode(errors="replace").strip().splitlines() or ["unknown reason"]
        if "not a git repository" in reason[0]:
            raise StateError(
                f"{root} is in no git repository", "make it one:  git init && git add . && git commit -m start"
            )
        raise StateError(f"git refuses {root}: {reason[0]}", "do what git says, then run this again")
    head = _git(root, "rev-parse", "--verify", "HEAD", check=False)
    if head.returncode:
        raise StateError("the repository has no commit yet", "make one:  git add . && git commit -m start")
    changed = _git(root, "diff", "HEAD", "--binary", "--relative", "--no-ext-diff", "--no-color").stdout
    listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z").stdout
    new = sorted(name for name in listed.decode("utf-8", "surrogateescape").split("\0") if name and fresh(name))
    difference = changed + b"".join(_as_new(root / name, name) for name in new)
    dirty = Digest.of_bytes(difference) if difference else None
    return Code(head.stdout.decode().strip(), dirty), difference


def changed_since(root: Path, commit: str) -> list[str]:
    """The files that later commits changed, those of data versions aside, and those that are not committed."""
    if _git(root, "cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode:
        return [f"commit {commit[:10]} is gone"]
    later = _git(root, "diff", "--name-only", "--relative", "-z", commit, "HEAD", "--", ".", ":(exclude)data").stdout
    dirty = _git(root, "diff", "--name-only", "--relative", "-z", "HEAD").stdout
    fresh = _git(root, "ls-files", "--others", "--exclude-standard", "-z").stdout
    return sorted(
        {name.decode(errors="replace") for part in (later, dirty, fresh) for name in part.split(b"\0") if name}
    )


def environment() -> Environment:
    """Interpreter, platform and the installed distributions."""
    packages = {each.metadata["Name"]: each.version for each in distributions() if each.metadata["Name"]}
    return Environment(
        platform.python_version(), f"{sys.platform}-{platform.machine()}", dict(sorted(packages.items()))
    )


def _as_new(path: Path, name: str) -> bytes:
    """A new file as git's patch shows it."""
    try:
        content = path.read_bytes() if path.stat().st_size <= _WHOLE else None
        digest = hashlib.sha256(content).hexdigest() if content is not None else Digest.of_file(path).hex
    except OSError:  # gone since it was listed, or a dangling link
        return b""
    shown = name.encode("utf-8", "surrogateescape")
    head = b"diff --git a/%b b/%b\nnew file mode 100644\n" % (shown, shown)
    if content is None or b"\0" in content:
        return head + b"Binary files /dev/null and b/%b differ (sha256 %b)\n" % (shown, digest.encode())
    if not content:
        return head
    lines = content.split(b"\n")
    ended = lines[-1] == b""
    lines = lines[:-1] if ended else lines
    body = b"".join(b"+" + line + b"\n" for line in lines)
    tail = b"" if ended else b"\\ No newline at end of file\n"
    return head + b"--- /dev/null\n+++ b/%b\n@@ -0,0 +1,%d @@\n" % (shown, len(lines)) + body + tail


def _git(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    try:
        done = subprocess.run(("git", "-C", str(root), *arguments), capture_output=True, check=False)
    except FileNotFoundError:
        raise StateError("git is not installed", "install git; data versions and lineage rest on it") from None
    if check and done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["unknown reason"]
        raise StateError(f"git {arguments[0]} failed: {reason[0]}", "do what git says, then run this again")
    return done
