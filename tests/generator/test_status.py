"""`scaffold status` and `scaffold diff`: what an update would do, and nothing is written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from updating import LINES, Story

from scaffold import reports, updates
from scaffold.releases import File

OLD = {
    "train.py": LINES, "model.py": LINES.replace("line", "layer"), "data.py": "data\n",
    "loss.py": "loss\n", "sample.py": "sample\n", "a.bin": b"\0old\xff",
}  # fmt: skip
NEW = {
    "train.py": LINES.replace("line 5\n", "line 5, theirs\n"),
    "core/model.py": LINES.replace("line", "layer") + "more\n",
    "data.py": "data, theirs\n",
    "loss.py": "loss\n",
    "tool.sh": File(b"#!/bin/sh\n", True),
    "own.py": "theirs\n",
    "a.bin": b"\0new\xff",
}


def test_status_shows_both_sides_and_what_an_update_makes_of_them(story: Story) -> None:
    """A row for each file that either changed; conflicts are those that git would have."""
    apart(story)
    assert reports.status(updates.compare(story.project, story.history)).splitlines() == [
        "project: template small, release 0.1.0; the newest is 0.2.0",
        "",
        "file           you      template                update",
        ".scaffold.yml  -        changed                 changed",
        "a.bin          -        changed                 changed",
        "data.py        removed  changed                 stays removed",
        "loss.py        changed  -                       kept",
        "model.py       changed  moved to core/model.py  merged",
        "own.py         -        added                   in the way",
        "sample.py      -        removed                 removed",
        "tool.sh        -        added                   added",
        "train.py       changed  changed                 conflict",
        "",
        "1 file of your own, which the template does not have.",
        "",
        "`scaffold update` changes 7 files, 1 in conflict, 1 in the way: in no commit, "
        "so it is refused; `scaffold diff` shows them.",
    ]


def test_status_for_programs_says_the_same(story: Story) -> None:
    """--json has the versions, the rows, the conflicts with reasons, and what is in the way."""
    apart(story)
    said = json.loads(reports.status_as_json(updates.compare(story.project, story.history)))
    assert (said["template"], said["version"], said["newest"]) == ("small", "0.1.0", "0.2.0")
    assert said["up_to_date"] is False
    assert said["conflicts"] == {"train.py": "both changed"}
    assert said["in_the_way"] == ["own.py"]
    assert said["own_files"] == ["more.py"]
    row = {"file": "data.py", "you": "removed", "template": "changed", "update": "stays removed"}
    assert row in said["files"]


def test_status_agrees_with_the_update(story: Story) -> None:
    """The conflicts that status names are those that the update then has."""
    apart(story)
    (story.project / "own.py").unlink()
    story.commit()
    said = updates.compare(story.project, story.history).merged
    done = story.update()
    assert done is not None
    assert (said.conflicts, said.written, said.removed) == (
        done.merged.conflicts, done.merged.written, done.merged.removed,
    )  # fmt: skip


def test_status_after_the_update_is_up_to_date(story: Story) -> None:
    """What the user changed is still shown; there is nothing to update."""
    story.release("0.1.0", OLD)
    story.start()
    story.write("loss.py", "mine\n")
    found = updates.compare(story.project, story.history)
    assert not reports.is_behind(found.plan)
    assert reports.status(found).splitlines() == [
        "project: template small, release 0.1.0, the newest",
        "",
        "file     you      template  update",
        "loss.py  changed  -         kept",
        "",
        "Up to date.",
    ]


def test_many_files_of_a_folder_that_only_the_template_changed_are_one_row(story: Story) -> None:
    """The runtime's files do not bury what the user wants to see."""
    runtime = {f"runtime/{number}.py": f"{number}\n" for number in range(10)}
    story.release("0.1.0", OLD | runtime)
    story.release("0.2.0", OLD | {path: f"new {text}" for path, text in runtime.items()})
    story.start()
    story.write("runtime/3.py", "mine\n")
    shown = reports.status(updates.compare(story.project, story.history))
    assert shown.splitlines()[3:-2] == [
        ".scaffold.yml       -        changed   changed",
        "runtime/3.py        changed  changed   conflict",
        "runtime/ (9 files)  -        changed   changed",
    ]


