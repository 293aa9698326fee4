"""From which release and answers to which a project is to go; both rendered."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaffold import answers, archive, questions, releases, render, sources
from scaffold.answers import Record
from scaffold.errors import ScaffoldError, short
from scaffold.releases import File, Release
from scaffold.sources import Given, Source


@dataclass(frozen=True)
class Plan:
    """From what a project is made to what it is to be made from."""

    project: Path
    old: Record
    new: Record
    old_release: Release
    new_release: Release
    newest: str  # The newest version there is.
    defaulted: Mapping[str, Any]  # Questions without an answer so far, and what they got.
    dropped: tuple[str, ...]  # Answers to what is no question any more.

    @property
    def message(self) -> str:
        """Say in one line, as the subject of a commit, what this does."""
        old, new = self.old, self.new
        if old.version != new.version:
            to = new.origin if new.source else new.version
            of = old.version if new.source else old.origin
            return f"Update from {of} to {to}, template {new.template}"
        changed = [name for name, value in new.answers.items() if old.answers.get(name) != value]
        changed += [name for name in old.answers if name not in new.answers]
        if not changed and old.runtime != new.runtime:
            return f"Update to the runtime of Scaffold {new.runtime}, template {new.template}"
        if not changed:
            return f"Take the templates as they are in {new.origin}, template {new.template}"
        return f"Change {', '.join(changed)} of {new.origin}, template {new.template}"


def make(
    project: Path,
    to: str | None,
    settings: Iterable[str],
    history: Path | None,
    told: Given | None = None,
) -> Plan:
    """
    Read a project's record, and decide what it is to become.

    Args:
        project: The project's folder.
        to: The version; by default the newest, or with settings the project's own.
        settings: Answers to change, as `NAME=VALUE`.
        history: Where our releases lie; by default those of this installation.
        told: Where a team's templates are now.

    Raises:
        ScaffoldError: The record is not one of a release that there is, or an
            answer cannot be used.
    """
    settings = list(settings)
    old = answers.read(project)
    source = sources.of(old, history, told, project)
    old_release = source.base(old)
    _check(old, old_release, project)
    newest, new_release = _goal(source, old, old_release, to, stay=bool(settings))
    version = new_release.version
    if old.template not in render.templates(new_release):
        raise ScaffoldError(f"release {version} has no template {old.template!r}")
    known = source.migrate(old.answers, old.version, version)
    given = _given(settings, new_release, source, newest)
    replies = _answers(new_release, old.template, known, given)
    recorded = "" if told and told.source else old.source
    new = sources.record(new_release, old.template, replies, project, recorded)
    new = answers.in_the_form_of(old, new)
    defaulted = {name: value for name, value in replies.items() if name not in known | given}
    dropped = tuple(name for name in known if name not in replies)
    return Plan(project, old, new, old_release, new_release, newest, defaulted, dropped)


def rendered(record: Record, release: Release) -> dict[str, File]:
    """Render what a record says, the record included."""
    with tempfile.TemporaryDirectory(prefix="scaffold-") as name:
        folder = Path(name)
        render.render(release, record.template, record.answers, folder)
        answers.write(record, folder)
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {
            path.relative_to(folder).as_posix(): File(
                path.read_bytes(), bool(path.stat().st_mode & 0o100)
            )
            for path in files
        }


def _goal(
    source: Source, old: Record, old_release: Release, to: str | None, *, stay: bool
) -> tuple[str, Release]:
    """Return the newest version there is, and the release to go to."""
    newest = source.versions()[-1]
    if to == "":
        raise ScaffoldError("--to is empty; say which release")
    if to is None and stay:
        return newest, old_release
    if to is None:
        _refuse_to_go_back(old, newest)
    if (to or newest) == old.version and not old.source:
        return newest, old_release
    release = source.read(to or newest)
    versions = releases.is_version(old.version) or releases.is_version(release.version)
    if to is None and old.commit and not versions and release.files == old_release.files:
        return old.version, old_release  # A commit that changed something beside the templates.
    return newest, release


def _refuse_to_go_back(old: Record, newest: str) -> None:
    both = releases.is_version(old.version) and releases.is_version(newest)
    if both and archive.order(newest) < archive.order(old.version):
        raise ScaffoldError(
            f"the project is of release {old.version}, and the newest of {old.source or 'ours'!r} "
            f"is {newest}; fetch the newer ones, or go back with `scaffold update --to {newest}`"
        )


def _given(settings: list[str], release: Release, source: Source, newest: str) -> dict[str, Any]:
    """Read settings; a question that only the newest release has is named with the way there."""
    asked = render.questions(release)
    new = {setting.partition("=")[0] for setting in settings} - asked.keys()
    if new and release.version != newest:
        for name in new & render.questions(source.newest()).keys():
            raise ScaffoldError(
                f"release {release.version} does not ask {name!r}, release {newest} does: "
                f"add --to {newest}"
            )
    return questions.parse(settings, asked)


def _check(record: Record, release: Release, project: Path) -> None:
    """Refuse a record that this release cannot have written."""
    version = release.version
    if record.template not in render.templates(release):
        hint = f"release {version} has no template {short(record.template)}"
        raise answers.damaged(project, hint)
    asked = render.questions(release)
    for name, about in asked.items():
        if name not in record.answers and "when" not in about:
            raise answers.damaged(project, f"the answer to {name!r} is missing")
    taken = render.reserved_names(release, record.template)
    for name, value in record.answers.items():
        if name not in asked:
            raise answers.damaged(project, f"release {version} has no question {short(name)}")
        if wrong := questions.misfit(value, asked[name]):
            raise answers.damaged(project, f"the answer to {name!r} {wrong}")
        if wrong := questions.problem_anywhere(name, value, taken):
            raise answers.damaged(project, f"the answer to {name!r} {wrong}")


def _answers(
    release: Release, template: str, known: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return answers to all questions of a release: those given, those known, the defaults."""
    asked = render.questions(release)
    replies = {name: known[name] for name in asked if name in known}
    conditional = any("when" in question for question in asked.values())
    if not given and not conditional and replies.keys() == asked.keys():
        return replies  # Nothing is open, and asking takes a while.
    if given:
        questions.check(given, render.reserved_names(release, template))
    replies = render.ask(release, template, {**replies, **given}, replies.get("project_name", ""))
    if unknown := given.keys() - replies.keys():
        raise ScaffoldError(f"template {template!r} has no question {min(unknown)!r}")
    return replies
