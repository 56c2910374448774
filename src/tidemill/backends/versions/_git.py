"""Git, as far as data versions need it: committing a few paths and tagging them in one step, and reading tags.

A commit is built in an index of its own and published with one reference transaction, so that whatever the user has
staged or changed stays as it is, and no instant exists at which only half of it is there.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidemill.errors import BusyError, StateError

_NOBODY = "Tidemill <tidemill@localhost>"
_OPERATIONS = {
    "MERGE_HEAD": ("a merge", "git merge --continue, or --abort"),
    "rebase-merge": ("a rebase", "git rebase --continue, or --abort"),
    "rebase-apply": ("a rebase", "git rebase --continue, or --abort"),
    "CHERRY_PICK_HEAD": ("a cherry-pick", "git cherry-pick --continue, or --abort"),
    "REVERT_HEAD": ("a revert", "git revert --continue, or --abort"),
}


class Git:
    """The repository that the folder `root` is in; paths are relative to `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_DIR")}
        for name in ("GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"):
            self._env.pop(name, None)
        self._env["LC_ALL"] = "C"
        self._who: dict[str, str] | None = None

    def run(self, *args: str, given: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        """What `git ARGS` prints, without the last newline. Raises StateError with git's own words when it fails."""
        done = self._call(args, given, env)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
            verb = next(arg for arg in args if arg[0] != "-" and "=" not in arg)
            raise StateError(f"git {verb} failed: {said[0]}", "see  git status  and try again")
        return done.stdout.decode(errors="replace").rstrip("\n")

    def ask(self, *args: str) -> str | None:
        """What `git ARGS` prints, or None where it fails."""
        done = self._call(args, None, None)
        return None if done.returncode else done.stdout.decode(errors="replace").rstrip("\n")

    def _call(
        self, args: Sequence[str], given: bytes | None, env: Mapping[str, str] | None
    ) -> subprocess.CompletedProcess[bytes]:
        command = ["git", "-C", str(self._root), *args]
        try:
            return subprocess.run(
                command, input=given, env=self._env | dict(env or {}), capture_output=True, check=False
            )
        except FileNotFoundError:
            raise StateError("git is not installed", "install it, for example:  apt install git") from None

    def _refuse_foreign(self) -> None:
        """Git keeps out of a repository that is somebody else's, and says how to trust it."""
        said = self._call(["rev-parse", "--absolute-git-dir"], None, None).stderr.decode(errors="replace")
        if "dubious ownership" in said:
            raise StateError(
                f"git does not trust {self._root}: it belongs to another user",
                f"work as its owner, or:  git config --global --add safe.directory '{self._root}'",
            )

    def folder(self) -> Path:
        """The repository's .git folder. Raises StateError outside of any."""
        found = self.ask("rev-parse", "--absolute-git-dir")
        if found is None:
            self._refuse_foreign()
            raise StateError(
                f"{self._root} is in no git repository", "make one:  git init -b main && git add -A && git commit"
            )
        return Path(found)

    def branch(self) -> str:
        """The reference of the branch that is checked out. Raises StateError when HEAD is detached."""
        branch = self.ask("symbolic-ref", "-q", "HEAD")
        if branch is None:
            raise StateError("HEAD is detached: a commit would be on no branch", "git switch main, or another branch")
        return branch

    def head(self) -> str | None:
        """The commit that is checked out; None before the first one."""
        return self.ask("rev-parse", "-q", "--verify", "HEAD^{commit}")

    def commit_of(self, tag: str) -> str | None:
        return self.ask("rev-parse", "-q", "--verify", f"refs/tags/{tag}^{{commit}}")

    def check_ready(self) -> None:
        """Raises StateError when no commit can be made now, BusyError while another git holds the index."""
        folder = self.folder()
        self.branch()
        for file, (what, remedy) in _OPERATIONS.items():
            if (folder / file).exists():
                raise StateError(f"{what} is in progress in this repository", f"finish it first:  {remedy}")
        lock = folder / "index.lock"
        if not _gone(lock, 2.0):
            raise BusyError(
                f"{lock} exists: another git works here, or one was killed", "if none is running, remove it"
            )

    def contents(self, objects: Sequence[str]) -> dict[str, bytes]:
        """The contents of `objects` (as git names them) that exist."""
        given = "".join(f"{name}\n" for name in objects).encode()
        done = self._call(("cat-file", "--batch"), given, None)
        found: dict[str, bytes] = {}
        rest = done.stdout
        for name in objects:
            header, _, rest = rest.partition(b"\n")
            fields = header.split()
            if len(fields) == 3 and fields[1] == b"blob":
                size = int(fields[2])
                found[name], rest = rest[:size], rest[size + 1 :]
            elif len(fields) == 3 and fields[2].isdigit():
                rest = rest[int(fields[2]) + 1 :]
        return found

    def commit(self, paths: Sequence[str], message: str, tag: str, scratch: Path) -> None:
        """Commit `paths` as they are on disk, and nothing else, with an annotated tag: both or neither."""
        branch, parent = self.branch(), self.head()
        index = {"GIT_INDEX_FILE": str(scratch / "index")}
        if parent is not None:
            self.run("read-tree", parent, env=index)
        self.run("update-index", "--add", "--", *paths, env=index)
        tree = self.run("write-tree", env=index)
        parents = ["-p", parent] if parent is not None else []
        commit = self.run("commit-tree", tree, *parents, "-m", message, env=self._identity())
        self._publish(
            message,
            f"update {branch} {commit} {parent or '0' * len(commit)}",
            f"create refs/tags/{tag} {self._tag_object(tag, commit, message)}",
        )

    def commit_all(self, message: str) -> None:
        """Commit everything there is that is not ignored."""
        self.run("add", "-A")
        self.run("-c", "commit.gpgsign=false", "commit", "-q", "--no-verify", "-m", message, env=self._identity())

    def publish_tag(self, tag: str, commit: str, message: str) -> None:
        """Make an annotated tag on a commit that is there already."""
        self._publish(message, f"create refs/tags/{tag} {self._tag_object(tag, commit, message)}")

    def advance(self, commit: str, parent: str | None, message: str) -> None:
        """Move the branch from `parent` to `commit`."""
        self._publish(message, f"update {self.branch()} {commit} {parent or '0' * len(commit)}")

    def forget_staged(self, paths: Sequence[str]) -> None:
        """Make the index hold `paths` as HEAD has them."""
        if self.head() is not None:
            self.run("reset", "-q", "HEAD", "--", *paths)

    def _publish(self, message: str, *commands: str) -> None:
        script = "\n".join(["start", *commands, "prepare", "commit", ""])
        self.run("update-ref", "-m", f"tidemill: {message}", "--stdin", given=script.encode(), env=self._identity())

    def _tag_object(self, tag: str, commit: str, message: str) -> str:
        tagger = self._committer()
        content = f"object {commit}\ntype commit\ntag {tag}\ntagger {tagger}\n\n{message}\n"
        return self.run("mktag", given=content.encode())

    def _committer(self) -> str:
        done = self._call(("var", "GIT_COMMITTER_IDENT"), None, self._identity())
        found = done.stdout.decode(errors="replace").strip()
        return found or f"{_NOBODY} {int(time.time())} +0000"

    def _identity(self) -> dict[str, str]:
        """The user's own identity; a neutral one where git knows none."""
        if self._who is None:
            self._who = self._find_identity()
        return self._who

    def _find_identity(self) -> dict[str, str]:
        if (self.ask("config", "user.email") or self._env.get("GIT_AUTHOR_EMAIL")) and self.ask(
            "var", "GIT_AUTHOR_IDENT"
        ):
            return {}
        name, email = _NOBODY.rstrip(">").split(" <")
        return {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email))
        }

    def clear_locks(self, tag: str) -> None:
        """Remove the lock files that a killed git left; only for use after a command of ours was killed.

        Waits for a git that is still at work. Raises BusyError when one stays.
        """
        folder = self.folder()
        branch = self.ask("symbolic-ref", "-q", "HEAD")
        names = ["index", "HEAD", "packed-refs", f"refs/tags/{tag}", *([branch] if branch else [])]
        locks = [folder / f"{name}.lock" for name in names]
        deadline = time.monotonic() + 5.0
        while _works_in(folder.parent) and any(lock.exists() for lock in locks):
            if time.monotonic() > deadline:
                raise BusyError("another git is working in this repository", "wait for it to end, then run this again")
            time.sleep(0.05)
        for lock in locks:
            lock.unlink(missing_ok=True)


def _gone(path: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _works_in(folder: Path) -> bool:
    """Whether a process called git has its working directory in `folder`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip().startswith("git") and Path(
                os.readlink(process / "cwd")
            ).is_relative_to(folder):
                return True
        except OSError:
            continue
    return False
