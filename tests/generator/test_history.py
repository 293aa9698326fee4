"""Our own history: what is in the checkout is released, and what is released stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scaffold import releases


def test_the_checkout_is_the_newest_release(repository: Path) -> None:
    """Templates and runtime are those of the newest release; else `scaffold release` is due."""
    assert releases.differences(repository) == []


def test_every_release_can_be_read(repository: Path) -> None:
    """Each zip is whole, and is the one that the release after it was built on."""
    history = repository / releases.HISTORY
    released = releases.versions(history)
    assert {path.name for path in history.glob("*.zip")} == {f"{v}.zip" for v in released}
    assert [releases.read(version, history).version for version in released] == released


def test_no_release_was_changed_after_it_was_written(repository: Path) -> None:
    """Git knows no commit, merges among them, that changes or deletes a zip of the history."""
    if git(repository, "rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("this clone is shallow: what was changed before is not in it")
    changes = ["--diff-filter=MDRT", "--format=%h %s", "--", f"{releases.HISTORY}/*.zip"]
    assert git(repository, "log", *changes) == ""
    assert git(repository, "log", "-m", "--first-parent", *changes) == ""
    uncommitted = [
        "diff",
        "HEAD",
        "--diff-filter=MD",
        "--name-only",
        "--",
        f"{releases.HISTORY}/*.zip",
    ]
    assert git(repository, *uncommitted) == ""


def test_every_release_is_in_the_changelog(repository: Path) -> None:
    """Each version says in the changelog what changed, and what an update does."""
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    entries = {entry.split()[0]: entry.strip() for entry in changelog.split("\n## ")[1:]}
    assert set(releases.versions(repository / releases.HISTORY)) <= entries.keys()
    for entry in entries.values():
        assert entry.splitlines()[-1].startswith("Update: ")


def git(repository: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()
