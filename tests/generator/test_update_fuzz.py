"""Random edits against random changes of a template: what git makes of them, and nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from generator.update_fuzz import Place

from scaffold import git

CASES, PART = 300, 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, CASES, PART))
def test_random_updates_are_what_git_merge_makes_of_them(tmp_path: Path, first: int) -> None:
    """Files, modes, index and conflicts are those of `git merge`; no line of the user's is lost."""
    place = Place(tmp_path)
    conflicts = [place.check(number) for number in range(first, first + PART)]
    assert 0 < sum(conflicts) < PART


# Files where folders are, renames against removals, and files moved after their folders.
HARD = [1, 4, 19, 28, 59, 81]


def test_random_updates_with_the_merge_of_an_older_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 2.34 git merges by another strategy, `recursive`: the same promises hold."""
    monkeypatch.setattr(git, "version", lambda: (2, 30))
    place = Place(tmp_path, "--strategy=recursive")
    conflicts = [place.check(number) for number in HARD]
    assert any(conflicts)


@pytest.mark.parametrize("number", [2811, 4785], ids=["an error", "a crash that leaves a lock"])
def test_where_the_merge_of_git_fails_it_is_made_without_moving_files_after_folders(
    tmp_path: Path, number: int
) -> None:
    """A file that should follow its folder to where a folder is stays: an ordinary conflict."""
    assert Place(tmp_path).check(number)
