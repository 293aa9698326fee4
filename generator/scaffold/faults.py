"""Say what is wrong with the files of a rendered project, by their contents alone."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

_LEFT = re.compile(r"(?<!\$)\{\{|\{%")  # `${{ x }}` is what GitHub's workflows are written in.


def read(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def find(
    files: Mapping[str, bytes], rendered: Collection[str], words: Collection[str]
) -> Iterator[str]:
    """
    Find files that no parser takes, and Jinja that was left in them.

    Args:
        files: All files of a project, by path.
        rendered: The paths of those that may hold no Jinja at all.
        words: What stands in braces only where somebody meant it to be rendered.
    """
    meant = re.compile(r"\{\{-?\s*(?:" + "|".join(sorted(words)) + r")\s*[|(}]")
    for path, content in files.items():
        parse = _PARSERS.get(PurePosixPath(path).suffix)
        text = _text(content)
        if path.endswith(".jinja"):
            yield f"{path}: it was not rendered"
        if text is None:
            if parse:
                yield f"{path}: it is not UTF-8"
            continue
        left = (_LEFT if path in rendered else meant).search(text)
        if left:
            line = text.count("\n", 0, left.start()) + 1
            hint = "" if path in rendered else "; only files named *.jinja are rendered"
            yield f"{path}:{line}: Jinja is left in it{hint}"
        if parse and (wrong := _problem(parse, text)):
            yield f"{path}{wrong}"


def _problem(parse: Callable[[str], Any], text: str) -> str:
    """Say where and what is wrong, as it follows the path of a file, or nothing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parse(text)
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        return f"{line}: {error.msg}"
    except Exception as error:  # Each parser has its own.
        return " ".join(f": {type(error).__name__}: {error}".split())
    return ""


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _toml(text: str) -> None:
    # Python 3.10 brings no parser; the package that it became part of is there with pytest.
    name = next((name for name in ("tomllib", "tomli") if find_spec(name)), None)
    if name:
        import_module(name).loads(text)


def _yaml(text: str) -> None:
    import yaml

    list(yaml.compose_all(text, Loader=yaml.SafeLoader))


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".py": ast.parse,
    ".toml": _toml,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": json.loads,
    ".ipynb": json.loads,
}
