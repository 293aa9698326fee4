"""Whatever kills `scaffold update`, and whenever: nothing is lost, and one command restores it."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from updating import LINES, Story

from scaffold import landing, updates
from scaffold.errors import ScaffoldError
from scaffold.releases import File

OLD = {"train.py": LINES, "model.py": "layers = 2\n", "gone.py": LINES + "gone\n", "data": "old\n"}
NEW = {
    "train.py": LINES.replace("line 5\n", "line 5, theirs\n"),
    "model.py": "layers = 2\n\ndepth = 3\n",
    "data/new.txt": "new\n",
    "deep/er/new.sh": File(b"#!/bin/sh\n", True),
}
CHANGES = {"os.mkdir", "os.rename", "os.rmdir", "os.remove", "os.chmod", "os.symlink", "os.link"}


@pytest.mark.parametrize("kind", ["clean", "conflict", "ignored record", "no commit"])
def test_killed_at_any_step_nothing_is_lost(story: Story, kind: str, tmp_path: Path) -> None:
    """At every change of a file and start of a process; what is named then restores everything."""
    prepare(story, kind)
    outcomes = list(killed(story, kind, tmp_path, within=False))
    assert len(outcomes) > (50 if kind == "clean" else 20)  # There were steps to be killed at.
    assert "restored" in outcomes
    assert outcomes[-1] == "done"


@pytest.mark.parametrize("kind", ["clean", "conflict"])
def test_killed_while_git_is_at_work_nothing_is_lost(
    story: Story, kind: str, tmp_path: Path
) -> None:
    """The same when git itself dies with us, somewhere in the middle of what it does."""
    prepare(story, kind)
    outcomes = list(killed(story, kind, tmp_path, within=True))
    assert len(outcomes) > 2
    assert outcomes[-1] == "done"


def test_what_an_update_left_half_written_is_named(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, diff and update say in one line what happened, and the one command that helps."""
    prepare(story, "clean")
    before = story.everything()
    monkeypatch.setattr(landing, "_move", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert os.waitstatus_to_exitcode(in_a_fork(lambda: story.update())) == -signal.SIGKILL
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


def test_a_full_disk_is_said_with_what_restores_the_files(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails in the middle of writing, the same command takes it back."""
    prepare(story, "clean")
    before = story.everything()

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(landing, "_move", fail)
    with pytest.raises(ScaffoldError, match=r"No space left .* working tree: git reset --hard$"):
        story.update()
    story.git("reset", "--quiet", "--hard")
    assert story.everything() == before
    monkeypatch.undo()
    assert updates.compare(story.project, story.history)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_asked_to_end_while_it_writes_an_update_ends_what_it_began(
    story: Story, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Ctrl-C and SIGTERM wait for the few milliseconds in which files are written."""
    prepare(story, "clean")
    move = landing._move

    def interrupt(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.Signals[name])
        move(*arguments)

    def interrupted() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # Whoever started us ignores it.
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # It gets the signal.
        story.update()

    monkeypatch.setattr(landing, "_move", interrupt)
    status = os.waitstatus_to_exitcode(in_a_fork(interrupted))
    assert status in (1, -signal.Signals[name])
    monkeypatch.undo()
    assert "line 5, theirs\n" in story.read("train.py")
    assert tracked_changes(story) == []
    assert story.git("log", "-1", "--format=%s").startswith("Update from")


def killed(story: Story, kind: str, folder: Path, *, within: bool) -> Iterator[str]:
    """Kill an update at its n-th step for n = 1, 2, ... and say what came of each."""
    original, history = story.top, story.history
    before, head = story.everything(), story.head
    for number in count(1):
        story.top = story.project = folder / str(number)
        shutil.copytree(original, story.top, symlinks=True)
        status = in_a_fork(lambda: update(story, kind, number, within))  # noqa: B023
        assert story.read("own.txt") == "mine\n"
        assert story.read("runs/log.txt") == "ignored\n"
        outcome = after(story, kind, before, head)
        if os.WIFEXITED(status):
            assert (os.WEXITSTATUS(status), outcome) == (0, "done")
        yield outcome
        story.history = history
        shutil.rmtree(story.top)
        if os.WIFEXITED(status):
            return


def after(story: Story, kind: str, before: dict[str, Any], head: str) -> str:
    """Do what the next command says; return how the project was found."""
    for lock in (story.top / ".git").rglob("*.lock"):
        lock.unlink()  # Of a git that was killed itself; git names it, and what to do.
    is_before = story.head == head
    said = refusal(story)
    if "a cherry-pick is in progress" in said:
        assert (kind, is_before) == ("conflict", True)
        assert "<<<<<<< HEAD\nline 5, mine\n" in story.read("train.py")
        assert story.read("deep/er/new.sh") == "#!/bin/sh\n"
        story.git("cherry-pick", "--abort")
        assert story.everything() == before
        return "done"
    if said:
        command = re.search("working tree: git (.*)", said)
        assert command, said
        story.git(*command[1].split())
        outcome = "restored"
    else:
        staged = kind == "no commit" and tracked_changes(story)
        outcome = "before" if is_before and not staged else "done"
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


def refusal(story: Story) -> str:
    """Return what `scaffold status` refuses the project for, or nothing."""
    for _ in range(100):
        try:
            updates.compare(story.project, story.history)
        except ScaffoldError as error:
            if "is at work here" not in str(error):
                return str(error)
            time.sleep(0.1)  # A git of the killed update lives a moment longer.
        else:
            return ""
    raise AssertionError("an update that was killed is still at work")


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
        starts = event == "subprocess.Popen"
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
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]