def test_a_row_of_many_files_says_what_became_of_them(story: Story) -> None:
    """Files that came, went and changed are named as that, once each."""
    old = {f"lib/{number}.py": f"{number}\n" for number in range(8)}
    new = {f"lib/{number}.py": f"{number}, new\n" for number in range(4, 12)}
    story.release("0.1.0", OLD | old)
    story.release("0.2.0", OLD | new)
    story.start()
    shown = reports.status(updates.compare(story.project, story.history)).splitlines()
    row = "lib/ (12 files)  -    added, changed, removed  added, changed, removed"
    assert row in shown


def test_files_that_are_not_tracked_are_told_apart(story: Story) -> None:
    """One that is ignored is not removed, nor is one that became a folder; neither is touched."""
    story.release("0.1.0", {f"{name}.txt": f"{name}\n" for name in ("a", "b", "c", "d", "e")})
    story.release(
        "0.2.0", {f"{name}.txt": "theirs\n" for name in ("a", "b", "c")} | {"d.txt": "d\n"}
    )
    story.start()
    for name in ("a", "b", "d", "e"):
        story.git("rm", "--quiet", f"{name}.txt")
    story.write("a.txt", "ignored\n")
    story.write(".git/info/exclude", "a.txt\n")
    story.write("b.txt/mine.txt", "mine\n")
    story.commit()
    shown = reports.status(updates.compare(story.project, story.history)).splitlines()
    assert shown[3:8] == [
        ".scaffold.yml  -             changed   changed",
        "a.txt          untracked     changed   kept",
        "b.txt          now a folder  changed   kept",
        "c.txt          -             changed   changed",
        "d.txt          removed       -         stays removed",
    ]
    told = reports.updated(story.update(), dry_run=False, commit=True)
    assert "a.txt: in no commit of yours, so it is as it was; the template changed it" in told
    assert "b.txt: you made a folder of it, which stays; the template changed it" in told
    assert (story.read("a.txt"), story.read("b.txt/mine.txt")) == ("ignored\n", "mine\n")


LIB = {f"lib/{name}.py": f"{name}\n{LINES}" for name in "abcd"}
CORE = {path.replace("lib/", "core/"): text for path, text in LIB.items()}
EDITED = LINES.replace("line 3\n", "other\n")


def move(story: Story, old: str, new: str) -> None:
    (story.project / new).parent.mkdir(parents=True, exist_ok=True)
    (story.project / old).rename(story.project / new)


def link(story: Story, path: str) -> None:
    (story.project / path).unlink()
    (story.project / path).symlink_to("nowhere")


