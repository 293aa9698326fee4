"""What an update says about each file that git could not decide on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from updating import LINES, Story

from scaffold.releases import File

OLD: dict[str, Any] = {
    "train.py": LINES,
    "model.py": "layers = 2\n",
    "lib/a.py": LINES + "a\n",
    "lib/b.py": LINES + "b\n",
}


def test_both_changed_the_same_lines(story: Story) -> None:
    """A file that the template moved as well is named where it is now."""
    new = moved("train.py", "loop.py") | {"loop.py": LINES.replace("line 5\n", "theirs\n")}
    found = conflicts(story, new, lambda: story.edit("train.py", "line 5\n", "mine\n"))
    assert found == {"loop.py": "both changed"}


def test_the_template_removed_what_you_changed_or_moved(story: Story) -> None:
    """An edit and a move are told apart."""

    def edit() -> None:
        story.edit("train.py", "line 5\n", "mine\n")
        story.git("mv", "lib/a.py", "lib/net.py")
        story.edit("lib/net.py", "line 5\n", "mine\n")

    found = conflicts(story, {"model.py": OLD["model.py"], "lib/b.py": OLD["lib/b.py"]}, edit)
    assert found == {
        "train.py": "you changed it, the template removed it",
        "lib/net.py": "you moved lib/a.py here, the template removed it",
    }


def test_both_moved_a_file(story: Story) -> None:
    """All three names say who moved what where."""
    new = moved("train.py", "core/loop.py")
    assert conflicts(story, new, lambda: story.git("mv", "train.py", "main.py")) == {
        "train.py": "you moved it to main.py, the template to core/loop.py",
        "main.py": "you moved train.py here, the template moved it to core/loop.py",
        "core/loop.py": "the template moved train.py here, you moved it to main.py",
    }


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({"lib/a.py": None, "x.py": OLD["lib/a.py"]}, "the template moved lib/a.py here"),
        ({"x.py": "theirs\n"}, "the template added it"),
    ],
)
def test_two_files_come_to_one_place(story: Story, theirs: dict[str, Any], said: str) -> None:
    """A move of yours meets a move or a new file of the template's."""
    new = {path: file for path, file in {**OLD, **theirs}.items() if file is not None}
    found = conflicts(story, new, lambda: story.git("mv", "lib/b.py", "x.py"))
    assert found == {"x.py": f"you moved lib/b.py here, {said}"}


def test_a_file_in_a_folder_that_the_other_side_moved(story: Story) -> None:
    """The file's own name is said, and why git suggests another."""
    new = moved("lib/a.py", "core/a.py", "lib/b.py", "core/b.py")
    found = conflicts(story, new, lambda: story.write("lib/mine.py", "mine\n"))
    said = "lib/mine.py of yours; the template moved its folder, so git suggests this place"
    assert found == {"core/mine.py": said}


def test_a_new_file_of_the_template_in_a_folder_that_you_moved(story: Story) -> None:
    """The template's name for it is said."""
    new = OLD | {"lib/new.py": "theirs\n"}
    found = conflicts(story, new, lambda: story.git("mv", "lib", "src"))
    said = "lib/new.py of the template's; you moved its folder, so git suggests this place"
    assert found == {"src/new.py": said}


def test_a_file_where_the_other_side_has_a_folder(story: Story) -> None:
    """The file lies beside its place, and its own name is said."""
    new = OLD | {"core/model.py": "theirs\n", "mine": "theirs\n"}

    def clash() -> None:
        story.write("core", "mine\n")
        story.write("mine/notes.txt", "mine\n")

    assert conflicts(story, new, clash) == {
        "core~": "core of yours, where the template has a folder",
        "mine~": "mine of the template's, where you have a folder",
    }


def test_a_link_that_you_made_of_a_file(story: Story) -> None:
    """Both the link and the template's file are named."""

    def link() -> None:
        (story.project / "model.py").unlink()
        (story.project / "model.py").symlink_to("train.py")

    found = conflicts(story, OLD | {"model.py": File(b"layers = 2\n", True)}, link)
    said = "you made something else of it, the template changed it"
    assert found == {"model.py": said, "model.py~": said}


def moved(*paths: str) -> dict[str, Any]:
    """Return the old files, some of them elsewhere."""
    to = dict(zip(paths[::2], paths[1::2], strict=True))
    return {to.get(path, path): file for path, file in OLD.items()}


def conflicts(story: Story, new: dict[str, Any], edit: Callable[[], Any]) -> dict[str, str]:
    """Update an edited project; return why files are in conflict, the names of sides left out."""
    story.release("0.1.0", OLD)
    story.release("0.2.0", new)
    story.start()
    edit()
    story.commit()
    done = story.update(dry_run=True)
    assert done is not None
    return {re.sub("~.*", "~", path): said for path, said in done.merged.conflicts.items()}
