"""
The settings of a program: from its command line and from files, through one parser.

`Settings` is a frozen dataclass at the top of the program; its comments are the help.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import re
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scaffold_runtime.earlier import in_todays_terms
from scaffold_runtime.errors import UserError
from scaffold_runtime.files import write_whole
from scaffold_runtime.ranges import Amount, Count, Range, Share, Size
from scaffold_runtime.run_settings import CHANGEABLE, ONCE, RUNS

__all__ = [
    "Amount",
    "Count",
    "Range",
    "Share",
    "Size",
    "parse_settings",
    "plain_settings",
    "read_settings",
    "refuse_unused",
    "write_settings",
]

Settings = TypeVar("Settings")
# What Python says of a text that is no number, as a pattern.
_NO_NUMBER = {
    r"invalid literal for int\(\) with base 10": "a whole number",
    "could not convert string to float": "a number",
}


def parse_settings(settings_class: type[Settings], arguments: Sequence[str]) -> Settings:
    """
    Make the settings of command line arguments.

    `--config FILE`, anywhere and any number of times, reads a YAML file of settings;
    a later file wins over an earlier one, an option over every file. A run that is
    resumed or evaluated keeps the settings in its own `config.yaml`; only those in
    `CHANGEABLE` may be given again.

    Raises:
        UserError: A name does not exist, a value does not fit, or a run would go on
            with another; the message says which, and where it stands.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Settings:
    ...     lr: float = 1e-3  # The learning rate.
    >>> parse_settings(Settings, ["--lr", "0.5"]).lr
    0.5
    """
    files, options = _split_off_files(arguments)
    _refuse_unknown_options(settings_class, options)
    from_files = [token for file in files for token in _read_options(settings_class, file)[0]]
    settings = _parse(settings_class, [*from_files, *options])
    own = _own_config(settings)
    if own is not None:
        from_run, before = _read_options(settings_class, own)
        settings = _parse(settings_class, [*from_run, *from_files, *options])
        _refuse_changes(own, before, settings)
    return settings


def read_settings(settings_class: type[Settings], file: Path) -> Settings:
    """
    Make the settings of one YAML file, a run's `config.yaml` for example.

    Raises:
        UserError: There is no such file, or a setting in it is wrong.
    """
    return _read_options(settings_class, file)[1]


def write_settings(path: Path, settings: Any) -> None:
    """Write the settings as YAML, to be read with `--config`."""
    import yaml

    values = plain_settings(settings)
    # Written as they are, some line breaks would be read as blanks.
    readable = all(value.isprintable() for value in values.values() if isinstance(value, str))
    write_whole(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=readable).encode())


def plain_settings(settings: Any) -> dict[str, Any]:
    """
    Return what a run is, without what it is asked to do once, as plain values.

    >>> from scaffold_runtime import RunSettings
    >>> values = plain_settings(RunSettings(resume=True, seed=3))
    >>> values["seed"], "resume" in values
    (3, False)
    """
    values = dataclasses.asdict(settings)
    return {name: value for name, value in values.items() if name not in ONCE}


def refuse_unused(settings: Any, only_with: Mapping[str, tuple[str, Sequence[Any]]]) -> None:
    """
    Refuse a setting that was changed from its default where it would have no effect.

    Args:
        settings: A dataclass.
        only_with: By the name of a setting that of another, and the values of that one
            with which it has an effect.

    Raises:
        UserError: The message says which, and what it is for.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Settings:
    ...     optimizer: str = "adamw"
    ...     momentum: float = 0.9
    >>> refuse_unused(Settings(momentum=0.5), {"momentum": ("optimizer", ["sgd"])})
    Traceback (most recent call last):
    scaffold_runtime.errors.UserError: --momentum is for --optimizer sgd, and optimizer is adamw
    """
    defaults = {field.name: field.default for field in dataclasses.fields(settings)}
    for name, (other, values) in only_with.items():
        chosen = getattr(settings, other)
        if getattr(settings, name) != defaults[name] and chosen not in values:
            option, needed = (f"--{each.replace('_', '-')}" for each in (name, other))
            fitting = " or ".join(str(value) for value in values)
            shown = ", ".join(chosen) if isinstance(chosen, tuple) else chosen
            raise UserError(f"{option} is for {needed} {fitting}, and {other} is {shown}")


# --- Files ----------------------------------------------------------------


def _split_off_files(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    files: list[Path] = []
    options: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if name != "--config":
            options.append(argument)
            continue
        file = value if equals else next(remaining, "")
        if not file:
            raise UserError("--config needs the name of a YAML file")
        files.append(Path(file))
    return files, options


def _read_options(settings_class: type[Settings], file: Path) -> tuple[list[str], Settings]:
    """Turn a file's settings into options; return them with what they are by themselves."""
    options: list[str] = []
    known = set(typing.get_type_hints(settings_class))
    values = _read_yaml(file)
    if file.name == "config.yaml" and file.parent.parent.name == RUNS.name:
        values = in_todays_terms(values, known)
    for name, value in values.items():
        if name not in known:
            raise UserError(f"{file}: there is no setting {name!r}{_nearest(str(name), known)}")
        options += _tokens(settings_class, file, name, value)
    return options, _parse(settings_class, options, source=f"{file}: ")


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise UserError(f"{file} cannot be read: {reason.lower()}") from None
    except yaml.MarkedYAMLError as error:
        parts = ((error.context, error.context_mark), (error.problem, error.problem_mark))
        said = (f"{text} (line {mark.line + 1})" for text, mark in parts if text and mark)
        raise UserError(f"{file} is not YAML: {', '.join(said)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # A 13th month, for example.
        raise UserError(f"{file} is not YAML: {_first_line(error)}") from None
    if not isinstance(content, dict | None):
        raise UserError(f"{file} must hold lines of the form `name: value`")
    return content or {}


def _tokens(settings_class: type[Any], file: Path, name: str, value: Any) -> Iterator[str]:
    option = name.replace("_", "-")
    hint = typing.get_type_hints(settings_class)[name]
    if hint is bool:
        if not isinstance(value, bool):
            raise UserError(f"{file}: {name} must be true or false, not {value!r}")
        yield f"--{option}" if value else f"--no-{option}"
        return
    # As an option each of these would be a text like any other.
    misplaced = isinstance(value, bool | dict) or (
        value is None and type(None) not in typing.get_args(hint)
    )
    if misplaced or (isinstance(value, list) and typing.get_origin(hint) not in (list, tuple)):
        raise UserError(f"{file}: {name} cannot be {value!r}")
    if isinstance(value, list):
        if like := next((item for item in map(str, value) if re.match(r"-[^\d.]", item)), None):
            raise UserError(f"{file}: {name} cannot hold {like!r}: it looks like an option")
        yield f"--{option}"
        yield from map(str, value)
    else:
        yield f"--{option}={value}"  # One token: a value may look like an option.


def _refuse_changes(own: Path, before: Any, now: Any) -> None:
    for name, value in dataclasses.asdict(now).items():
        if name not in CHANGEABLE and value != getattr(before, name):
            raise UserError(
                f"{name} is {getattr(before, name)} in {own}, not {value}, and cannot change when "
                "a run goes on or is evaluated; begin another with --run"
            )


def _own_config(settings: Any) -> Path | None:
    goes_on = getattr(settings, "resume", False) or getattr(settings, "evaluate", None)
    config = RUNS / str(getattr(settings, "run", "")) / "config.yaml"
    return config if goes_on and config.exists() else None


# --- Options --------------------------------------------------------------


def _refuse_unknown_options(settings_class: type[Any], options: Sequence[str]) -> None:
    names = [field.name.replace("_", "-") for field in dataclasses.fields(settings_class)]
    hints = typing.get_type_hints(settings_class)
    known = {f"--{name}" for name in names} | {"--config", "--help"}
    known |= {f"--no-{name}" for name in names if hints[name.replace("-", "_")] is bool}
    for option in options:
        spelled = option.partition("=")[0].replace("_", "-")
        if spelled.startswith("--") and spelled not in known:
            raise UserError(f"there is no option {spelled}{_nearest(spelled, known)}")


def _parse(settings_class: type[Settings], options: Sequence[str], source: str = "") -> Settings:
    import tyro

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            settings = tyro.cli(settings_class, args=list(options), description=_description())
    except SystemExit as leaving:
        if not leaving.code:  # After --help.
            raise
        raise UserError(f"{source}{_condense(complaint.getvalue())}") from None
    for name, hint in typing.get_type_hints(settings_class, include_extras=True).items():
        value = getattr(settings, name)
        for allowed in getattr(hint, "__metadata__", ()):
            if isinstance(allowed, Range) and value not in allowed:
                raise UserError(f"{source}{name} must be {allowed}, not {value}")
    return settings


def _description() -> str:
    about = sys.modules["__main__"].__doc__ or ""
    return f"{about.strip()}\n\n--config FILE takes settings from a YAML file; options beat it."


def _condense(box: str) -> str:
    """Take the first paragraph out of the box that tyro draws around its message."""
    lines = [line.strip("│ ") for line in box.splitlines() if line.startswith("│")]
    paragraph = re.split(r"─{3,}", " ".join(lines))[0].strip()
    if left := re.fullmatch(r"Unrecognized options: (.+)", paragraph):
        return f"{left[1]!r} belongs to no option; write --name value"
    for complaint, number in _NO_NUMBER.items():
        if wrong := re.fullmatch(rf"Error parsing --(\S+): {complaint}: (.+)", paragraph):
            return f"{wrong[1].replace('-', '_')} must be {number}, not {wrong[2]}"
    return paragraph or " ".join(box.split())


def _nearest(name: str, known: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else "; --help lists all"


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())
