"""
Bring a merge into the user's working tree: whole, or so that one command restores it.

The order makes it safe to be killed at any moment. First the index takes the
result, so that git knows every file that is about to be written; then the files,
the record last; then the branch. Until that step `git reset --hard` takes everything
back, new files included, and a note in git's folder says that this is due. As long
as the record is the old one, what is there may be committed, too: the next update
brings what is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scaffold import git, merge, repository, signals, trees, workshop
from scaffold.answers import RECORD
from scaffold.errors import ScaffoldError
from scaffold.merge import Merged
from scaffold.moving import Moving
from scaffold.obstacles import in_the_way
from scaffold.repository import Repository
from scaffold.scratch import Scratch
from scaffold.trees import Entry
from scaffold.workshop import Note


def land(
    scratch: Scratch,
    merged: Merged,
    folder: Path,
    message: str,
    *,
    commit: bool,
    record_is_new: bool = False,
) -> str:
    """
    Write a merge into the working tree; return the commit, or nothing if there is none.

    Without conflicts the branch gets one commit. With them the repository is left
    as `git cherry-pick` leaves it.

    Args:
        scratch: Where the merge was made; its repository's working tree is that of the last commit.
        merged: What to write.
        folder: The workshop.
        message: Of the commit.
        commit: Make the commit, or leave the branch and the state of the repository alone.
        record_is_new: The last commit does not have the record.

    Raises:
        ScaffoldError: It could not be written; all is as it was, or what restores it is said.
    """
    around, made = scratch.repository, ""
    tree = merge.tree(scratch, merged)
    if commit and not merged.conflicts:
        made = git.commit(tree, around.head, message, folder=around.project)
    moving = Moving(around.project, folder / "kept", {*merged.written, *merged.removed})
    _refuse_if_disturbed(around, merged)
    landing = _Landing(scratch, merged, folder, moving)
    with signals.waiting():
        workshop.begin(folder, Note((around.head, made), (merged.tree_before, tree)))
        try:
            landing.write_files(record=not record_is_new)
            if made:
                git.run("update-ref", "-m", message, "HEAD", made, around.head, folder=around.top)
            else:
                landing.leave_state(message, picking=commit)
        except (OSError, ScaffoldError) as error:
            raise landing.take_back(error) from None
        if record_is_new:
            landing.add_record()
        workshop.end(folder)
    return made


def _refuse_if_disturbed(around: Repository, merged: Merged) -> None:
    """Refuse to write over what was changed or committed while the merge was made."""
    head = git.run("rev-parse", "HEAD", folder=around.top).strip()
    if head != around.head or repository.changed(around) or in_the_way(around, merged):
        raise ScaffoldError("the project changed meanwhile; nothing was written: update again")


@dataclass(frozen=True)
class _Landing:
    """A merge on its way into the working tree."""

    scratch: Scratch
    merged: Merged
    folder: Path
    moving: Moving

    def write_files(self, *, record: bool) -> None:
        """Let index and working tree have the merge, its record only if that is asked for."""
        shutil.copy(self._index, self.folder / "old-index")
        before = {path: (entry,) for path, entry in self.merged.before.items()}
        after = self.merged.after
        changed = {path for path in before.keys() | after if before.get(path) != after.get(path)}
        room, others = _making_room(self.merged)
        self._take_entries(changed - {RECORD, *others})
        for path in room:
            self.moving.remove(path)
        for path in self.merged.written:
            if path != RECORD:
                self._put(path)
        for path in others:
            self.moving.remove(path)
        self._take_entries(others)  # Now: no commit of what is half written is to lack them.
        if record:
            self._write_record()
        self._refresh()

    def leave_state(self, message: str, *, picking: bool) -> None:
        """Leave to git what the commit is to be, and the merge to which it belongs."""
        around = self.scratch.repository
        if not self.merged.conflicts:
            self._write(around.folder / "MERGE_MSG", message)
            return
        (self.scratch.folder / "git" / "MERGE_MSG").replace(around.folder / "MERGE_MSG")
        if picking:
            self._write(around.folder / "CHERRY_PICK_HEAD", self.merged.picked)

    def take_back(self, error: Exception) -> ScaffoldError:
        """Undo what was written; return what to say about it."""
        try:
            self.moving.take_back()
            (self.scratch.repository.folder / "MERGE_MSG").unlink(missing_ok=True)
            (self.folder / "old-index").replace(self._index)
            workshop.end(self.folder)
        except OSError as another:
            return ScaffoldError(f"the update was not finished: {another}; {workshop.RESTORE}")
        return ScaffoldError(f"{error}; the update was taken back, and all is as it was")

    def add_record(self) -> None:
        """Write the record after the commit: had the index known it, a reset would remove it."""
        try:
            self._write_record()
            self._refresh()
        except (OSError, ScaffoldError) as error:
            said = f"the update was not finished: {error}; {workshop.RESTORE}"
            raise ScaffoldError(said) from None

    @property
    def _index(self) -> Path:
        return self.scratch.repository.folder / "index"

    def _write_record(self) -> None:
        self._take_entries([RECORD])
        if RECORD in self.merged.written:
            self._put(RECORD)

    def _put(self, path: str) -> None:
        prefix = self.scratch.repository.prefix
        self.moving.put(path, self.scratch.tree / prefix / path)

    def _take_entries(self, paths: Iterable[str]) -> None:
        """Put what the merge made of some files into the user's index."""
        around = self.scratch.repository
        lines = []
        for path in paths:
            entries: Iterable[Entry] = self.merged.after.get(path, ())
            lines.append(trees.no_entry(self.scratch, path))
            lines += [entry.line(around.prefix + path) for entry in entries]
        self._change_index("update-index", "-z", "--index-info", given="".join(lines))

    def _refresh(self) -> None:
        """Let the index know the files as they lie."""
        self._change_index("update-index", "-q", "--refresh", may_fail=True)

    def _change_index(self, *command: str, given: str = "", may_fail: bool = False) -> None:
        """Change the user's index on a copy: a lock of git's would stay if we are killed."""
        new, around = self.folder / "new-index", self.scratch.repository
        shutil.copy(self._index, new)
        index = {"GIT_INDEX_FILE": str(new)}
        done = git.attempt(*command, folder=around.top, environment=index, given=given)
        if done.returncode and not may_fail:
            raise git.failure(done, command[0], around.project)
        new.replace(self._index)

    def _write(self, path: Path, line: str) -> None:
        """Write a file of git's whole."""
        (self.folder / "new").write_text(f"{line}\n")
        (self.folder / "new").replace(path)


def _making_room(merged: Merged) -> tuple[list[str], list[str]]:
    """Divide the files that go: those in whose place others come must go before, others later."""
    written = set(merged.written)
    above = {str(folder) for path in written for folder in PurePosixPath(path).parents}
    room = {
        path
        for path in merged.removed
        if path in above or not written.isdisjoint(map(str, PurePosixPath(path).parents))
    }
    return sorted(room), sorted(set(merged.removed) - room)
