"""
A project's answers: what may be one, and the record of them, `.scaffold.yml`.

Answers are data. Whatever line of text somebody gives is written as it is, or
refused in one line before anything is written.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaffold.errors import ScaffoldError, did_you_mean

RECORD = ".scaffold.yml"
_HEADING = "# Where this project comes from: an update needs it. Keep it in version control.\n"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_OF_TEAMS = ("from", "commit", "runtime")
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
_LONGEST_NAME, _LONGEST_TEXT = 100, 500  # Characters.


@dataclass(frozen=True)
class Record:
    """What was rendered: all that an update needs to render it again."""

    template: str
    version: str
    answers: Mapping[str, Any]
    source: str = ""  # The folder or repository of a team's own templates.
    commit: str = ""  # Of that repository, where commits are its history.
    runtime: str = ""  # The release of ours that the runtime is of, where the team has none.

    @property
    def origin(self) -> str:
        """Say what it was made from, in a sentence."""
        return f"{self.version} of {self.source}" if self.source else f"Scaffold {self.version}"


def parse(
    settings: Iterable[str], questions: Mapping[str, Mapping[str, Any]]
) -> dict[str, str | bool]:
    """
    Read `NAME=VALUE` settings.

    Args:
        settings: What was typed.
        questions: What is asked, by name; a `type` of `bool` takes yes or no.

    Raises:
        ScaffoldError: A name is no question, or a value none of its type.
    """
    given: dict[str, str | bool] = {}
    known = list(questions)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ScaffoldError(f"--set takes NAME=VALUE, not {setting!r}")
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are: {', '.join(known)}"
            raise ScaffoldError(f"there is no question {name!r}{hint}")
        given[name] = value
        if questions[name].get("type") == "bool":
            if value.lower() not in _YES + _NO:
                raise ScaffoldError(f"{name} takes yes or no, not {value!r}")
            given[name] = value.lower() in _YES
    return given


def check(answers: Mapping[str, Any], taken: Mapping[str, str]) -> None:
    """
    Refuse answers that cannot be used.

    Args:
        answers: By the name of the question.
        taken: Names that a project cannot have, each with what it is the name of.
    """
    for name, value in answers.items():
        if reason := problem(name, value, taken):
            hint = ""
            if name == "project_name":
                hint = f"; choose another: --set project_name={suggestion(value, taken)}"
            raise ScaffoldError(f"{name} {value!r} {reason}{hint}")


def problem(name: str, value: Any, taken: Mapping[str, str]) -> str:
    """Say what is wrong with one answer, as the end of a sentence, or nothing."""
    if not isinstance(value, str):
        return ""  # A number or a choice: Copier has checked its type.
    longest = _LONGEST_NAME if name == "project_name" else _LONGEST_TEXT
    if len(value) > longest:
        return f"is too long: {len(value)} characters, where {longest} are allowed"
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            return f"holds {character!r}; it must be one line of plain text"
    return _problem_of_name(value, taken) if name == "project_name" else ""


def suggestion(name: str, taken: Mapping[str, str]) -> str:
    """Return the usable project name nearest to this one; a usable one is returned as it is."""
    if not problem("project_name", name, taken):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", plain)[: _LONGEST_NAME // 2].strip("-._").lower()
    return plain if plain and not _problem_of_name(plain, taken) else f"my-{plain or 'project'}"


def write(record: Record, folder: Path) -> None:
    """Write a project's record; it names no path, unless a team's templates have no address."""
    import yaml

    content = {
        "template": record.template,
        "from": record.source,
        "version": record.version,
        "commit": record.commit,
        "runtime": record.runtime,
        "answers": dict(record.answers),
    }
    content = {name: value for name, value in content.items() if name == "answers" or value}
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=10_000)
    (folder / RECORD).write_text(_HEADING + text, encoding="utf-8", newline="\n")


def read(folder: Path) -> Record:
    """
    Read a project's record.

    Raises:
        ScaffoldError: There is none, or it is not what Scaffold wrote; the message names it.
    """
    import yaml

    path = folder / RECORD
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        needed = content["template"], content["version"], content["answers"]
        record = Record(*needed, *(content.get(name, "") for name in _OF_TEAMS))
    except FileNotFoundError:
        raise ScaffoldError(f"{str(folder)!r} is no project of Scaffold's: no {RECORD}") from None
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from None
    texts = (record.template, record.version, record.source, record.commit, record.runtime)
    if not all(isinstance(text, str) for text in texts):
        raise _damaged(path, f"template, version, {', '.join(_OF_TEAMS)} must be text")
    if not isinstance(record.answers, dict):
        raise _damaged(path, "answers must be a mapping")
    return record


def _damaged(path: Path, reason: str) -> ScaffoldError:
    return ScaffoldError(f"{str(path)!r} is damaged ({reason}); restore it with git")


def _problem_of_name(name: str, taken: Mapping[str, str]) -> str:
    if not _NAME.fullmatch(name):
        return "is no name for a project: letters, digits, '-', '_' and '.' inside"
    by_module = {module_of(other): what for other, what in taken.items()}
    if what := by_module.get(module_of(name)):
        return f"is the name of {what}"
    if module_of(name) in {module_of(module) for module in sys.stdlib_module_names}:
        return "is the name of a module of Python's standard library"
    return "is the name of an installed package" if _is_installed(name) else ""


def module_of(name: str) -> str:
    """Return the module name that distributions of this name would have, in lower case."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _is_installed(name: str) -> bool:
    """Say whether a module or a distribution of this name is installed; nothing is imported."""
    from importlib import metadata, util

    for module in {module_of(name), re.sub(r"[-.]", "_", name)}:
        try:
            found = util.find_spec(module)
        except ValueError:  # Loaded in a way that left no trace of where from.
            return True
        # A folder without __init__.py is no module yet: the project's own may lie around.
        if found is not None and found.origin is not None:
            return True
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        return False
    # Projects of ours bring no module: one that was installed before is in nobody's way.
    return any(not file.parts[0].endswith((".dist-info", ".egg-info")) for file in files)
