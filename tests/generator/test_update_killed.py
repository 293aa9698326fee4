"""Whatever kills `scaffold update`, and whenever: nothing is lost, and one command restores it."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from updating import LINES, Story

from scaffold import answers, git, landing, updates
from scaffold.errors import ScaffoldError
from scaffold.moving import Moving
from scaffold.releases import File

OLD = {"train.py": LINES, "model.py": "layers = 2\n", "gone.py": LINES + "gone\n", "data": "old\n"}
NEW = {
    "train.py": LINES.replace("line 5\n", "line 5, theirs\n"),
    "model.py": "layers = 2\n\ndepth = 3\n",
    "data/new.txt": "new\n",
    "deep/er/new.sh": File(b"#!/bin/sh\n", True),
}
PR_SET_CHILD_SUBREAPER = 36
CHANGES = {"os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.chmod", "os.symlink", "os.link"}


@pytest.mark.parametrize("kind", ["clean", "conflict", "ignored record", "no commit"])
def test_killed_at_any_step_nothing_is_lost(story: Story, kind: str, tmp_path: Path) -> None:
    """At every change of a file and start of a process; what is named then restores everything."""
    prepare(story, kind)
    outcomes = list(killed(story, kind, tmp_path, within=False))
    assert len(outcomes) > (50 if kind == "clean" else 20)  # There were steps to be killed at.
    assert "restored" in outcomes
    assert outcomes[-1] == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether git was killed")
@pytest.mark.parametrize("kind", ["clean", "conflict"])
def test_killed_while_git_is_at_work_nothing_is_lost(
    story: Story, kind: str, tmp_path: Path
) -> None:
    """The same when git itself dies with us, somewhere in the middle of what it does."""
    prepare(story, kind)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # We hear how git ended.
    gits: list[int] = []
    outcomes = list(killed(story, kind, tmp_path, within=True, gits=gits))
    assert signal.SIGKILL in gits
    assert len(outcomes) > 2
    assert outcomes[-1] == "done"


def test_what_an_update_left_half_written_is_named(story: Story) -> None:
    """Status, diff and update say in one line what happened, and the one command that helps."""
    prepare(story, "clean")
    before = story.everything()
    kill_at_first_file(story)
    for command in (
        story.update,
        lambda: updates.compare(story.project, story.history),
        lambda: updates.patch(story.project, history=story.history),
    ):
        with pytest.raises(ScaffoldError) as refusal:
            command()
        assert str(refusal.value) == (
            "an update was stopped while it wrote files; nothing of yours is lost, and this "
            "restores the working tree: git reset --hard"
        )
    story.git("reset", "--quiet", "--hard")
    assert story.everything() == before
    assert updates.compare(story.project, story.history)


@pytest.mark.parametrize("kind", ["clean", "conflict", "ignored record", "no commit"])
def test_what_fails_while_files_are_written_is_taken_back(
    story: Story, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A full disk, at whichever file: index, files and branch are as they were, with no command."""
    prepare(story, kind)
    before, index, head = story.everything(), story.git("ls-files", "--stage"), story.head
    put = Moving.put
    for full_at in count():
        files = count()

        def fail(moving: Moving, path: str, source: Path) -> None:
            if next(files) == full_at:  # noqa: B023
                raise OSError(errno.ENOSPC, "No space left on device")
            put(moving, path, source)

        monkeypatch.setattr(Moving, "put", fail)
        said = refusal(story, lambda: story.update(commit=kind != "no commit"))
        if not said or story.head != head:  # The record comes after the commit, if none had it.
            assert bool(said) == (kind == "ignored record")
            assert said.endswith("restores the working tree: git reset --hard" if said else "")
            break
        assert "No space left on device; the update was taken back" in said
        assert story.everything() == before
        assert (story.git("ls-files", "--stage"), story.head) == (index, head)
        assert not (story.top / ".git" / "MERGE_MSG").exists()
    assert full_at == (4 if kind == "ignored record" else 5)
    assert "line 5, theirs\n" in story.read("train.py")


