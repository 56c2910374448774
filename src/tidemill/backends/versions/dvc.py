"""Data versions in git and DVC: the packed folder under DVC, its record in git, the version an annotated tag.

Everything is as plain DVC expects it: `dvc pull`, and `git checkout TAG && dvc checkout`, work without Tidemill.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.backends.versions._git import Git
from tidemill.backends.versions._intent import Intent, Journal
from tidemill.backends.versions._repository import clear_rwlock, copy_out, is_cached, open_repository, site_cache
from tidemill.dataset.read import RECORD, PackedDataset, open_dataset, parse_record
from tidemill.dataset.write import record_bytes
from tidemill.domain.dataset import DatasetVersion, Version
from tidemill.errors import DataError, NotFoundError, StateError, StorageError, nearest
from tidemill.files import fsync_tree, link_or_copy, locked, staged_directory, sweep_staging, write_atomic

if TYPE_CHECKING:
    from dvc.repo import Repo

    from tidemill.ports import DatasetStore

_REMOTE = "name one:  dvc remote add -d storage s3://bucket/path   (or a folder), and commit .dvc/config"


@dataclass(frozen=True, slots=True)
class DvcStore:
    """Data versions of the project at `root`.

    `data` holds the newest working folders, `checkouts` older versions; `state` is the project's private folder, on
    one file system with both, where unfinished work, locks and DVC's caches stay.
    """

    root: Path
    data: Path
    checkouts: Path
    state: Path

    def save(self, version: DatasetVersion, packed: Path, *, also: Mapping[Path, bytes] | None = None) -> None:
        """Make the folder `packed` (in `state`, it is moved) the version: DVC, commit, annotated tag.

        The commit has these files, those that `also` gives contents for, and nothing else; what the user has staged
        or changed stays so.
        Raises StateError where git does not allow it or the version exists. When it fails or is killed, the old
        state is restored, at the latest by the next call of any method.
        """
        with self._locked():
            self._recover()
            self._git.check_ready()
            self._check_dvc()
            if self._git.commit_of(version.tag) is not None:
                raise StateError(f"the tag {version.tag} exists already", "choose another version:  --version X.Y.Z")
            self._refuse_foreign(version.name)
            sweep_staging(self.state / "staging")
            fsync_tree(packed)
            self.data.mkdir(exist_ok=True)
            written = {self.data / f"{version.name}.json": record_bytes(version), **(also or {})}
            paths = [*self._paths(version.name), *map(self._relative, also or {})]
            self._journal.begin(
                Intent(version.name, version.tag, version.digest, self._git.head(), os.getpid(), tuple(paths))
            )
            try:
                self._journal.swap(version.name, packed)
                self._track(version.name)
                for file, content in written.items():
                    write_atomic(file, content)
                self._git.commit(paths, f"Add {version.tag}", version.tag, self._journal.place)
            finally:
                self._recover()

    def versions(self, name: str | None = None) -> list[DatasetVersion]:
        """Every version (of one data set), by name and then by number."""
        self._settle()
        self._git.folder()
        pattern = f"refs/tags/{name or '*'}-v*"
        tags = self._git.run("for-each-ref", "--format=%(refname:strip=2)", pattern).splitlines()
        names = {tag: tag.rpartition("-v")[0] for tag in tags if _is_version(tag.rpartition("-v")[2])}
        objects = {
            f"refs/tags/{tag}:{self._prefix}{self._relative(self.data / owner)}.json": tag
            for tag, owner in names.items()
        }
        contents = self._git.contents(list(objects))
        found = {
            objects[key]: parse_record(content, f"the record of {objects[key]}") for key, content in contents.items()
        }
        ours = [version for tag, version in found.items() if version.tag == tag]  # the user may have tags of that form
        return sorted(ours, key=lambda version: (version.name, Version.parse(version.version)))

    def checkout(self, name: str, version: str) -> Path:
        """A folder of the version that no later version and nobody else replaces, its digests verified.

        Its files are further names of those in the working folder, or copies from DVC's cache or remote. Raises
        NotFoundError for a version that does not exist, StateError when its data is not on this machine.
        """
        record = self._find(name, version)
        folder = self.checkouts / record.tag
        with suppress(DataError):
            if open_dataset(folder, verify=True).version == record:
                return folder
        return self._fetch(record)

    def local(self, version: DatasetVersion) -> PackedDataset | None:
        """The version, where this machine has it; not verified. None where it would have to be downloaded."""
        for folder in (self.data / version.name, self.checkouts / version.tag):
            with suppress(DataError):
                found = open_dataset(folder)
                if found.version == version:
                    return found
        with suppress(DataError, StateError, StorageError):
            return open_dataset(self._fetch(version, remote=False))
        return None

    def push(self) -> int:
        """Upload what the remote lacks of any version; the number of files. Raises StateError without a remote."""
        self._settle()
        with self._repo("pushing") as repo:
            self._check_remote(repo)
            count = int(repo.push(all_tags=True))
            if absent := self._absent(repo):
                raise StateError(f"the data of {absent[0].tag} is not on this machine to push", "tidemill data pull")
            return count

    def pull(self) -> int:
        """Download what is missing here of any version, and check out the working folders; the number of files.

        Raises StateError without a remote, StorageError when it does not have all.
        """
        self._settle()
        with self._locked(), self._repo("pulling") as repo:
            self._check_remote(repo)
            count = int(repo.pull(all_tags=True)["stats"]["fetched"])
            if absent := self._absent(repo):
                raise StorageError(
                    f"the remote lacks the data of {', '.join(each.tag for each in absent)}",
                    "check it with  dvc remote list;  push from where that version was made",
                )
            return count

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.state / "locks" / "data", what="this project's data")

    @property
    def _git(self) -> Git:
        return Git(self.root)

    @property
    def _journal(self) -> Journal:
        return Journal(self.state / "saving", self.root, self.data, self.state / "staging")

    @property
    def _prefix(self) -> str:
        """Where the project is inside its repository, in git's words."""
        return self._git.ask("rev-parse", "--show-prefix") or ""

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _paths(self, name: str) -> list[str]:
        return [self._relative(self.data / file) for file in (f"{name}.dvc", f"{name}.json", ".gitignore")]

    def _find(self, name: str, version: str) -> DatasetVersion:
        known = self.versions(name)
        if not known:
            others = {each.name for each in self.versions()}
            raise NotFoundError(f"there is no data set {name!r}", nearest(name, others, kind="data sets"))
        if version == "latest":
            return known[-1]
        for each in known:
            if each.version == version:
                return each
        numbers = [each.version for each in known]
        raise NotFoundError(f"{name} has no version {version!r}", nearest(version, numbers, kind=f"versions of {name}"))

    def _check_dvc(self) -> None:
        if not (self.root / ".dvc").is_dir():
            raise StateError(
                f"{self.root} has no .dvc folder", "make it:  dvc init   (with --subdir below another repository)"
            )

    def _refuse_foreign(self, name: str) -> None:
        """The working folder is replaced as a whole: what is not a packed data set must not be lost by it."""
        working = self.data / name
        if os.path.lexists(working) and not (working / RECORD).is_file():
            raise StateError(
                f"{working} is something else than a packed data set", "move it away, or use another --name"
            )
        inside = self._relative(working)
        if self._git.ask("ls-files", "--", inside):
            raise StateError(f"git tracks files in {inside}, which belongs to DVC", f"git rm -r --cached {inside}")

    def _track(self, name: str) -> None:
        with self._repo("adding the data to DVC") as repo:
            repo.add(str(self.data / name))

    def _settle(self) -> None:
        """Finish or undo what a killed command left."""
        if self._journal.place.exists():
            with self._locked():
                self._recover()

    def _recover(self) -> None:
        """Under the lock: if a save was begun, complete it when its commit or tag was made, otherwise undo it."""
        intent = self._journal.read()
        if intent is None:
            return
        git = self._git
        git.clear_locks(intent.tag)
        tagged, head = git.commit_of(intent.tag), git.head()
        if tagged is None and not self._holds(head, intent):
            self._journal.undo(intent)
        elif tagged is None and head is not None:
            git.publish_tag(intent.tag, head, f"Add {intent.tag}")
        elif tagged is not None and head == intent.parent:
            git.advance(tagged, head, f"Add {intent.tag}")
        git.forget_staged(intent.paths)
        clear_rwlock(self.root / ".dvc" / "tmp" / "rwlock", intent.pid)
        self._journal.end(intent)

    def _holds(self, commit: str | None, intent: Intent) -> bool:
        """Whether `commit`, made since, has the intended version."""
        if commit is None or commit == intent.parent:
            return False
        name = f"{commit}:{self._prefix}{self._relative(self.data / intent.name)}.json"
        content = self._git.contents([name]).get(name, b"{}")
        with suppress(DataError):
            record = parse_record(content, name)
            return record.tag == intent.tag and record.digest == intent.digest
        return False

    def _fetch(self, record: DatasetVersion, *, remote: bool = True) -> Path:
        final = self.checkouts / record.tag
        with locked(self.state / "locks" / f"checkout-{record.tag}", what=record.tag, timeout=600):
            with suppress(DataError):
                if open_dataset(final, verify=True).version == record:
                    return final
            staging = self.state / "staging"
            if final.exists():
                staging.mkdir(exist_ok=True)
                os.rename(final, staging / f"{os.getpid()}-{record.tag}-{uuid.uuid4().hex}")
            with staged_directory(final, staging=staging) as beside:
                if not self._link(record, beside):
                    self._download(record, beside, remote=remote)
                    open_dataset(beside, verify=True)
        return final

    def _link(self, record: DatasetVersion, into: Path) -> bool:
        """Give the files of the working folder, if it has the version, further names in `into`."""
        working = self.data / record.name
        try:
            if open_dataset(working).version == record:
                for path in [RECORD, *(shard.path for split in record.splits for shard in split.shards)]:
                    (into / path).parent.mkdir(exist_ok=True)
                    link_or_copy(working / path, into / path)
                return open_dataset(into, verify=True).version == record
        except (DataError, OSError):  # altered, or replaced by another version just now
            for entry in into.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return False

    def _download(self, record: DatasetVersion, into: Path, *, remote: bool) -> None:
        with self._repo("reading its cache") as repo:
            if not copy_out(repo, self._pointers([record])[0], into, remote=remote):
                raise StateError(f"the data of {record.tag} is not on this machine", "get it:  tidemill data pull")

    def _pointers(self, versions: Sequence[DatasetVersion]) -> list[bytes]:
        """The content of each version's .dvc file, as its tag has it."""
        names = [f"refs/tags/{v.tag}:{self._prefix}{self._relative(self.data / v.name)}.dvc" for v in versions]
        contents = self._git.contents(names)
        return [contents.get(name, b"") for name in names]

    def _absent(self, repo: Repo) -> list[DatasetVersion]:
        """The versions that DVC's cache does not have whole."""
        versions = self.versions()
        pointers = self._pointers(versions)
        return [version for version, pointer in zip(versions, pointers, strict=True) if not is_cached(repo, pointer)]

    def _repo(self, doing: str) -> AbstractContextManager[Repo]:
        return open_repository(self.root, self.state / "cache" / "dvc", doing)

    def _check_remote(self, repo: Repo) -> None:
        if not repo.config["core"].get("remote"):
            raise StateError("this project has no DVC remote to keep data at", _REMOTE)


def begin_repository(root: Path, state: Path, message: str) -> None:
    """Make the folder `root` a git repository on branch main with DVC in it, and commit everything that is there.

    DVC's caches go to `state`, and its analytics are switched off in the project's own settings.
    """
    git = Git(root)
    git.run("init", "-q", "-b", "main")
    with site_cache(state / "cache" / "dvc"):
        from dvc.repo import Repo

        repo = Repo.init(str(root))
        with repo.config.edit() as settings:
            settings["core"]["analytics"] = "false"
        repo.close()
    git.commit_all(message)


def _is_version(text: str) -> bool:
    try:
        Version.parse(text)
    except ValueError:
        return False
    return True


if TYPE_CHECKING:
    _fits: type[DatasetStore] = DvcStore
