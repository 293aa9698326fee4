"""
What a team's own templates may hold.

Templates are data. What would run a program, lead out of the project, or leave
something that git runs later, is refused before anything is rendered; so is what
has no meaning here. Settings are accepted by name: whatever Copier learns to do
one day is refused as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaffold import quote
from scaffold.answers import RECORD
from scaffold.errors import ScaffoldError
from scaffold.forms import ABOUT, QUESTIONS, TEMPLATES
from scaffold.releases import Release

CODE = ("_tasks", "_jinja_extensions")
_SETTINGS = {
    *("_subdirectory", "_envops", "_exclude", "_min_copier_version"),
    *("_message_before_copy", "_message_after_copy"),
    *("_message_before_update", "_message_after_update"),
}
_PROJECT = "project"
_TAKEN = {"template", "suggested_name", "problem", *quote.FUNCTIONS}
_TYPES = ("str", "int", "float", "bool")


def check(release: Release) -> None:
    """
    Refuse a team's release that holds what it may not.

    Raises:
        ScaffoldError: The message names the file or setting, and what to do.
    """
    for path in release.files:
        if wrong := _problem_of_path(path):
            raise ScaffoldError(f"{_seen(path)!r} in {release.source!r} {wrong}")
    for path in release.files:
        if path.endswith(f"/{ABOUT}") and path.count("/") == 2:
            _check_about(release, path)
    _check_questions(release)


def _problem_of_path(path: str) -> str:
    parts = path.split("/")
    if not path.isprintable() or {"", ".", ".."} & set(parts):
        return "is no path that a project can have"
    if ".git" in (part.lower() for part in parts):
        return "would be git's own: hooks and settings are no part of a template"
    if {"{", "}"} & set(path):
        return "has braces in its name; paths are not rendered, `_exclude` leaves files out"
    if parts[0] == "templates" and parts[2:] in ([RECORD], [f"{RECORD}.jinja"]):
        return "is written by Scaffold itself"
    return ""


def _check_about(release: Release, path: str) -> None:
    about = _read(release, path)
    names = ("summary", "expect")
    if missing := [f"`{name}: ...`" for name in names if not isinstance(about.get(name), str)]:
        where = f"{_seen(path)!r} in {release.source!r}"
        raise ScaffoldError(f"{where} needs a line of text {' and '.join(missing)}")


def _seen(path: str) -> str:
    """Return a path as the owner of the templates sees it."""
    return path.removeprefix(TEMPLATES)


def _check_questions(release: Release) -> None:
    config = _read(release, TEMPLATES + QUESTIONS)
    where = f"copier.yml in {release.source!r}"
    for name, value in config.items():
        if name in CODE and value:
            if not release.trusted:
                raise ScaffoldError(
                    f"{where} asks to run programs ({name}); they are run only with --trust"
                )
        elif name.startswith("_") and name not in (*CODE, *_SETTINGS):
            raise ScaffoldError(f"{where} has the setting {name!r}, which has no meaning here")
        elif not name.startswith("_") and (wrong := _problem_of_question(name, value)):
            raise ScaffoldError(f"{where}: the question {name!r} {wrong}")
    if config.get("_subdirectory") != _PROJECT:
        raise ScaffoldError(f"{where} needs the line `_subdirectory: {_PROJECT}`")


def _problem_of_question(name: str, about: Any) -> str:
    if not name.isidentifier() or name in _TAKEN:
        return "has a name that cannot be used in a template"
    if not isinstance(about, dict) or not isinstance(about.get("help"), str):
        return "needs a `help`"
    if about.get("type") not in _TYPES or about.get("multiselect"):
        return f"needs a `type` ({', '.join(_TYPES)}) and one answer"
    if about.get("secret"):
        return f"is secret, and answers are written into {RECORD}"
    return "" if "default" in about else "needs a `default`"


def _read(release: Release, path: str) -> Mapping[str, Any]:
    """Read a YAML file that is a mapping of texts; tags of Copier's own are refused."""
    import yaml

    try:
        content = yaml.safe_load(release.files[path].content)
    except KeyError:
        raise ScaffoldError(f"{path!r} is missing in {release.source!r}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error)
        raise ScaffoldError(f"{path!r} in {release.source!r} is no YAML: {reason}") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ScaffoldError(f"{path!r} in {release.source!r} must be a mapping")
    return content
