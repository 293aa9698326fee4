"""Trees of git's, written and compared in a scratch tree, without touching its index."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scaffold.releases import File
from scaffold.scratch import Scratch

Files = Mapping[str, File]  # By path in the project.
_KINDS = {"A": "added", "D": "removed", "M": "changed", "T": "changed", "R": "moved"}
_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True)
class Entry:
    """A file as git lists it."""

    mode: str
    object: str
    stage: str = "0"  # In a conflict 1, 2, 3: the old render's, the project's, the new render's.

    def line(self, path: str) -> str:
        """Return what `git update-index --index-info` reads."""
        return f"{self.mode} {self.object} {self.stage}\t{path}\0"


@dataclass(frozen=True)
class Change:
    """How one file differs between two trees."""

    path: str  # Where it was; if it was added, where it is.
    kind: str  # added, removed, changed or moved
    to: str  # Where it is.


def listed(scratch: Scratch, index: str = "index") -> dict[str, tuple[Entry, ...]]:
    """List what an index holds, by path in the repository."""
    found: dict[str, tuple[Entry, ...]] = {}
    for line in scratch.run("ls-files", "--stage", "-z", index=index).split("\0")[:-1]:
        entry, _, path = line.partition("\t")
        found[path] = (*found.get(path, ()), Entry(*entry.split()))
    return found


def of_project(scratch: Scratch) -> dict[str, tuple[Entry, ...]]:
    """List what a scratch tree's index holds of the project, by path in the project."""
    prefix = scratch.repository.prefix
    return {p[len(prefix) :]: e for p, e in listed(scratch).items() if p.startswith(prefix)}


def store(
    scratch: Scratch, files: Files, name: str, attributes: Iterable[str] = ()
) -> dict[str, Entry]:
    """
    Store files in the repository as `git add` would, and list them.

    Attributes of the user's decide on line ends and filters: the files that hold
    them lie beside, as they are in the project.

    Args:
        scratch: Where to.
        files: What to store.
        name: Of the folder in the scratch tree that they are written into.
        attributes: The files in the scratch tree's index that hold attributes.
    """
    folder = scratch.folder / name
    folder.mkdir()
    for path, file in files.items():
        written = folder / scratch.repository.prefix / path
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_bytes(file.content)
    plain = [path for path in files if PurePosixPath(path).name == _ATTRIBUTES]
    objects = _objects(scratch, folder, plain, "--no-filters")
    check_out(scratch, attributes, folder)
    encoded = _encoded(scratch, folder, [path for path in files if path not in plain])
    objects |= _objects(scratch, folder, encoded, "--no-filters")
    objects |= _objects(scratch, folder, [path for path in files if path not in objects])
    modes = {path: "100755" if file.executable else "100644" for path, file in files.items()}
    return {path: Entry(modes[path], object) for path, object in objects.items()}


def attributes(scratch: Scratch) -> list[str]:
    """Name the files in a scratch tree's index that hold attributes, by path in the repository."""
    return [path for path in listed(scratch) if PurePosixPath(path).name == _ATTRIBUTES]


def check_out(scratch: Scratch, paths: Iterable[str], folder: Path) -> None:
    """Write files of a scratch tree's index into a folder."""
    if given := "".join(f"{path}\0" for path in paths):
        scratch.run("checkout-index", "--force", "-z", "--stdin", tree=folder, given=given)


def write(scratch: Scratch, before: Iterable[str], files: Mapping[str, Entry]) -> str:
    """Write the tree of a scratch tree's index, with other files for those that are in it."""
    prefix = scratch.repository.prefix
    shutil.copy(scratch.folder / "index", scratch.folder / "side")
    lines = [no_entry(scratch, path) for path in before if path not in files]
    lines += [entry.line(prefix + path) for path, entry in files.items()]
    scratch.run("update-index", "-z", "--index-info", index="side", given="".join(lines))
    return scratch.run("write-tree", index="side").strip()


def no_entry(scratch: Scratch, path: str) -> str:
    """Return what tells `git update-index --index-info` to drop a file of the project."""
    head, prefix = scratch.repository.head, scratch.repository.prefix
    return Entry("0", "0" * len(head)).line(prefix + path)


def changes(scratch: Scratch, old: str, new: str) -> tuple[Change, ...]:
    """Compare the project in two trees; a file that lies elsewhere is moved."""
    prefix = scratch.repository.prefix
    options = ["-r", "-z", "--name-status", "--find-renames", "-l7000"]
    options += [f"--relative={prefix}"] if prefix else []
    parts = iter(scratch.run("diff-tree", *options, old, new).split("\0")[:-1])
    found = []
    for status in parts:
        path = next(parts)
        found.append(Change(path, _KINDS[status[0]], next(parts) if status[0] == "R" else path))
    return tuple(found)


def without(files: Mapping[str, Entry], paths: Iterable[str]) -> dict[str, Entry]:
    """Return files without some of them."""
    left_out = set(paths)
    return {path: entry for path, entry in files.items() if path not in left_out}


def _objects(scratch: Scratch, folder: Path, paths: list[str], *options: str) -> dict[str, str]:
    if not paths:
        return {}
    given = "".join(f"{_quoted(scratch.repository.prefix + path)}\n" for path in paths)
    command = ("hash-object", "-w", "--stdin-paths", *options)
    return dict(zip(paths, scratch.run(*command, tree=folder, given=given).split(), strict=True))


def _encoded(scratch: Scratch, folder: Path, paths: list[str]) -> list[str]:
    """Name the files that are to lie in another encoding; git stores UTF-8, which ours are."""
    given = "".join(f"{scratch.repository.prefix}{path}\0" for path in paths)
    asked = ("check-attr", "-z", "--stdin", "working-tree-encoding")
    values = scratch.run(*asked, tree=folder, given=given).split("\0")[2::3]
    return [
        path
        for path, value in zip(paths, values, strict=True)
        if value not in ("unspecified", "unset", "set")
    ]


def _quoted(path: str) -> str:
    """Quote a path that git would take for a quoted one."""
    if not path.startswith('"'):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
