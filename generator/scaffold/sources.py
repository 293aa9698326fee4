"""Where releases come from: ours, or a team's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from scaffold import archive, forms, migrations, releases, remote, states, trust
from scaffold.answers import Record
from scaffold.errors import ScaffoldError
from scaffold.releases import Release
from scaffold.states import States


@dataclass(frozen=True)
class Given:
    """What a command was told of where releases come from."""

    source: str | None = None  # The folder or repository of a team's own templates.
    trust: bool = False  # They may run programs.


class Source(Protocol):
    """Releases that belong together."""

    @property
    def note(self) -> str:
        """What somebody should know who starts a project, or nothing."""

    def versions(self) -> list[str]:
        """List the versions, oldest first."""

    def newest(self) -> Release:
        """Read the newest release."""

    def read(self, version: str) -> Release:
        """Read one release; one that does not exist is refused."""

    def base(self, record: Record) -> Release:
        """Read the release that a project was made from."""

    def migrate(self, answers: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
        """Bring the answers of one version to another."""


def of(
    record: Record | None = None,
    history: Path | None = None,
    given: Given | None = None,
    project: Path | None = None,
) -> Source:
    """
    Return the releases that a project belongs to.

    Args:
        record: The project's; without one, a new project is to be made.
        history: Where our releases lie; by default those of this installation.
        given: Where a team's lie, if the record does not say so, or no longer rightly.
        project: Where the project lies.
    """
    ours = Ours(history or releases.history_folder())
    given = given or Given()
    recorded = record.source if record else ""
    if given.source == "":
        raise ScaffoldError("--from is empty; say where the templates are")
    if record and given.source and not recorded:
        raise ScaffoldError(
            f"the project is one of Scaffold's own templates, not of {given.source!r}; "
            "leave --from out"
        )
    name = given.source or recorded
    if not name:
        return ours
    start = Path.cwd() if given.source or project is None else project
    return Team(states.of(name, start), given.trust, ours)


def record(
    release: Release, template: str, replies: Mapping[str, Any], project: Path, source: str = ""
) -> Record:
    """
    Return the record of a project.

    Args:
        release: What it is made from.
        template: Which template of it.
        replies: The answers to all questions.
        project: The project's folder.
        source: What its record says already of where the release is from.
    """
    return Record(
        template,
        release.version,
        replies,
        source or _seen_from(project, release.source),
        release.commit,
        release.runtime,
    )


def as_it_lies(folder: Path, *, trusted: bool = False) -> Source:
    """Return the one release that a folder of templates would be now, whatever its history."""
    state = states.Plain(forms.Folder(folder.resolve()), str(folder))
    return Team(state, trusted, Ours(releases.history_folder()))


def _seen_from(project: Path, source: str) -> str:
    """Return what a project's record says of a source: a relative path begins at the project."""
    if not source or remote.is_address(source) or Path(source).is_absolute():
        return source
    return os.path.relpath(os.path.realpath(source), os.path.realpath(project))


@dataclass(frozen=True)
class Ours:
    """The releases of this installation."""

    history: Path
    note: str = ""

    def versions(self) -> list[str]:
        return releases.versions(self.history)

    def newest(self) -> Release:
        return releases.newest(self.history)

    def read(self, version: str) -> Release:
        """Read one release; one that is newer than all, or does not exist, is refused."""
        known = self.versions()
        if (
            known
            and releases.is_version(version)
            and archive.order(version) > archive.order(known[-1])
        ):
            newest = f"the newest that this tool has is {known[-1]}"
            raise ScaffoldError(
                f"there is no release {version} here, {newest}; install a newer one"
            )
        return releases.read(version, self.history)

    def base(self, record: Record) -> Release:
        return self.read(record.version)

    def migrate(self, answers: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
        return migrations.migrate(answers, old, new)


@dataclass(frozen=True)
class Team:
    """The releases of a team; where they bring no runtime, ours lends them its own."""

    states: States
    trusted: bool
    ours: Ours

    @property
    def note(self) -> str:
        return self.states.note

    def versions(self) -> list[str]:
        return self.states.versions()

    def newest(self) -> Release:
        return self.read(self.versions()[-1])

    def read(self, version: str) -> Release:
        return self._whole(self.states.read(version), self.ours.versions()[-1])

    def base(self, record: Record) -> Release:
        return self._whole(self._state(record), record.runtime)

    def migrate(self, answers: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
        return dict(answers)  # Ours are about our questions.

    def _state(self, record: Record) -> Release:
        """Read what a record names; a folder's content may have got a version since."""
        if record.version.startswith(states.CONTENT):
            for version in reversed(self.versions()):
                state = self.states.read(version)
                if states.content_version(state) == record.version:
                    return replace(state, version=record.version)
        return self.states.base(record.version, record.commit)

    def _whole(self, release: Release, runtime: str) -> Release:
        """Return a release that holds only what it may, and a runtime."""
        release = replace(release, trusted=self.trusted)
        trust.check(release)
        if any(path.startswith(forms.RUNTIME) for path in release.files):
            return release
        if not runtime:
            raise ScaffoldError("the record names no runtime; restore it with git")
        ours = self.ours.read(runtime).files
        lent = {path: file for path, file in ours.items() if path.startswith(forms.RUNTIME)}
        return replace(release, files={**release.files, **lent}, runtime=runtime)
