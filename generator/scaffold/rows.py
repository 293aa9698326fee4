"""The table of what either side changed, and what an update makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path, PurePosixPath

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


def of(merged: Merged, project: Path, obstacles: Iterable[str] = ()) -> list[Row]:
    """
    List the files that either side changed, and those in conflict.

    Args:
        merged: What became of them.
        project: Where they lie.
        obstacles: What is in the way of files that an update would write.
    """
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
    for path in merged.conflicts.keys() - shown:
        file = _known_as(merged, path)
        found[file] = replace(found.get(file, Row(file, "added", "", "")), update=CONFLICT)
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


def _known_as(merged: Merged, path: str) -> str:
    """Return what user or template call a file that is in conflict at a place of git's choice."""
    known = {*merged.before, *(change.to for change in merged.theirs)}
    aside = (path[:at] for at, letter in enumerate(path) if letter == "~")
    if path not in known and (place := next((name for name in aside if name in known), "")):
        return place  # NAME of `NAME~SIDE`: a folder, or the other's file, has the name.
    entries = merged.after.get(path, ())
    same = {
        file for file, old in merged.before.items() if old.object in {e.object for e in entries}
    }
    moved = same if [entry.stage for entry in entries] == ["2"] else known - merged.before.keys()
    # It belongs to a folder that the other side moved.
    candidates = (file for file in sorted(moved) if file not in merged.after)
    name = PurePosixPath(path).name
    return next((file for file in candidates if PurePosixPath(file).name == name), path)


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