@pytest.mark.parametrize("path", ["train.py", "gone.py", "deep/er/new.sh", ".scaffold.yml"])
@pytest.mark.parametrize("how", ["in place", "by renaming"])
def test_what_somebody_saves_while_files_are_written_stays(
    story: Story, monkeypatch: pytest.MonkeyPatch, path: str, how: str
) -> None:
    """An edit or a new file of just now is not written over: the update is taken back instead."""
    prepare(story, "clean")
    before = story.everything()
    write = landing._Landing.write_files

    def save_first(*arguments: Any, **options: Any) -> None:
        if how == "by renaming":
            story.write("saving", "saved just now\n")
            (story.project / path).parent.mkdir(parents=True, exist_ok=True)
            (story.project / "saving").replace(story.project / path)
        else:
            story.write(path, "saved just now\n")
        write(*arguments, **options)

    monkeypatch.setattr(landing._Landing, "write_files", save_first)
    with pytest.raises(ScaffoldError, match=f"{path} was (changed|made) meanwhile; .* taken back"):
        story.update()
    assert story.read(path) == "saved just now\n"
    after = story.everything()
    assert {name: file for name, file in after.items() if name != path} == {
        name: file for name, file in before.items() if name != path
    }
    assert [line[3:] for line in story.changed if line[3:] != "own.txt"] == [path]


def test_what_was_edited_after_a_kill_is_named(story: Story) -> None:
    """Whoever works on beside a half-written update is told what `git reset --hard` would undo."""
    prepare(story, "clean")
    kill_at_first_file(story)
    assert "nothing of yours is lost" in refusal(story)
    story.write("model.py", "hours of work\n")
    story.write("deep/er/new.sh", "more hours\n")
    said = refusal(story)
    assert "these were edited since: deep/er/new.sh, model.py; copy them elsewhere" in said
    assert "nothing of yours is lost" not in said


@pytest.mark.parametrize(
    "names", [["index"], ["HEAD"], ["refs/heads/main"], ["HEAD", "refs/heads/main"]]
)
def test_the_locks_of_a_git_that_was_killed_are_named(story: Story, names: list[str]) -> None:
    """They keep git from restoring anything, so they are named before the command that restores."""
    prepare(story, "clean")
    kill_at_first_file(story)
    locks = story.lock(*names)
    assert f"first what a killed git left: {locks}; nothing of yours is lost" in refusal(story)


