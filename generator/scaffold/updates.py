"""What became of a project's template since, and bringing it into the project."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scaffold import (
    answers,
    landing,
    merge,
    obstacles,
    plans,
    repository,
    scratch,
    trees,
    workshop,
)
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
    with _compared(project, history, told) as (_, comparison):
        return comparison


def patch(
    project: Path, *, stat: bool = False, history: Path | None = None, told: Given | None = None
) -> str:
    """Return what an update would change in the working tree, as a patch or in numbers."""
    with _compared(project, history, told) as (place, comparison):
        merged, prefix = comparison.merged, place.repository.prefix
        how = ["--stat=100"] if stat else ["--patch", "--binary", "--full-index"]
        how += [f"--relative={prefix}"] if prefix else []
        command = ("diff-tree", "-r", "--find-renames", "--no-ext-diff", "--no-textconv", *how)
        return place.run(*command, merged.tree_before, merge.tree(place, merged))


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
    answers.read(project)  # Where there is no project, that is said first.
    around = repository.around(project)
    with workshop.opened(around) as folder:
        repository.refuse_if_at_work(around)
        repository.refuse_if_locked(around)
        repository.refuse_if_changed(around)
        plan = plans.make(project, to, settings, history, told)
        if plan.old == plan.new:
            return None
        place = scratch.make(folder / "scratch", around, own_objects=dry_run)
        merge.take_last_commit(place)
        is_new = _add_record(place, project)
        merged = _merge(place, plan, is_new)
        _refuse_if_unsafe(around, merged)
        if is_new and (merged.conflicts or not commit):  # Taking it back would remove the record.
            add = f"git add --force {RECORD} && git commit"
            raise ScaffoldError(f"{RECORD} is in no commit; put it there before this update: {add}")
        if dry_run:
            return Updated(plan, merged, "")
        made = landing.land(
            place, merged, folder, plan.message, commit=commit, record_is_new=is_new
        )
        return Updated(plan, merged, made)


@contextmanager
def _compared(
    project: Path, history: Path | None, told: Given | None
) -> Iterator[tuple[Scratch, Comparison]]:
    answers.read(project)  # Where there is no project, that is said first.
    around = repository.around(project)
    workshop.refuse_if_unfinished(around)
    repository.refuse_if_at_work(around)
    plan = plans.make(project, None, (), history, told)
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
        place = scratch.make(Path(folder, "scratch"), around, own_objects=True)
        merge.take_working_tree(place)
        merged = _merge(place, plan, _add_record(place, project))
        yield place, Comparison(plan, merged, obstacles.in_the_way(around, merged))


def _merge(place: Scratch, plan: Plan, record_is_new: bool) -> Merged:
    old = plans.rendered(plan.old, plan.old_release)
    new = plans.rendered(plan.new, plan.new_release) if plan.new != plan.old else old
    merged = merge.merge(place, old, new, plan.message)
    removed = {change.path for change in merged.yours if change.kind == "removed"}
    if record_is_new and removed >= old.keys() - {RECORD}:
        raise ScaffoldError(
            f"no file of {str(plan.project)!r} is in the last commit; commit it first"
        )
    return merged


def _add_record(place: Scratch, project: Path) -> bool:
    """Put the record into the scratch tree, if the user's repository does not have it."""
    if RECORD in trees.of_project(place):
        return False
    merge.add_file(place, RECORD, File((project / RECORD).read_bytes()))
    return True


def _refuse_if_unsafe(around: Repository, merged: Merged) -> None:
    """Refuse what would write over files that are in no commit, or would end half-way."""
    reasons = (
        (
            obstacles.in_the_way(around, merged),
            "an update would write over files that no commit has: {}; "
            "commit them or move them away",
        ),
        (
            obstacles.hidden_edits(around, merged),
            "there are changes that git was told to overlook: {}; "
            "undo that with `git update-index --no-assume-unchanged` or `--no-skip-worktree`, "
            "and commit",
        ),
        (
            obstacles.unwritable(around, merged),
            "you may not write in {}, as an update would; let yourself",
        ),
    )
    for found, reason in reasons:
        if found:
            raise ScaffoldError(reason.format(repository.listed(found)))
