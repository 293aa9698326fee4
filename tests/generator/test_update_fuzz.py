"""Random edits against random changes of a template: what git makes of them, and nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from generator.update_fuzz import Place

CASES, PART = 300, 50


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, CASES, PART))
def test_random_updates_are_what_git_merge_makes_of_them(tmp_path: Path, first: int) -> None:
    """Files, modes, index and conflicts are those of `git merge`; no line of the user's is lost."""
    place = Place(tmp_path)
    conflicts = [place.check(number) for number in range(first, first + PART)]
    assert 0 < sum(conflicts) < PART
