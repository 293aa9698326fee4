"""Why git could not decide on a file: told by what either side did to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scaffold.trees import Change, Entry

Entries = tuple[Entry, ...]


@dataclass(frozen=True)
class _Side:
    """What one side, you or the template, has and what it did."""

    name: str
    files: Mapping[str, Entry]
    by_place: Mapping[str, Change]  # By where a file is now.
    by_origin: Mapping[str, Change]  # By where it was.

    def own(self, path: str, entry: Entry, conflicts: Iterable[str]) -> str:
        """Return what this side calls a file that git put at a path."""
        place = _place(path, self.files)
        if place in self.files:
            return place
        same = [
            p for p, e in self.files.items() if (e.mode, e.object) == (entry.mode, entry.object)
        ]
        return next((p for p in same if p not in conflicts), path)

    def moved(self, path: str) -> str:
        """Return where this side moved a file of the old render, or nothing."""
        change = self.by_origin.get(path)
        return change.to if change and change.kind == "moved" else ""

    def origin(self, path: str) -> str:
        """Return from where this side moved a file to its path, or nothing."""
        change = self.by_place.get(path)
        return change.path if change and change.kind == "moved" else ""


def reasons(
    unmerged: Mapping[str, Entries],
    yours: tuple[Mapping[str, Entry], Iterable[Change]],
    theirs: tuple[Mapping[str, Entry], Iterable[Change]],
) -> dict[str, str]:
    """
    Say for every file in conflict what stands against what.

    Args:
        unmerged: What git has of it: 1 old render, 2 project, 3 new render.
        yours: The project's files, and how they differ from the old render's.
        theirs: The same of the new render.
    """
    you, template = _side("you", *yours), _side("the template", *theirs)
    return {path: _reason(path, unmerged, you, template) for path in sorted(unmerged)}


def _side(name: str, files: Mapping[str, Entry], changes: Iterable[Change]) -> _Side:
    by_place = {change.to: change for change in changes if change.kind != "removed"}
    return _Side(name, files, by_place, {change.path: change for change in changes})


def _reason(path: str, unmerged: Mapping[str, Entries], you: _Side, template: _Side) -> str:
    found = {entry.stage: entry for entry in unmerged[path]}
    stages = "".join(found)
    place = _place(path, {**you.files, **template.files, **you.by_origin})
    aside = f", and {place} is a folder" if place != path else ""
    if stages == "123":
        return "both changed"
    if stages == "23":
        return _both_here(path, you, template)
    if stages == "12":
        origin = you.origin(place)
        did = f"you moved {origin} here" if origin else "you changed it"
        return f"{did}, the template removed it{aside}"
    if stages == "13":
        to = you.moved(place)
        did = f"you moved it to {to}" if to else "you made something else of it"
        origin = template.origin(place)
        return f"{did}, the template {f'moved {origin} here' if origin else 'changed it'}"
    if stages == "1":
        return f"you moved it to {you.moved(path)}, the template to {template.moved(path)}"
    if any(other.startswith(f"{path}~") for other in unmerged):
        return "you made something else of it, the template changed it"
    side, other = (you, template) if stages == "2" else (template, you)
    return _one_here(path, side.own(path, found[stages], unmerged), side, other)


def _both_here(path: str, you: _Side, template: _Side) -> str:
    did = [f"moved {origin} here" if (origin := s.origin(path)) else "" for s in (you, template)]
    if not any(did):
        return "both added"
    return f"you {did[0] or 'have it'}, the template {did[1] or 'added it'}"


def _one_here(path: str, own: str, side: _Side, other: _Side) -> str:
    """Say why a file that only one side has here is in conflict."""
    origin = side.origin(own)
    if origin and (to := other.moved(origin)) and own == path:
        return f"{side.name} moved {origin} here, {other.name} moved it to {to}"
    whose = "yours" if side.name == "you" else "the template's"
    if own != path and path.startswith(f"{own}~"):
        return f"{own} of {whose}, where {other.name} {_have(other)} a folder"
    if own != path:
        return f"{own} of {whose}; {other.name} moved its folder, so git suggests this place"
    return f"{whose}; {other.name} moved or replaced what it belongs to"


def _have(side: _Side) -> str:
    return "have" if side.name == "you" else "has"


def _place(path: str, known: Iterable[str]) -> str:
    """Return the path that git would have taken, were there no folder: `NAME` of `NAME~SIDE`."""
    places = [place for place in known if path.startswith(f"{place}~")]
    return path if path in known else max(places, key=len, default=path)
