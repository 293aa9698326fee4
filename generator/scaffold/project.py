"""The verbs: what a user can do with projects, and a maintainer with releases."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scaffold import answers, git, place, questions, quote, releases, render, sources
from scaffold.answers import Record
from scaffold.errors import ScaffoldError
from scaffold.releases import Release
from scaffold.sources import Given

# What to type in a new project, each where the project has the file.
_STEPS = {
    "pyproject.toml": "python -m pip install -e '.[test]'",
    "train.py": "python train.py",
}


@dataclass(frozen=True)
class Created:
    """A new project, and what its maker should know."""

    folder: Path
    shown: str  # The folder, seen from where the command was typed.
    about: render.About
    release: Release
    notes: tuple[str, ...]


def create(
    path: str | None,
    template: str | None,
    settings: Iterable[str] = (),
    *,
    defaults: bool = False,
    repository: bool = True,
    version: str | None = None,
    history: Path | None = None,
    told: Given | None = None,
) -> Created:
    """
    Make a project: whole, or not at all.

    Args:
        path: The folder to make, by default `my-TEMPLATE`; it must be missing or
            empty, where a `.git` does not count.
        template: The name of the template.
        settings: Answers as `NAME=VALUE`.
        defaults: Ask nothing; without a terminal nothing is asked either.
        repository: Make the folder a git repository with one commit.
        version: Of the release; by default the newest.
        history: Where our releases lie; by default those of this installation.
        told: Where a team's own templates are, if it is to be one of those.

    Raises:
        ScaffoldError: Anything is not usable; nothing was written.
    """
    if version == "":
        raise ScaffoldError("--release is empty; say which")
    source = sources.of(history=history, given=told)
    release = source.newest() if version is None else source.read(version)
    about = render.template(release, template)
    given = questions.parse(settings, render.questions(release))
    target = place.find(f"my-{about.name}" if path is None else path)
    shown = _shown(target)  # Now: the current folder itself may be about to be replaced.
    replies = _answers(release, about.name, given, target.name, ask=not defaults and _at_terminal())
    with place.building(target) as folder:
        render.render(release, about.name, replies, folder)
        record = sources.record(release, about.name, replies, target)
        answers.write(record, folder)
        notes = _start_repository(folder, target, record) if repository else ()
    notes += (source.note,) if source.note else ()
    return Created(target, shown, about, release, notes)


def created(new: Created) -> str:
    """Say what was made, what to type next, and what the first run gives."""
    of = f" of {new.release.source}" if new.release.source else ""
    return "\n".join(
        [
            f"Made {new.shown} from the template {new.about.name}{of}, "
            f"release {new.release.version}.",
            *new.notes,
            "",
            "Next:",
            f"    cd {quote.shell(new.shown)}",
            *(f"    {step}" for file, step in _STEPS.items() if (new.folder / file).exists()),
            "",
            f"A run with default settings: {new.about.expect}",
        ]
    )


def catalogue(history: Path | None = None, told: Given | None = None) -> str:
    """List the templates of the newest release with a line each."""
    known = render.templates(_newest(history, told))
    width = max(map(len, known), default=0)
    return "\n".join(f"{name:{width}}  {about.summary}" for name, about in known.items())


def describe(template: str, history: Path | None = None, told: Given | None = None) -> str:
    """Show what a template makes: its files, and its questions with their defaults."""
    release = _newest(history, told)
    about = render.template(release, template)
    files = map(render.rendered_path, render.project_files(release, template))
    paths = {render.RUNTIME if path.startswith(render.RUNTIME) else path for path in files}
    default = render.ask(release, template, {}, f"my-{template}")
    help_of = {name: question["help"] for name, question in render.questions(release).items()}
    return "\n".join(
        [
            f"{about.name}: {about.summary}",
            f"A run with default settings: {about.expect}",
            "",
            "Files:",
            *(f"    {path}" for path in sorted([*paths, answers.RECORD])),
            "",
            "Questions (--set NAME=VALUE):",
            *(
                f"    {name} = {value!r}\n        {help_of[name]}"
                for name, value in default.items()
            ),
        ]
    )


def release(version: str) -> str:
    """Write this checkout's templates and runtime as a release, and say where."""
    written = releases.release(version, releases.checkout())
    return f"Released {version}: {os.path.relpath(written)}"


def _shown(folder: Path) -> str:
    return min(os.path.relpath(folder), str(folder), key=len)


def _newest(history: Path | None, told: Given | None) -> Release:
    return sources.of(history=history, given=told).newest()


def _at_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _answers(
    release: Release, template: str, given: dict[str, str | bool], folder_name: str, *, ask: bool
) -> dict[str, Any]:
    """Return answers to all questions, every one of them checked."""
    taken = render.reserved_names(release, template)
    questions.check(given, taken)
    if ask:
        name = questions.suggestion(folder_name, taken)
        problem = partial(questions.problem, taken=taken)
        replies = render.ask(release, template, given, name, problem)
    else:
        replies = render.ask(release, template, given, folder_name)
    if unknown := given.keys() - replies.keys():
        raise ScaffoldError(f"template {template!r} has no question {min(unknown)!r}")
    questions.check(replies, taken)
    return replies


def _start_repository(folder: Path, target: Path, record: Record) -> tuple[str, ...]:
    """Make the first commit, or return the sentence that says why there is none."""
    if around := git.repository_around(target):
        return (f"It lies in the git repository {around}: nothing was committed.",)
    if not git.is_there():
        return ("git is not installed: the folder is no repository.",)
    try:
        git.start_repository(folder, f"Start from {record.origin}, template {record.template}")
    except ScaffoldError as error:
        return (f"The folder has no first commit: {error}.",)
    return ()
