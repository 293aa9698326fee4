"""
The zip file of one release: contents named by their sha256, and a manifest.

`manifest.json` lists the release's files (path, mode, sha256) and names the
release before it with the sha256 of that one's zip; `blobs/SHA256` are contents.
Everything read is checked: what is damaged is named, never used.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from scaffold.errors import ScaffoldError

FORMAT = 1


def chain(version: str, history: Path) -> Iterator[Archive]:
    """Open a release's zip and those before it, newest first, each checked against the next."""
    archive = _open(history / f"{version}.zip")
    yield archive
    while previous := archive.manifest["previous"]:
        archive = _open(history / f"{previous['version']}.zip")
        if archive.sha256 != previous["sha256"]:
            raise archive.damaged("it is not the file that the release after it was built on")
        yield archive


@dataclass(frozen=True)
class Archive:
    """One zip of the history, whole in memory, its manifest read."""

    path: Path
    sha256: str
    zip: zipfile.ZipFile
    manifest: dict[str, Any]

    def digests(self) -> set[str]:
        return {n[len("blobs/") :] for n in self.zip.namelist() if n.startswith("blobs/")}

    def contents(self, wanted: set[str]) -> dict[str, bytes]:
        found = {}
        for digest in wanted & self.digests():
            try:
                found[digest] = self.zip.read(f"blobs/{digest}")
            except Exception as error:
                raise self.damaged(str(error)) from None
            if sha256_of(found[digest]) != digest:
                raise self.damaged(f"{digest} is not what its name says")
        return found

    def damaged(self, reason: str) -> ScaffoldError:
        return _damaged(self.path, reason)


def pack(manifest: dict[str, Any], contents: Mapping[str, bytes]) -> bytes:
    """
    Pack a manifest and contents into a zip whose bytes depend on nothing else.

    Stored, not deflated: what deflate writes depends on the zlib at hand, and
    git and the wheel compress the whole anyway.
    """
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    members = {"manifest.json": text.encode()}
    members |= {f"blobs/{digest}": contents[digest] for digest in sorted(contents)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # Unix, on every system.
            member.external_attr = 0o100644 << 16
            archive.writestr(member, content)
    return packed.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and never over another."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # Unlike a rename, refuses a name that is taken.
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _open(path: Path) -> Archive:
    try:
        data = path.read_bytes()
        archive = zipfile.ZipFile(io.BytesIO(data))
        manifest = json.loads(archive.read("manifest.json"))
        _check(manifest, path.name)
    except Exception as error:
        raise _damaged(path, str(error)) from None
    return Archive(path, sha256_of(data), archive, manifest)


def _check(manifest: dict[str, Any], name: str) -> None:
    if manifest["format"] != FORMAT:
        raise ValueError("it is in a newer form than this tool reads")
    if f"{manifest['version']}.zip" != name:
        raise ValueError(f"it is release {manifest['version']}")
    if manifest["previous"]:
        older = manifest["previous"]["version"], manifest["previous"]["sha256"]
        if order(older[0]) >= order(manifest["version"]):
            raise ValueError(f"it follows {older[0]}")
    for entry in manifest["files"]:
        path = PurePosixPath(entry["path"])
        if path.is_absolute() or ".." in path.parts or entry["mode"] not in ("644", "755"):
            raise ValueError(f"it lists {entry['path']!r}, mode {entry['mode']!r}")


def _damaged(path: Path, reason: str) -> ScaffoldError:
    remedy = "restore the file with git, or install again what it came with"
    return ScaffoldError(f"the release {str(path)!r} is damaged: {reason}; {remedy}")
