"""Conflicts in words: what happened to which file, where git names only places of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from scaffold.merge import Merged

_UNKNOWN = "git could not decide where it belongs"


@dataclass(frozen=True)
class Clash:
    """One place of a conflict."""

    file: str  # The path that user or template know it by.
    reason: str


def of(merged: Merged) -> dict[str, Clash]:
    """Say of each path in conflict which file it is, and what happened to it."""
    return {path: _clash(merged, path, said) for path, said in merged.conflicts.items()}


def _clash(merged: Merged, path: str, said: str) -> Clash:
    stages = "".join(entry.stage for entry in merged.after.get(path, ()))
    beside = _beside(merged, path)
    if beside or (stages == "2" and any(p.startswith(f"{path}~") for p in merged.conflicts)):
        return Clash(beside or path, _beside_reason(merged, beside or path, mine=stages == "2"))
    return _moved(merged, path, stages) or Clash(path, _UNKNOWN if len(stages) == 1 else said)


def _beside(merged: Merged, path: str) -> str:
    """Return the file that git put beside its place, with a tilde behind its name, or nothing."""
    known = {*merged.before, *(change.to for change in merged.theirs)}
    names = (path[:at] for at, letter in enumerate(path) if letter == "~")
    return next((name for name in names if name in known and path not in known), "")


def _beside_reason(merged: Merged, file: str, *, mine: bool) -> str:
    whose, other = ("yours", "the template has") if mine else ("the template's", "you have")
    is_folder = any(path.startswith(f"{file}/") for path in merged.after)
    return f"{whose}; {other} {'a folder' if is_folder else 'another kind of file'} there"


def _moved(merged: Merged, path: str, stages: str) -> Clash | None:
    """Explain a place that only one side knows, or neither."""
    yours = {change.to: change.path for change in merged.yours if change.kind == "moved"}
    theirs = {change.to: change.path for change in merged.theirs if change.kind == "moved"}
    if stages == "1":
        return Clash(path, "both moved it")
    if stages == "2" and path in yours:
        return Clash(yours[path], f"you moved {yours[path]} here")
    if stages == "3" and path in theirs:
        return Clash(theirs[path], f"the template moved {theirs[path]} here")
    if stages == "2" and (file := _same_name(path, _gone_from_yours(merged, path))):
        return Clash(
            file, f"git suggests this place for your {file}: the template moved its folder"
        )
    new = (c.path for c in merged.theirs if c.kind == "added" and c.path not in merged.after)
    if stages == "3" and (file := _same_name(path, new)):
        return Clash(file, f"git suggests this place for the new {file}: you moved its folder")
    return None


def _gone_from_yours(merged: Merged, path: str) -> Iterator[str]:
    """Name the files of the user's with this content that the merge has at no place any more."""
    wanted = merged.after[path][0].object
    for file, entry in merged.before.items():
        if entry.object == wanted and file not in merged.after:
            yield file


def _same_name(path: str, files: Iterator[str]) -> str:
    name = PurePosixPath(path).name
    return next((file for file in files if PurePosixPath(file).name == name), "")
