"""What `status` and `update` say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import PurePosixPath

from scaffold.merge import Merged
from scaffold.plans import Plan
from scaffold.trees import Change
from scaffold.updates import Comparison, Updated

_MANY = 5  # Files of one folder; more of them are one row.


@dataclass(frozen=True)
class Row:
    """What became of one file on either side, and what an update does with it."""

    file: str
    you: str
    template: str
    update: str


def status(comparison: Comparison) -> str:
    """Show as a table how a project and its template went apart."""
    plan, found = comparison.plan, rows(comparison)
    title = f"{plan.project.name}: template {plan.old.template}, release {plan.old.version}"
    lines = [
        f"{title}; the newest is {_newest(plan)}" if is_behind(plan) else f"{title}, the newest"
    ]
    if found:
        lines += ["", *_table(found)]
    if not is_behind(plan):
        return "\n".join([*lines, "", "Up to date."])
    counts = [f"changes {_changed(found)}"]
    if comparison.merged.conflicts:
        counts.append(f"{len(comparison.merged.conflicts)} in conflict")
    if comparison.obstacles:
        counts.append(f"{len(comparison.obstacles)} in the way: in no commit, so it is refused")
    update = f"`scaffold update` {', '.join(counts)}; `scaffold diff` shows them."
    return "\n".join([*lines, "", update])


def status_as_json(comparison: Comparison) -> str:
    """Write what `status` shows for programs."""
    plan = comparison.plan
    content = {
        "template": plan.old.template,
        "version": plan.old.version,
        "newest": plan.newest,
        "up_to_date": not is_behind(plan),
        "files": [asdict(row) for row in rows(comparison)],
        "conflicts": dict(comparison.merged.conflicts),
        "in_the_way": comparison.obstacles,
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def is_behind(plan: Plan) -> bool:
    """Say whether there is a newer release than the project's, or a newer runtime for it."""
    old, new = plan.old, plan.new
    return (old.version, old.commit, old.runtime) != (plan.newest, new.commit, new.runtime)


def updated(done: Updated | None, *, dry_run: bool, commit: bool) -> str:
    """Say what an update did, and what is left to do."""
    if done is None:
        return "Nothing to update: the project is of that release, with these answers."
    plan, merged = done.plan, done.merged
    found = _rows(merged, ())
    changed = _changed(found)
    if merged.conflicts:
        first = f"{plan.message}: {len(merged.conflicts)} of {changed} in conflict"
        told = [_would(first) if dry_run else first, *_conflicts(merged.conflicts)]
        return "\n".join(
            [*told, *_notes(plan, merged), *([] if dry_run else _ways_on(merged, commit))]
        )
    if dry_run:
        rows_ = [row for row in found if row.template]
        return "\n".join(
            [_would(f"{plan.message}: {changed}"), *_table(rows_), *_notes(plan, merged)]
        )
    how = f"commit {done.commit[:10]}" if commit else "staged, not committed"
    return "\n".join([f"{plan.message}: {changed}, {how}", *_notes(plan, merged)])


def _newest(plan: Plan) -> str:
    lent = plan.old.version == plan.newest and plan.old.runtime != plan.new.runtime
    return f"{plan.newest} with the runtime of Scaffold {plan.new.runtime}" if lent else plan.newest


def rows(comparison: Comparison) -> list[Row]:
    """List the files that either side changed."""
    return _rows(comparison.merged, comparison.obstacles)


def _rows(merged: Merged, obstacles: Iterable[str]) -> list[Row]:
    yours = {change.path: change for change in merged.yours if change.kind != "added"}
    theirs = {change.path: change for change in merged.theirs}
    in_the_way = set(obstacles)
    found, shown = [], set()
    for path in sorted(yours.keys() | theirs.keys()):
        you, template = yours.get(path), theirs.get(path)
        places = {path} | {change.to for change in (you, template) if change}
        shown |= places
        update = _outcome(you, template)
        if places & merged.conflicts.keys():
            update = "conflict"
        elif places & in_the_way:
            update = "in the way"
        found.append(Row(path, _said(you), _said(template), update))
    others = sorted(merged.conflicts.keys() - shown)
    return found + [Row(path, "", "", "conflict") for path in others]


def _outcome(you: Change | None, template: Change | None) -> str:
    if template is None:
        return "kept"
    if you is None:
        return template.kind
    return "stays removed" if you.kind == "removed" else "merged"


def _said(change: Change | None) -> str:
    if change is None:
        return ""
    return f"moved to {change.to}" if change.kind == "moved" else change.kind


def _table(rows: list[Row]) -> list[str]:
    cells = ((row.file, row.you or "-", row.template or "-", row.update) for row in _folded(rows))
    lines = [("file", "you", "template", "update"), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _folded(rows: list[Row]) -> Iterator[Row]:
    """Make one row of many files of a folder that only the template changed."""
    for folder, group in groupby(rows, lambda row: row.file.rpartition("/")[0].partition("/")[0]):
        inside = list(group)
        theirs = (row for row in inside if row.template and not row.you)
        plain = [row for row in theirs if row.update == row.template.split()[0]]
        if not folder or len(plain) <= _MANY:
            yield from inside
            continue
        yield from (row for row in inside if row not in plain)
        yield Row(f"{folder}/ ({_files(row.file for row in plain)})", "", "changed", "changed")


def _notes(plan: Plan, merged: Merged) -> list[str]:
    """Tell what a user would not see in the files."""
    told = [f"{change.path}: {_left_out(change, plan)}" for change in merged.left_out]
    told += [f"{name}: no longer asked, the answer is dropped" for name in plan.dropped]
    told += [
        f"{name}: a new question, answered {value!r}; another answer: "
        f"scaffold update --set {name}=..."
        for name, value in plan.defaulted.items()
    ]
    return [f"    {line}" for line in told]


def _left_out(change: Change, plan: Plan) -> str:
    if os.path.lexists(plan.project / change.path):
        return f"in no commit of yours, so it is as it was; the template {_did(change)}"
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


def _changed(rows: list[Row]) -> str:
    """Count the files that an update changes; one that moves is one."""
    return _files(row.file for row in rows if row.update not in ("kept", "stays removed"))


def _would(sentence: str) -> str:
    return f"Would be: {sentence}"


def _files(paths: Iterable[str]) -> str:
    number = sum(1 for path in paths if path)
    return "1 file" if number == 1 else f"{number} files"
