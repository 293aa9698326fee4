"""Change values in a text of YAML, and leave comments, order and all else as somebody wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_Edit = tuple[int, int, str]  # From where to where in the text, and what is to stand there.


def rewritten(text: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """
    Return a text with other values; nothing, if its form does not allow that.

    Args:
        text: A mapping of names to plain values and to mappings, each on lines of its own.
        old: What it says; it may say more.
        new: What it is to say instead.
    """
    import yaml

    try:
        edits = sorted(_edits(text, yaml.compose(text, yaml.SafeLoader), old, new))
        for start, end, instead in reversed(edits):
            text = text[:start] + instead + text[end:]
        said = yaml.safe_load(text)
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError):
        return ""
    names = old.keys() | new.keys()
    return text if all(said.get(name) == new.get(name) for name in names) else ""


def _edits(text: str, node: Any, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[_Edit]:
    items = {key.value: (key, value) for key, value in node.value}
    last = [item for item in items.values() if _is_line(item[1])][-1]
    for name in old.keys() - new.keys():
        yield *_line(text, items[name]), ""
    for name, value in new.items():
        if name not in old:
            end = _line(text, last)[1]
            indent = " " * last[0].start_mark.column
            yield end, end, f"{indent}{name}: {_scalar(value)}{_line_break(text)}"
        elif isinstance(value, Mapping):
            yield from _edits(text, items[name][1], old[name], value)
        elif value != old[name]:
            there = items[name][1]
            if not _is_line(there):
                raise ValueError(f"{name} has several lines")
            style = there.style if isinstance(value, str) else None
            yield there.start_mark.index, there.end_mark.index, _scalar(value, style)


def _is_line(node: Any) -> bool:
    """Say whether a value is one of those that stand on one line, behind their name."""
    return bool(node.id == "scalar" and node.start_mark.line == node.end_mark.line)


def _line(text: str, item: tuple[Any, Any]) -> tuple[int, int]:
    """Return where the line begins that has a name and its value, and where the next one does."""
    start = text.rfind("\n", 0, item[0].start_mark.index) + 1
    end = text.find("\n", item[1].end_mark.index) + 1
    if not end or text[start : item[0].start_mark.index].strip():
        raise ValueError("it is no line of its own")
    return start, end


def _line_break(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _scalar(value: Any, style: str | None = None) -> str:
    import yaml

    written = yaml.safe_dump(value, allow_unicode=True, width=10_000, default_style=style)
    return written.removesuffix("\n...\n").removesuffix("\n")
