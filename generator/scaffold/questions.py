"""
What may be answered: to a question as copier.yml has it, and in a text at all.

Answers are data. Whatever line of text somebody gives is written as it is, or
refused in one line before anything is written.
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from scaffold.errors import ScaffoldError, did_you_mean, short

_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")
_TYPES = {"str": str, "bool": bool, "int": int, "float": float}
_CALLED = {"str": "text", "bool": "yes or no", "int": "a whole number", "float": "a number"}
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST_NAME, _LONGEST_TEXT = 100, 500  # Characters.

Question = Mapping[str, Any]  # What copier.yml says of it.


def parse(settings: Iterable[str], questions: Mapping[str, Question]) -> dict[str, Any]:
    """
    Read `NAME=VALUE` settings.

    Args:
        settings: What was typed.
        questions: What is asked, by name.

    Raises:
        ScaffoldError: A name is no question, or a value none of its type or choices.
    """
    given = {}
    known = list(questions)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ScaffoldError(f"--set takes NAME=VALUE, not {short(setting)}")
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are: {', '.join(known)}"
            raise ScaffoldError(f"there is no question {short(name)}{hint}")
        given[name] = _parsed(name, text, questions[name])
    return given


def choices(question: Question) -> list[Any] | None:
    """Return the answers to choose from; nothing if there are none, or only a render knows them."""
    listed = question.get("choices")
    if isinstance(listed, Mapping):
        listed = list(listed.items())
    if not isinstance(listed, list) or not listed:
        return None
    found = [choice[1] if isinstance(choice, (list, tuple)) else choice for choice in listed]
    found = [choice.get("value") if isinstance(choice, Mapping) else choice for choice in found]
    of_type = _TYPES.get(question.get("type", ""))
    if of_type is None or any(isinstance(choice, str) and "{" in choice for choice in found):
        return None
    try:
        return [of_type(choice) for choice in found]
    except (TypeError, ValueError):
        return None


def misfit(value: Any, question: Question) -> str:
    """Say why a value is no answer to a question, as the end of a sentence, or nothing."""
    of_type = _TYPES.get(question.get("type", ""))
    if of_type is None:
        return ""
    numbers = (int, float) if of_type is float else of_type
    if not isinstance(value, numbers) or (isinstance(value, bool) and of_type is not bool):
        return f"is {short(value)}, not {_CALLED[question['type']]}"
    possible = choices(question)
    if possible is not None and value not in possible:
        return f"is {short(value)}, not {_listed(possible)}"
    return ""


def shown(value: Any) -> str:
    """Write an answer as it is typed."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


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
            raise ScaffoldError(f"{name} {short(value)} {reason}{hint}")


def problem(name: str, value: Any, taken: Mapping[str, str]) -> str:
    """Say what is wrong with one answer, as the end of a sentence, or nothing."""
    wrong = problem_anywhere(name, value, taken)
    return wrong or (_problem_here(value) if name == "project_name" else "")


def problem_anywhere(name: str, value: Any, taken: Mapping[str, str]) -> str:
    """Say what is wrong with an answer whatever this Python is and has installed."""
    if not isinstance(value, str):
        return ""  # Its type has been checked.
    longest = _LONGEST_NAME if name == "project_name" else _LONGEST_TEXT
    if len(value) > longest:
        return f"is too long: {len(value)} characters, where {longest} are allowed"
    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            return f"holds {character!r}; it must be one line of plain text"
    if name != "project_name":
        return ""
    if not _NAME.fullmatch(value):
        return "is no name for a project: letters, digits, '-', '_' and '.' inside"
    by_module = {module_of(other): what for other, what in taken.items()}
    what = by_module.get(module_of(value))
    return f"is the name of {what}" if what else ""


def suggestion(name: str, taken: Mapping[str, str]) -> str:
    """Return the usable project name nearest to this one; a usable one is returned as it is."""
    if not problem("project_name", name, taken):
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", plain)[: _LONGEST_NAME // 2].strip("-._").lower()
    usable = plain and not problem("project_name", plain, taken)
    return plain if usable else f"my-{plain or 'project'}"


def module_of(name: str) -> str:
    """Return the module name that distributions of this name would have, in lower case."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _parsed(name: str, text: str, question: Question) -> Any:
    kind = question.get("type", "")
    value: Any = text
    if kind == "bool":
        value = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}.get(text.lower())
    elif kind in ("int", "float"):
        value = _number(text, _TYPES[kind])
    possible = choices(question)
    if value is not None and (possible is None or value in possible):
        return value
    expected = _CALLED.get(kind, "text") if possible is None else _listed(possible)
    nearest = did_you_mean(text, map(shown, possible)) if possible else ""
    raise ScaffoldError(f"{name} takes {expected}, not {short(text)}{nearest}")


def _number(text: str, of_type: type) -> Any:
    try:
        value = of_type(text)
        return value if math.isfinite(value) else None
    except (ValueError, OverflowError):
        return None


def _listed(possible: list[Any]) -> str:
    return " or ".join(map(shown, possible))


def _problem_here(name: str) -> str:
    if module_of(name) in {module_of(module) for module in sys.stdlib_module_names}:
        return "is the name of a module of Python's standard library"
    return "is the name of an installed package" if _is_installed(name) else ""


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
