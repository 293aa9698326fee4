"""
Pile up base, template and runtime in one folder, and render it once with Copier.

Rendering is pure: a release, a template and answers give the same bytes
whatever the user's settings, home folder, language or time.
"""

from __future__ import annotations

import re
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaffold import quote
from scaffold.errors import ScaffoldError, did_you_mean
from scaffold.releases import File, Release

if TYPE_CHECKING:
    from copier._main import Worker

ABOUT = "template.yml"
_SUFFIX = ".jinja"
_QUESTIONS = "templates/copier.yml"
RUNTIME = "scaffold_runtime/"  # In a project.
_PROJECT = "project"  # What copier.yml calls `_subdirectory`.
# A requirement with its lower bound, as it stands in a pyproject.toml.
_REQUIREMENT = re.compile(r"""["']([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*[<>=~!]=""")


@dataclass(frozen=True)
class About:
    """What a template says of itself."""

    name: str
    summary: str  # One line.
    expect: str  # What a default run reaches, and how long it takes; one line.


def templates(release: Release) -> dict[str, About]:
    """Describe a release's templates, by name: each folder that says what it is."""
    import yaml

    found = {}
    for path in sorted(release.files):
        folder, _, name = path.rpartition("/")
        if name == ABOUT and folder.count("/") == 1 and folder.startswith("templates/"):
            about = yaml.safe_load(release.files[path].content)
            template = folder.partition("/")[2]
            found[template] = About(template, about["summary"], about["expect"])
    return found


def template(release: Release, name: str | None) -> About:
    """Describe one template; a name that does not exist is refused with the nearest that does."""
    known = templates(release)
    if name is None:
        raise ScaffoldError(f"say which template: --template {' or '.join(known)}")
    if name not in known:
        hint = did_you_mean(name, known)
        team = f" --from {quote.shell(release.source)}" if release.source else ""
        raise ScaffoldError(f"there is no template {name!r}{hint} (scaffold list{team} shows all)")
    return known[name]


def questions(release: Release) -> dict[str, dict[str, Any]]:
    """Return the questions of all templates as copier.yml has them, by name."""
    everything = _copier_yml(release)
    return {name: about for name, about in everything.items() if not name.startswith("_")}


def is_strict(release: Release) -> bool:
    """Say whether a name that nothing has is an error in Jinja, or is rendered as nothing."""
    how = _copier_yml(release).get("_envops")
    return isinstance(how, dict) and how.get("undefined") == "jinja2.StrictUndefined"


def words(release: Release) -> list[str]:
    """Name what the templates' Jinja can use: the questions, and what quotes their answers."""
    return [*questions(release), *quote.FUNCTIONS]


def project_files(release: Release, template: str) -> dict[str, File]:
    """
    Return the files of a template's projects, not rendered yet, by path in the project.

    Raises:
        ScaffoldError: Two of base, template and runtime have the same path.
    """
    files: dict[str, File] = {}
    for folder in ("templates/base/", f"templates/{template}/", "runtime/"):
        for path, file in release.files.items():
            inside = path.removeprefix(folder)
            if inside == path or path == f"templates/{template}/{ABOUT}":
                continue
            if {rendered_path(inside)} & {rendered_path(other) for other in files}:
                raise ScaffoldError(f"{inside!r} of {template!r} lies in two places, also {path!r}")
            files[inside] = file
    return files


def rendered_path(path: str) -> str:
    """Return the path that a file has in the rendered project."""
    return path.removesuffix(_SUFFIX)


def reserved_names(release: Release, template: str) -> dict[str, str]:
    """Name what a project of this template cannot be called, and what each is the name of."""
    files = project_files(release, template)
    paths = [path for path in files if rendered_path(path) == "pyproject.toml"]
    requirements = "".join(files[path].content.decode(errors="replace") for path in paths)
    names = dict.fromkeys(_REQUIREMENT.findall(requirements), "a package it depends on")
    tops = {path.partition("/")[0] for path in files}
    modules = {top.removesuffix(".py") for top in tops if "." not in top.removesuffix(".py")}
    return names | dict.fromkeys(sorted(modules), "one of the project's own modules")