CLASHES: dict[str, tuple[Any, Any, Any, str]] = {
    "both moved": (
        {"a.py": LINES}, {"b.py": LINES}, lambda story: move(story, "a.py", "c.py"),
        "a.py           moved to c.py  moved to b.py  conflict",
    ),
    "a file of mine in a folder that moved": (
        LIB, CORE, lambda story: story.write("lib/mine.py", "mine\n"),
        "lib/mine.py    added  -                   conflict",
    ),
    "a new file in a folder that I moved": (
        LIB, LIB | {"lib/new.py": "new\n"}, lambda story: move(story, "lib", "core"),
        "lib/new.py     -                   added     conflict",
    ),
    "my file where a folder comes": (
        {"a.py": LINES}, {"a.py": LINES, "core/x.py": "x\n"},
        lambda story: story.write("core", "mine\n"),
        "core           added  -         conflict",
    ),
    "a file where I have a folder": (
        {"a.py": LINES}, {"a.py": LINES, "core": "x\n"},
        lambda story: story.write("core/x.py", "mine\n"),
        "core           -    added     conflict",
    ),
    "my link of a file that changed": (
        {"a.py": LINES}, {"a.py": EDITED}, lambda story: link(story, "a.py"),
        "a.py           changed  changed   conflict",
    ),
    "both added": (
        {"a.py": LINES}, {"a.py": LINES, "c.py": "c\n"},
        lambda story: story.write("c.py", "mine\n"),
        "c.py           added  added     conflict",
    ),
    "changed and removed": (
        {"a.py": LINES, "b.py": "b\n"}, {"b.py": "b\n"},
        lambda story: story.write("a.py", EDITED),
        "a.py           changed  removed   conflict",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CLASHES)
def test_a_conflict_is_one_row(story: Story, kind: str) -> None:
    """However many places git names, it is one file, under the name that it is known by."""
    old, new, mine, row = CLASHES[kind]
    story.release("0.1.0", old)
    story.release("0.2.0", new)
    story.start()
    mine(story)
    story.commit()
    shown = reports.status(updates.compare(story.project, story.history))
    assert [line for line in shown.splitlines() if line.endswith("conflict")] == [row]
    assert ", 1 in conflict; " in shown
    assert ": 1 of " in reports.updated(story.update(), dry_run=False, commit=True)


def test_the_patch_makes_of_the_working_tree_what_the_update_makes(
    story: Story, tmp_path: Path
) -> None:
    """`scaffold diff | git apply` gives the update's files: binary, modes and renames too."""
    apart(story)
    (story.project / "own.py").unlink()
    patch = updates.patch(story.project, history=story.history)
    subprocess.run(
        ["git", "apply"],
        cwd=story.project,
        input=patch.encode("utf-8", "surrogateescape"),
        check=True,
    )
    applied = story.everything()
    story.git("checkout", "--quiet", ".")
    story.git("clean", "--quiet", "-fd")
    story.write("loss.py", "mine, not committed\n")
    story.commit()
    story.update()
    updated = story.everything()
    marked = {".scaffold.yml", "train.py"}
    assert {p: f for p, f in applied.items() if p not in marked} == {
        p: f for p, f in updated.items() if p not in marked
    }
    assert b"line 5, mine\n=======\nline 5, theirs\n" in applied["train.py"][1]


def test_the_patch_of_a_project_in_a_larger_repository_is_relative_to_it(
    tmp_path: Path, story: Story
) -> None:
    """Its paths are those of the project, so that it can be applied where one stands."""
    story = Story(tmp_path / "larger", "top/project")
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    patch = updates.patch(story.project, history=story.history)
    assert "\n+++ b/train.py\n" in patch
    assert "project/" not in patch


@pytest.mark.parametrize("what", ["status", "diff", "stat"])
def test_nothing_is_written(story: Story, what: str) -> None:
    """Neither the working tree nor any file of git's changes, down to the time of the index."""
    apart(story)
    before = story.everything(), snapshot(story.top / ".git")
    if what == "status":
        updates.compare(story.project, story.history)
    else:
        assert updates.patch(story.project, stat=what == "stat", history=story.history)
    assert (story.everything(), snapshot(story.top / ".git")) == before


def apart(story: Story) -> None:
    """Let user and template go apart, with changes that are committed, staged, and neither."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.edit("train.py", "line 5\n", "line 5, mine\n")
    story.write("more.py", "mine\n")
    story.git("add", "more.py")
    story.git("rm", "--quiet", "data.py")
    story.commit()
    story.edit("model.py", "layer 3\n", "mine\n")
    story.git("add", "model.py")
    story.write("loss.py", "mine, not committed\n")
    story.write("own.py", "mine\n")


def snapshot(folder: Path) -> dict[str, tuple[float, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    # Of an object that is there already, git renews the time, so that it is kept for a while.
    return {
        str(path): (0.0 if "objects" in path.parts else path.stat().st_mtime, path.read_bytes())
        for path in files
    }


def test_status_shows_a_file_where_the_template_has_a_folder(story: Story) -> None:
    """The conflict has a row of its own, though neither side changed a file of its name."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", NEW)
    story.start()
    story.write("core", "a file\n")
    story.git("add", "core")
    story.commit()
    comparison = updates.compare(story.project, story.history)
    assert comparison.merged.conflicts
    assert "conflict" in reports.status(comparison)
