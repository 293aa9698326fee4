"""The commits of a repository that serve as releases: those tagged as versions, or the last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from scaffold import archive, forms, releases, remote
from scaffold.errors import ScaffoldError
from scaffold.releases import Release
from scaffold.remote import Commit, Repository

_DIGITS = 12  # Of a hash, where it is the version.
_TAG = "refs/tags/"
_LIKE_VERSION = re.compile(r"\d\.\d|^v?\d+$")
_SHOWN = 3  # Tags that a note names.


@dataclass(frozen=True)
class Commits:
    """The tags of a repository that are versions, or its last commit."""

    repository: Repository
    prefix: str
    name: str

    @property
    def note(self) -> str:
        """Name the tags that look like versions, and are none."""
        tags = (ref.removeprefix(_TAG) for ref in sorted(self.repository.refs) if ref != "HEAD")
        others = [tag for tag in tags if _LIKE_VERSION.search(tag) and not _version_of(tag)]
        if not others:
            return ""
        named = ", ".join(others[:_SHOWN]) + (" and others" if len(others) > _SHOWN else "")
        return f"Tags that are no versions were passed over: {named}. A version is 1.2.0 or v1.2.0."

    def versions(self) -> list[str]:
        return list(self._tags) or [self.repository.head[:_DIGITS]]

    def read(self, version: str) -> Release:
        version = version.removeprefix("v")
        if remote.COMMIT.fullmatch(version):
            return self.base(version[:_DIGITS], version)
        if version not in self.versions():
            raise releases.unknown(version, self.versions(), self.name)
        ref = self._tags.get(version, "HEAD")
        self.repository.fetch(ref)
        return self._release(version, self.repository.refs[ref])

    def base(self, version: str, commit: str) -> Release:
        if not commit:
            return self.read(version)
        if not remote.COMMIT.fullmatch(commit):
            raise ScaffoldError(f"{commit!r} is no commit; restore the record with git")
        self.repository.fetch_commit(commit)
        return self._release(version, commit)

    @cached_property
    def _tags(self) -> dict[str, str]:
        """The tags by version, oldest first."""
        found = {}
        for ref in sorted(self.repository.refs, reverse=True):  # `1.2.0` comes after `v1.2.0`.
            if version := _version_of(ref.removeprefix(_TAG)):
                found[version] = ref
        return {version: found[version] for version in sorted(found, key=archive.order)}

    def _release(self, version: str, commit: str) -> Release:
        tree = Commit(self.repository, commit, self.prefix)
        return Release(version, forms.files(tree, f"{version} of {self.name!r}"), self.name, commit)


def _version_of(tag: str) -> str:
    """Return the version that a tag names, or nothing."""
    version = tag.removeprefix("v")
    return version if releases.is_version(version) else ""
