"""What became of a project's template since, and bringing it into the project."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scaffold import answers, landing, merge, obstacles, plans, repository, scratch, trees
from scaffold.answers import RECORD
from scaffold.errors import ScaffoldError
from scaffold.merge import Merged
from scaffold.plans import Plan
from scaffold.releases import File
from scaffold.repository import Repository
from scaffold.scratch import Scratch
from scaffold.sources import Given


@dataclass(frozen=True)
class Comparison:
    """What an update would do, and what it cannot do as the working tree is."""

    plan: Plan
    merged: Merged
    obstacles: list[str]  # Files that no commit has, where it would write.


@dataclass(frozen=True)
class Updated:
    """What an update did, or would do."""

    plan: Plan
    merged: Merged
    commit: str  # Empty if none was made.


def compare(project: Path, history: Path | None = None, told: Given | None = None) -> Comparison:
    """
    Find out what an update to the newest release would do to the working tree as it is.

    Nothing is written.

    Raises:
        ScaffoldError: The project cannot be updated.
    """
    with _compared(project, history, told) as comparison:
        return comparison


def patch(
    project: Path, *, stat: bool = False, history: Path | None = None, told: Given | None = None
) -> str:
    """Return what an update would change in the working tree, as a patch or in numbers."""
    with _compared(project, history, told) as comparison:
        merged = comparison.merged
        prefix = merged.scratch.repository.prefix
        how = ["--stat=100"] if stat else ["--patch", "--binary", "--full-index"]
        how += [f"--relative={prefix}"] if prefix else []
        command = ("diff-tree", "-r", "--find-renames", "--no-ext-diff", "--no-textconv", *how)
        return merged.scratch.run(*command, merged.given, merged.tree())


def update(
    project: Path,
    to: str | None = None,
    settings: Iterable[str] = (),
    *,
    dry_run: bool = False,
    commit: bool = True,
    history: Path | None = None,
    told: Given | None = None,
) -> Updated | None:
    """
    Merge another release, or other answers, into a project; return nothing if there is no change.

    Args:
        project: The project's folder.
        to: The version; by default the newest.
        settings: Answers to change, as `NAME=VALUE`.
        dry_run: Do everything but write.
        commit: Make a commit of it; else that is left to the user.
        history: Where our releases lie; by default those of this installation.
        told: Where a team's templates are now, and whether they may run programs.

    Raises:
        ScaffoldError: It cannot be updated; nothing was written.
    """
    around = _repository(project)
    with landing.workshop(around) as folder:
        repository.refuse_if_at_work(around)
        repository.refuse_if_changed(around)
        plan = plans.make(project, to, settings, history, told)
        if plan.old == plan.new:
            return None
        place = scratch.make(folder / "scratch", around, own_objects=dry_run)
        merge.take_last_commit(place)
        untracked = _add_record(place, project)
        merged = _merge(place, plan, untracked)
        _refuse_if_unsafe(merged, untracked, commit)
        if dry_run:
            return Updated(plan, merged, "")
        made = landing.land(around, merged, folder, plan.message, untracked, commit=commit)
        return Updated(plan, merged, made)


def _repository(project: Path) -> Repository:
    if not os.path.lexists(project / RECORD):
        answers.read(project)  # Says so.
    return repository.around(project)


@contextmanager
def _compared(project: Path, history: Path | None, told: Given | None) -> Iterator[Comparison]:
    around = _repository(project)
    landing.refuse_if_unfinished(around)
    repository.refuse_if_at_work(around)
    plan = plans.make(project, None, (), history, told)
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
        place = scratch.make(Path(folder, "scratch"), around, own_objects=True)
        merge.take_working_tree(place)
        merged = _merge(place, plan, _add_record(place, project))
        yield Comparison(plan, merged, obstacles.in_the_way(merged))


def _merge(place: Scratch, plan: Plan, untracked: list[str]) -> Merged:
    old = plans.rendered(plan.old, plan.old_release)
    new = plans.rendered(plan.new, plan.new_release) if plan.new != plan.old else old
    merged = merge.merge(place, old, new, plan.message)
    removed = {change.path for change in merged.yours if change.kind == "removed"}
    if untracked and removed >= old.keys() - {RECORD}:
        raise ScaffoldError(
            f"no file of {str(plan.project)!r} is in the last commit; commit it first"
        )
    return merged


def _add_record(place: Scratch, project: Path) -> list[str]:
    """Put the record into the scratch tree, if the user's repository does not have it."""
    if RECORD in trees.of_project(place):
        return []
    merge.add_file(place, RECORD, File((project / RECORD).read_bytes()))
    return [RECORD]


def _refuse_if_unsafe(merged: Merged, untracked: list[str], commit: bool) -> None:
    """Refuse what would write over files that are in no commit, or could lose the record."""
    there = obstacles.in_the_way(merged)
    if there:
        named = repository.listed(there)
        raise ScaffoldError(
            f"an update would write over files that no commit has: {named}; "
            "commit them or move them away"
        )
    if edited := obstacles.hidden_edits(merged):
        named = repository.listed(edited)
        raise ScaffoldError(
            f"there are changes that git was told to overlook: {named}; "
            "undo that with `git update-index --no-assume-unchanged`, and commit"
        )
    if untracked and (merged.conflicts or not commit):
        # Taking such an update back would remove it.
        add = f"git add --force {RECORD} && git commit"
        raise ScaffoldError(f"{RECORD} is in no commit; put it there before this update: {add}")