def ask(
    release: Release,
    template: str,
    given: Mapping[str, Any],
    name: str,
    problem: Callable[[str, Any], str] | None = None,
) -> dict[str, Any]:
    """
    Return the answers to a template's questions: those given, and of the others the defaults.

    Args:
        release: What to read the questions from.
        template: Whose questions to ask.
        given: Answers that are known.
        name: The default for the project's name.
        problem: Ask for the others on the terminal, until this finds nothing wrong with them.
    """
    data = {**given, "suggested_name": name, "problem": problem or _no_problem}
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
        _lay_out({}, release, Path(folder, "template"))
        out = Path(folder, "out")
        options = {"defaults": not problem, "unsafe": release.trusted, "skip_tasks": True}
        worker = _copy(Path(folder), out, template, data, **options)
        answers, hidden = worker.answers.combined, worker.answers.hidden
        return {name: answers[name] for name in questions(release) if name not in hidden}


def render(release: Release, template: str, answers: Mapping[str, Any], into: Path) -> None:
    """Render a template with the answers to all its questions into a folder that is there."""
    data = {**answers, "suggested_name": "", "problem": _no_problem}
    files = project_files(release, template)
    as_they_are = {} if release.trusted else _runtime(files)  # A program may need them all.
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
        rest = {path: file for path, file in files.items() if path not in as_they_are}
        _lay_out(rest, release, Path(folder, "template"))
        made = _copy(Path(folder), into, template, data, defaults=True, unsafe=release.trusted)
    for path, file in as_they_are.items():
        if not made.match_exclude(Path(path)):
            _write(into / path, file)


def _copier_yml(release: Release) -> dict[str, Any]:
    import yaml

    content: dict[str, Any] = yaml.safe_load(release.files[_QUESTIONS].content)
    return content


def _runtime(files: Mapping[str, File]) -> dict[str, File]:
    """
    Return the files of the runtime, in which nothing is to be rendered.

    Copier would compile each part of each path, which takes longer than all else.
    """
    found = {
        path: file
        for path, file in files.items()
        if path.startswith(RUNTIME) and not path.endswith(_SUFFIX)
    }
    return found if len(found) < len(files) else {}  # Without any file, Copier excludes none.


def _no_problem(name: str, value: Any) -> str:
    return ""


def _lay_out(files: Mapping[str, File], release: Release, folder: Path) -> None:
    """Write a template as Copier wants it: copier.yml, and beside it the folder to render."""
    (folder / _PROJECT).mkdir(parents=True)
    (folder / "copier.yml").write_bytes(release.files[_QUESTIONS].content)
    for path, file in files.items():
        _write(folder / _PROJECT / path, file)


def _write(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    if file.executable:
        mode = path.stat().st_mode
        path.chmod(mode | (mode & 0o444) >> 2)  # For those who may read it.


def _copy(folder: Path, into: Path, name: str, data: dict[str, Any], **options: Any) -> Worker:
    # Programs that are trusted to run must be found.
    with _one_line_errors(name), nullcontext() if options["unsafe"] else _without_git():
        from copier import Settings, run_copy

        return run_copy(
            str(folder / "template"),
            into,
            data={**quote.FUNCTIONS, "template": name, **data},
            settings=Settings(),
            overwrite=True,
            quiet=True,
            **options,
        )


@contextmanager
def _without_git() -> Iterator[None]:
    """
    Hide git from Copier, which would ask it about every file.

    Our folder is no repository; asking costs more than rendering, and the
    answers would depend on the user's settings.
    """
    from plumbum import local

    with local.env(PATH=""):
        yield


@contextmanager
def _one_line_errors(template: str) -> Iterator[None]:
    """Turn all that Copier and Jinja let through into one line."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None  # Copier's own carries the answers along.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ScaffoldError(
            f"template {template!r} cannot be rendered: {_place(error)}{reason}"
        ) from error


def _place(error: Exception) -> str:
    """Say in which file, and on which line, a mistake was found, if it was in a file."""
    # Jinja gives each template a frame of its own, with its path and line.
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if found := re.search(rf"/scaffold-[^/]+/template/{_PROJECT}/(.+)", frame.filename):
            return f"{found[1]}, line {frame.lineno}: "
    return ""