@pytest.mark.parametrize("content", ["", "{}", "[]", "\0"])
def test_a_note_that_was_cut_short_is_a_half_written_update(story: Story, content: str) -> None:
    """After a power cut the note may be empty: nothing is known then, and nothing promised."""
    prepare(story, "clean")
    kill_at_first_file(story)
    (story.top / ".git/scaffold/begun").write_text(content)
    (story.top / ".git/scaffold/lock").unlink()
    story.write("model.py", "mine\n")
    assert "edited since: model.py" in refusal(story)
    story.git("reset", "--quiet", "--hard")
    assert refusal(story) == ""
    assert story.update()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_asked_to_end_while_it_writes_an_update_ends_what_it_began(
    story: Story, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Ctrl-C and SIGTERM wait for the few milliseconds in which files are written."""
    prepare(story, "clean")
    put = Moving.put

    def interrupt(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.Signals[name])
        put(*arguments)

    def interrupted() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Whoever started us ignores it.
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # It gets the signal.
        story.update()

    monkeypatch.setattr(Moving, "put", interrupt)
    status = os.waitstatus_to_exitcode(in_a_fork(interrupted))
    assert status in (1, -signal.Signals[name])
    monkeypatch.undo()
    assert "line 5, theirs\n" in story.read("train.py")
    assert tracked_changes(story) == []
    assert story.git("log", "-1", "--format=%s").startswith("Update from")


def kill_at_first_file(story: Story) -> None:
    """Leave an update half written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Moving, "put", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert os.waitstatus_to_exitcode(in_a_fork(lambda: story.update())) == -signal.SIGKILL


def killed(
    story: Story, kind: str, folder: Path, *, within: bool, gits: list[int] | None = None
) -> Iterator[str]:
    """
    Kill an update at its n-th step for n = 1, 2, ... and say what came of each.

    Args:
        story: The project.
        kind: Of the update.
        folder: An empty folder, for copies of the project.
        within: Kill it a moment after a process was started.
        gits: Takes the signals that ended git's processes.
    """
    original, history = story.top, story.history
    before, head = story.everything(), story.head
    state, outcome = None, ""
    for number in count(1):
        story.top = story.project = folder / str(number)
        shutil.copytree(original, story.top, symlinks=True, ignore=shutil.ignore_patterns("hooks"))
        child = fork(lambda: update(story, kind, number, within))  # noqa: B023
        status = os.waitpid(child, 0)[1]
        if gits is not None:
            gits += ends_of(child)
        assert story.read("own.txt") == "mine\n"
        assert story.read("runs/log.txt") == "ignored\n"
        last, state = state, (story.everything(), of_git(story))
        if state != last:  # Otherwise the outcome is the same.
            outcome = after(story, kind, before, head)
        if os.WIFEXITED(status):
            assert (os.WEXITSTATUS(status), outcome) == (0, "done")
        yield outcome
        story.history = history
        shutil.rmtree(story.top)
        if os.WIFEXITED(status):
            return


def of_git(story: Story) -> dict[str, bytes]:
    """Return what git's folder holds, but for objects and what an update works with."""
    files = (path for path in (story.top / ".git").rglob("*") if path.is_file())
    left_out = ("objects/", "scaffold/scratch/", "scaffold/kept/", "scaffold/lock", "scaffold/new")
    found = {path.relative_to(story.top / ".git").as_posix(): path.read_bytes() for path in files}
    return {path: content for path, content in found.items() if not path.startswith(left_out)}


def after(story: Story, kind: str, before: dict[str, Any], head: str) -> str:
    """Do what the next command says; return how the project was found."""
    is_before = story.head == head
    said = refusal(story)
    for locks in re.findall("what a killed git left: (.+?);", said):
        for lock in locks.split(", "):
            Path(lock).unlink()
    if "a cherry-pick is in progress" in said:
        assert (kind, is_before) == ("conflict", True)
        assert "<<<<<<< HEAD\nline 5, mine\n" in story.read("train.py")
        assert story.read("deep/er/new.sh") == "#!/bin/sh\n"
        story.git("cherry-pick", "--abort")
        assert story.everything() == before
        return "done"
    if said:
        if kind == "clean":
            assert_complete_after_a_commit(story)
        command = re.search("working tree: git (.*)", said)
        assert command, said
        assert "nothing of yours is lost" in said
        story.git(*command[1].split())
        outcome = "restored"
    else:
        staged = kind == "no commit" and tracked_changes(story)
        outcome = "before" if is_before and not staged else "done"
    if locks := locks_of_git(story):  # Git was killed when all was done.
        said = refusal(story, lambda: story.update(dry_run=True))
        for lock in locks:
            assert str(lock) in said
            lock.unlink()
    if outcome == "done" or not is_before:
        assert "line 5, theirs\n" in story.read("train.py")
        assert "line 15, mine\n" in story.read("train.py")
        assert (kind == "no commit") == bool(tracked_changes(story))
        return outcome
    assert story.everything() == before
    assert not tracked_changes(story)
    if outcome == "before" and kind == "clean":
        return outcome
    again = story.update()
    assert again is not None
    assert bool(again.merged.conflicts) == (kind == "conflict")
    return outcome


def assert_complete_after_a_commit(story: Story) -> None:
    """Who commits what is half written, as with `git commit -a`, gets the rest by an update."""
    killed_at, copied = story.top, story.top.with_name("committed")
    shutil.copytree(killed_at, copied, symlinks=True)
    story.top = story.project = copied
    for lock in locks_of_git(story):  # With one that a killed git left, git commits nothing.
        lock.unlink()
    git.attempt("commit", "--quiet", "--all", "--message", "Oops", folder=copied)
    if "no commit has: data" in refusal(story, lambda: story.update(dry_run=True)):
        (story.project / "data").unlink()  # Its place had to be given up, so it was not committed.
    complete = answers.read(story.project).version == "0.2.0"  # The record is written last.
    assert (story.update() is None) == complete
    merged = OLD["train.py"].replace("line 15\n", "line 15, mine\n")
    assert story.read("train.py") == merged.replace("line 5\n", "line 5, theirs\n")
    for path in ("model.py", "data/new.txt"):
        assert story.read(path) == NEW[path]
    assert os.access(story.project / "deep/er/new.sh", os.X_OK)
    assert not (story.project / "gone.py").exists()
    assert not tracked_changes(story)
    story.top = story.project = killed_at
    shutil.rmtree(copied)


def refusal(story: Story, command: Callable[[], Any] | None = None) -> str:
    """Return what `scaffold status`, or another command, refuses the project for, or nothing."""
    for _ in range(100):
        try:
            command() if command else updates.compare(story.project, story.history)
        except ScaffoldError as error:
            if "update` is at work here" not in str(error):
                return str(error)
            time.sleep(0.1)  # A git of the killed update lives a moment longer.
        else:
            return ""
    raise AssertionError("an update that was killed is still at work")


def locks_of_git(story: Story) -> list[Path]:
    found = (story.top / ".git").glob("**/*.lock")
    return [path for path in found if "scaffold" not in path.parts]


def tracked_changes(story: Story) -> list[str]:
    return [line for line in story.changed if not line.startswith("??")]


def prepare(story: Story, kind: str) -> None:
    """Let there be a project, with files of the user's that are in no commit."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.write(".gitignore", "runs/\n" + (".scaffold.yml\n" if kind == "ignored record" else ""))
    story.start()
    line = "line 5, mine\n" if kind == "conflict" else "line 15, mine\n"
    story.edit("train.py", line.replace(", mine", ""), line)
    story.write("own/deep.txt", "mine\n")
    story.commit()
    story.write("own.txt", "mine\n")
    story.write("runs/log.txt", "ignored\n")


def update(story: Story, kind: str, stop_at: int, within: bool) -> None:
    """Update, and die at a step: with the processes that were started, in the middle of one."""
    os.setpgid(0, 0)
    steps, counting, land = 0, kind == "clean", landing.land
    delay = random.Random(stop_at).uniform(0, 0.005)  # Seconds; git takes about that long.

    def die() -> None:
        time.sleep(delay)
        os.killpg(0, signal.SIGKILL)

    def watch(event: str, arguments: Any) -> None:
        nonlocal steps
        starts = event == "subprocess.Popen" and (within or kind == "clean")
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        writes = writes or event in CHANGES
        if counting and (starts or (not within and writes and str(story.top) in str(arguments))):
            steps += 1
            if steps == stop_at and within:
                threading.Thread(target=die).start()
            elif steps == stop_at:
                os.killpg(0, signal.SIGKILL)

    def count_from_here(*arguments: Any, **options: Any) -> str:
        nonlocal counting
        counting = True
        return land(*arguments, **options)

    landing.land = count_from_here  # What comes before is the same for all kinds.
    sys.addaudithook(watch)
    story.update(commit=kind != "no commit")


def in_a_fork(work: Any) -> int:
    return os.waitpid(fork(work), 0)[1]


def fork(work: Any) -> int:
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def ends_of(group: int) -> Iterator[int]:
    """Wait for the processes that a killed one left to us; yield the signals that ended them."""
    with suppress(ChildProcessError):
        while True:
            yield os.WTERMSIG(os.waitpid(-group, 0)[1])
