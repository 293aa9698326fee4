"""What `status` and `update` say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from scaffold import plans, rows
from scaffold.errors import ScaffoldError
from scaffold.merge import Merged
from scaffold.plans import Plan
from scaffold.rows import Row
from scaffold.sources import Given
from scaffold.trees import Change
from scaffold.updates import Comparison, Updated


def status(comparison: Comparison) -> str:
    """Show as a table how a project and its template went apart."""
    plan, found = comparison.plan, _rows(comparison)
    lines = [_title(plan)]
    if found:
        lines += ["", *rows.table(found)]
    if own := _own_files(comparison.merged, found):
        lines += ["", f"{rows.files(own)} of your own, which the template does not have."]
    if not is_behind(plan):
        return "\n".join([*lines, "", "Up to date."])
    counts = [f"changes {rows.changed(found)}"]
    if conflicts := sum(row.update == rows.CONFLICT for row in found):
        counts.append(f"{conflicts} in conflict")
    if comparison.obstacles:
        counts.append(f"{len(comparison.obstacles)} in the way: in no commit, so it is refused")
    update = f"`scaffold update` {', '.join(counts)}; `scaffold diff` shows them."
    return "\n".join([*lines, "", update])


def status_as_json(comparison: Comparison) -> str:
    """Write what `status` shows for programs."""
    merged, found = comparison.merged, _rows(comparison)
    return _json(
        {
            **_facts(comparison.plan),
            "files": [asdict(row) for row in found],
            "own_files": _own_files(merged, found),
            "conflicts": dict(merged.conflicts),
            "in_the_way": comparison.obstacles,
        }
    )


def known(project: Path, told: Given, problem: str, *, as_json: bool) -> str:
    """Write what is known of a project that cannot be compared, or nothing: releases, no files."""
    try:
        plan = plans.make(project, None, (), None, told)
    except ScaffoldError:
        return ""
    said = _json({**_facts(plan), "problem": problem}) if as_json else _title(plan)
    return f"{said}\n"


def is_behind(plan: Plan) -> bool:
    """Say whether there is a newer release than the project's, or a newer runtime for it."""
    old, new = plan.old, plan.new
    return (old.version, old.commit, old.runtime) != (plan.newest, new.commit, new.runtime)


def updated(done: Updated | None, *, dry_run: bool, commit: bool) -> str:
    """Say what an update did, and what is left to do."""
    if done is None:
        return "Nothing to update: the project is of that release, with these answers."
    plan, merged = done.plan, done.merged
    found = rows.of(merged, plan.project)
    said = f"{plan.message}: {rows.changed(found)}"
    if merged.conflicts:
        number = sum(row.update == rows.CONFLICT for row in found)
        first = f"{plan.message}: {number} of {rows.changed(found)} in conflict"
        told = [_would(first) if dry_run else first, *_conflicts(merged.conflicts)]
        on = [] if dry_run else _ways_on(merged, commit)
        return "\n".join([*told, *_notes(plan, merged), *on])
    if dry_run:
        shown = rows.table(row for row in found if row.template)
        return "\n".join([_would(said), *shown, *_notes(plan, merged)])
    if commit:
        return "\n".join([f"{said}, commit {done.commit[:10]}", *_notes(plan, merged)])
    staged = f"{said}, staged, not committed"
    on = ["`git commit` makes the commit; to go back to where you were: git reset --merge"]
    return "\n".join([staged, *_notes(plan, merged), *on])


def _title(plan: Plan) -> str:
    title = f"{plan.project.name}: template {plan.old.template}, release {plan.old.version}"
    return f"{title}; the newest is {_newest(plan)}" if is_behind(plan) else f"{title}, the newest"


def _newest(plan: Plan) -> str:
    lent = plan.old.version == plan.newest and plan.old.runtime != plan.new.runtime
    return f"{plan.newest} with the runtime of Scaffold {plan.new.runtime}" if lent else plan.newest


def _rows(comparison: Comparison) -> list[Row]:
    return rows.of(comparison.merged, comparison.plan.project, comparison.obstacles)


def _own_files(merged: Merged, found: Iterable[Row]) -> list[str]:
    shown = {row.file for row in found}
    added = {change.path for change in merged.yours if change.kind == "added"}
    return sorted(added - shown - merged.conflicts.keys())


def _facts(plan: Plan) -> dict[str, Any]:
    return {
        "template": plan.old.template,
        "version": plan.old.version,
        "newest": plan.newest,
        "up_to_date": not is_behind(plan),
    }


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)


def _notes(plan: Plan, merged: Merged) -> list[str]:
    """Tell what a user would not see in the files."""
    told = [f"{change.path}: {_left_out(change, plan)}" for change in merged.left_out]
    told += [f"{name}: no longer asked, the answer is dropped" for name in plan.dropped]
    told += [
        f"{name}: a new question, answered {value!r}; another answer: "
        f"scaffold update --set {name}=..."
        for name, value in plan.defaulted.items()
    ]
    if plan.old.version == plan.new.version != plan.newest:
        told.append(f"There is a newer release, {plan.newest}: scaffold update")
    return [f"    {line}" for line in told]


def _left_out(change: Change, plan: Plan) -> str:
    what = rows.gone(plan.project, change.path)
    if what == rows.UNTRACKED:
        return f"in no commit of yours, so it is as it was; the template {_did(change)}"
    if what == rows.FOLDER:
        return f"you made a folder of it, which stays; the template {_did(change)}"
    return f"you removed it, the template {_did(change)}; it stays removed"


def _did(change: Change) -> str:
    return f"moved it to {change.to}" if change.kind == "moved" else f"{change.kind} it"


def _conflicts(conflicts: Mapping[str, str]) -> list[str]:
    return [f"    {path}: {reason}" for path, reason in conflicts.items()]


def way_back(merged: Merged, commit: bool = True) -> str:
    """Name the command of git's that takes back an update with conflicts."""
    inside = {str(above) for path in merged.conflicts for above in PurePosixPath(path).parents}
    if inside & set(merged.removed):
        # A file became a folder that holds a conflict: git's milder ways refuse that.
        return "git reset --hard"
    return "git cherry-pick --abort" if commit else "git reset --merge"


def _ways_on(merged: Merged, commit: bool) -> list[str]:
    on = "git cherry-pick --continue" if commit else "git commit"
    return [
        "Two ways on:",
        f"    settle these files, `git add` or `git rm` them, then {on}",
        f"    or go back to where you were: {way_back(merged, commit)}",
    ]


def _would(sentence: str) -> str:
    return f"Would be: {sentence}"
