"""The table of what either side changed, and what an update makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from scaffold import clashes
from scaffold.merge import Merged
from scaffold.trees import Change

CONFLICT, KEPT, STAYS = "conflict", "kept", "stays removed"
REMOVED, UNTRACKED, FOLDER = "removed", "untracked", "now a folder"
_MANY = 5  # Files of one folder; more of them are one row.


@dataclass(frozen=True)
class Row:
    """What became of one file on either side, and what an update does with it."""

    file: str
    you: str
    template: str
    update: str


def of(project: Path, merged: Merged, obstacles: Iterable[str] = ()) -> list[Row]:
    """List the files that either side changed, and those in conflict."""
    theirs = {change.path: change for change in merged.theirs}
    own = {change.path for change in merged.yours if change.kind == "added"} - theirs.keys()
    yours = {change.path: change for change in merged.yours if change.path not in own}
    in_the_way = set(obstacles)
    found: dict[str, Row] = {}
    shown = set()
    for path in sorted(yours.keys() | theirs.keys()):
        you, template = yours.get(path), theirs.get(path)
        places = {path} | {change.to for change in (you, template) if change}
        shown |= places
        mine = gone(project, path) if you and you.kind == REMOVED else _said(you)
        update = _outcome(mine, template)
        if places & merged.conflicts.keys():
            update = CONFLICT
        elif places & in_the_way:
            update = "in the way"
        found[path] = Row(path, mine, _said(template), update)
    for path, clash in clashes.of(merged).items():
        if path not in shown:
            row = found.get(clash.file, Row(clash.file, "added", "", ""))
            found[clash.file] = replace(row, update=CONFLICT)
    return [found[path] for path in sorted(found)]


def gone(project: Path, path: str) -> str:
    """Say what became of a file that the project does not track any more."""
    target = project / path
    if target.is_dir() and not target.is_symlink():
        return FOLDER
    return UNTRACKED if os.path.lexists(target) else REMOVED


def changed(rows: Iterable[Row]) -> str:
    """Count the files that an update changes; one that moves is one."""
    return files(row for row in rows if row.update not in (KEPT, STAYS))


def files(found: Iterable[object]) -> str:
    """Write how many files there are."""
    number = sum(1 for _ in found)
    return "1 file" if number == 1 else f"{number} files"


def table(rows: Iterable[Row]) -> list[str]:
    """Write rows as lines of text, those of a large folder as one."""
    cells = ((row.file, row.you or "-", row.template or "-", row.update) for row in _folded(rows))
    lines = [("file", "you", "template", "update"), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _outcome(you: str, template: Change | None) -> str:
    if you == REMOVED:
        return STAYS
    if template is None or you in (UNTRACKED, FOLDER):
        return KEPT
    return "merged" if you else template.kind


def _said(change: Change | None) -> str:
    if change is None:
        return ""
    return f"moved to {change.to}" if change.kind == "moved" else change.kind


def _folded(rows: Iterable[Row]) -> Iterator[Row]:
    """Make one row of many files of a folder that only the template changed."""
    for folder, group in groupby(rows, lambda row: row.file.rpartition("/")[0].partition("/")[0]):
        inside = list(group)
        theirs = (row for row in inside if row.template and not row.you)
        plain = [row for row in theirs if row.update == row.template.split()[0]]
        if not folder or len(plain) <= _MANY:
            yield from inside
            continue
        yield from (row for row in inside if row not in plain)
        kinds = ", ".join(sorted({row.update for row in plain}))
        yield Row(f"{folder}/ ({files(plain)})", "", kinds, kinds)
