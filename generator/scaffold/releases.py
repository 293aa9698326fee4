"""
Read and write the releases of templates and runtime: `templates/history/VERSION.zip`.

A release's zip holds `manifest.json`, the list of all its files (path, mode,
sha256), and of their contents only those that no earlier zip holds, so that
fifty releases stay small. The manifest also names the release before it and the
sha256 of that one's zip: a release is written once, and a change to any older
zip shows when a newer one is read.

The paths are the repository's: `templates/...` and `runtime/scaffold_runtime/...`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaffold import archive, git
from scaffold.errors import ScaffoldError, did_you_mean, short

HISTORY = "templates/history"
_RELEASED = ("templates", "runtime/scaffold_runtime")
_NUMBER = r"(0|[1-9]\d{0,8})"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}", re.ASCII)


@dataclass(frozen=True)
class File:
    """The content of one file, and whether it may be executed."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Release:
    """All files of one release, by path in our repository, and where it is from."""

    version: str
    files: Mapping[str, File]
    source: str = ""  # The folder or repository of a team's own templates.
    commit: str = ""  # Of that repository, where commits are its history.
    runtime: str = ""  # The release of ours that lends it the runtime.
    trusted: bool = False  # May run the programs that its copier.yml names.


def release(version: str, repository: Path) -> Path:
    """
    Write the templates and the runtime of a checkout as its newest release.

    Raises:
        ScaffoldError: The version is malformed or not above the newest, the
            changelog does not have it, or nothing changed.
    """
    history = repository / HISTORY
    if not is_version(version):
        raise ScaffoldError(f"{short(version)} is not a version; write three numbers, as in 1.2.0")
    released = versions(history)
    if released and archive.order(version) <= archive.order(released[-1]):
        raise ScaffoldError(f"{version} is not above the newest release, {released[-1]}")
    changelog = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)}(\s|$)", changelog, re.MULTILINE):
        raise ScaffoldError(f"CHANGELOG.md has no heading '## {version}'; say there what changed")
    if released and not differences(repository):
        raise ScaffoldError(
            f"nothing to release: templates and runtime are those of {released[-1]}"
        )
    return write(Release(version, working_tree(repository)), history)


def checkout() -> Path:
    """Return the checkout that this tool runs from; a wheel is none, and is refused."""
    repository = Path(__file__).resolve().parents[2]
    if not (repository / HISTORY).is_dir():
        raise ScaffoldError("this is an installed tool; `scaffold release` needs a checkout of it")
    return repository


def history_folder() -> Path:
    """Return where the releases lie: in the installed package, or in the checkout."""
    installed = Path(__file__).resolve().parent / "history"
    return installed if installed.is_dir() else checkout() / HISTORY


def is_version(text: str) -> bool:
    """Say whether a text is three numbers, as in 1.2.0."""
    return _VERSION.fullmatch(text) is not None


def versions(history: Path) -> list[str]:
    """List the released versions, oldest first."""
    names = [path.name[: -len(".zip")] for path in history.glob("*.zip")]
    return sorted(filter(is_version, names), key=archive.order)


def newest(history: Path) -> Release:
    """Read the newest release."""
    released = versions(history)
    if not released:
        raise ScaffoldError(
            f"there is no release in {str(history)!r}; a checkout gets one by `scaffold release`"
        )
    return read(released[-1], history)


def read(version: str, history: Path) -> Release:
    """
    Read one release, and check it and every zip before it.

    Raises:
        ScaffoldError: There is no such release, or a zip is damaged; the message names it.
    """
    released = versions(history)
    if version not in released:
        raise unknown(version, released)
    chain = list(archive.chain(version, history))
    wanted = {entry["sha256"] for entry in chain[0].manifest["files"]}
    contents: dict[str, bytes] = {}
    for package in chain:
        contents |= package.contents(wanted - contents.keys())
    if missing := wanted - contents.keys():
        raise chain[0].damaged(f"no zip holds {min(missing)}")
    entries = chain[0].manifest["files"]
    files = {e["path"]: File(contents[e["sha256"]], e["mode"] == "755") for e in entries}
    return Release(version, files)


def unknown(version: str, known: list[str], source: str = "") -> ScaffoldError:
    """Return the error that names a release that there is not, and one that there is."""
    of = f" of {source!r}" if source else ""
    hint = did_you_mean(version, known) or (f"; the newest is {known[-1]}" if known else "")
    return ScaffoldError(f"there is no release {short(version)}{of}{hint}")


def write(release: Release, history: Path) -> Path:
    """Write a release after all those that are there: the same input gives the same bytes."""
    released = versions(history)
    chain = list(archive.chain(released[-1], history)) if released else []
    held = set().union(*(package.digests() for package in chain))
    manifest = {
        "format": archive.FORMAT,
        "version": release.version,
        "previous": {"version": released[-1], "sha256": chain[0].sha256} if chain else None,
        "files": [_entry(path, file) for path, file in sorted(release.files.items())],
    }
    contents = {archive.sha256_of(file.content): file.content for file in release.files.values()}
    new = {digest: contents[digest] for digest in contents.keys() - held}
    path = history / f"{release.version}.zip"
    archive.write_whole(path, archive.pack(manifest, new))
    return path


def differences(repository: Path) -> list[str]:
    """Name the files in which a checkout differs from its newest release."""
    old = newest(repository / HISTORY).files
    new = working_tree(repository)
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def working_tree(repository: Path) -> dict[str, File]:
    """Read what a release of this checkout would hold: what git tracks or would track."""
    listed = git.run(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *_RELEASED,
        folder=repository,
    )  # fmt: skip
    files = {}
    for path in sorted(set(listed.split("\0")) - {""}):
        found = repository / path
        if path.startswith(f"{HISTORY}/") or not os.path.lexists(found):
            continue
        if found.is_symlink() or not found.is_file():
            raise ScaffoldError(f"{path!r} is no ordinary file; a release holds only those")
        files[path] = File(found.read_bytes(), bool(found.stat().st_mode & 0o111))
    return files


def _entry(path: str, file: File) -> dict[str, str]:
    mode = "755" if file.executable else "644"
    return {"path": path, "mode": mode, "sha256": archive.sha256_of(file.content)}
