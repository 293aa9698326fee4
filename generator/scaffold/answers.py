"""The record of a project's answers, `.scaffold.yml`: what an update needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scaffold import rewrite
from scaffold.errors import ScaffoldError, short

RECORD = ".scaffold.yml"
_HEADING = "# Where this project comes from: an update needs it. Keep it in version control.\n"
_NEEDED, _OF_TEAMS = ("template", "version"), ("from", "commit", "runtime")
_CONFLICT = "<<<<<<< "  # How a line begins that git left for somebody to settle.


@dataclass(frozen=True)
class Record:
    """What was rendered: all that an update needs to render it again."""

    template: str
    version: str
    answers: Mapping[str, Any]
    source: str = ""  # The folder or repository of a team's own templates.
    commit: str = ""  # Of that repository, where commits are its history.
    runtime: str = ""  # The release of ours that the runtime is of, where the team has none.
    # As it lies in the project, if somebody gave it another form than we do.
    text: str = field(default="", compare=False, repr=False)

    @property
    def origin(self) -> str:
        """Say what it was made from, in a sentence."""
        return f"{self.version} of {self.source}" if self.source else f"Scaffold {self.version}"


def write(record: Record, folder: Path) -> None:
    """Write a project's record; it names no path, unless a team's templates have no address."""
    (folder / RECORD).write_bytes((record.text or _text(record)).encode())


def read(folder: Path) -> Record:
    """
    Read a project's record.

    Raises:
        ScaffoldError: There is none, or it is not what Scaffold wrote; the message names it.
    """
    path = folder / RECORD
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise _no_project(folder) from None
    except UnicodeDecodeError:
        raise damaged(folder, "it is not UTF-8") from None
    except OSError as error:
        raise ScaffoldError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    content = _parsed(text, folder)
    texts = {name: content.get(name, "") for name in (*_NEEDED, *_OF_TEAMS)}
    for name, value in texts.items():
        if name in _NEEDED and name not in content:
            raise damaged(folder, f"it has no `{name}`")
        if not isinstance(value, str):
            raise damaged(folder, f"its `{name}` is {short(value)}, not text; quotes make it one")
    answers = content.get("answers")
    if not isinstance(answers, dict) or not all(isinstance(name, str) for name in answers):
        raise damaged(folder, "it has no `answers`, each with the name of its question")
    record = Record(texts["template"], texts["version"], answers, *(texts[n] for n in _OF_TEAMS))
    return record if text == _text(record) else replace(record, text=text)


def in_the_form_of(old: Record, new: Record) -> Record:
    """Return a record with the comments and the order that somebody gave to an earlier one."""
    if not old.text:
        return new
    return replace(new, text=rewrite.rewritten(old.text, _content(old), _content(new)))


def damaged(folder: Path, reason: str) -> ScaffoldError:
    """Return the error that says what is wrong with a project's record."""
    path = str(folder / RECORD)
    return ScaffoldError(f"{path!r} is damaged: {reason}; restore it from version control")


def _content(record: Record) -> dict[str, Any]:
    content = {
        "template": record.template,
        "from": record.source,
        "version": record.version,
        "commit": record.commit,
        "runtime": record.runtime,
        "answers": dict(record.answers),
    }
    return {name: value for name, value in content.items() if name == "answers" or value}


def _text(record: Record) -> str:
    import yaml

    content = _content(record)
    return _HEADING + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=10_000)


def _parsed(text: str, folder: Path) -> dict[Any, Any]:
    import yaml

    if any(line.startswith(_CONFLICT) for line in text.splitlines()):
        raise damaged(folder, "it has the marks of a conflict")
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise damaged(folder, f"it is no YAML, {where}{error.problem}") from None
    except (yaml.YAMLError, ValueError):
        raise damaged(folder, "it is no YAML") from None
    except RecursionError:
        raise damaged(folder, "it is nested too deeply") from None
    if not isinstance(content, dict):
        raise damaged(folder, "it does not say template, version and answers")
    return content


def _no_project(folder: Path) -> ScaffoldError:
    """Say that there is no record, and where there is one: somebody may stand in a subfolder."""
    around = next((up for up in folder.parents if (up / RECORD).is_file()), None)
    hint = "go into one, or make one by `scaffold new`"
    if around:
        hint = f"it lies in the project {str(around)!r}: go there"
    return ScaffoldError(f"{str(folder)!r} is no project of Scaffold's: no {RECORD}; {hint}")
