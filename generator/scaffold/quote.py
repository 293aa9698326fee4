"""
Write any line of text as a literal: one function for each syntax.

The templates call these by name (`name = {{ toml(project_name) }}`). What the
syntax's own parser reads back is the text, and nothing beside it. The result
depends on the text alone, not on the Unicode tables of the Python that runs.
"""

from __future__ import annotations

import re
import shlex

# Not allowed or not visible inside a literal: control characters, line and paragraph
# separators, marks of writing direction, the byte order mark, non-characters.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]"
)
_MARKDOWN = re.compile(
    r"""
    [\\`*\[\]<>&\#~|$]                        # special wherever they stand
    | (?<![A-Za-z0-9])_ | _(?![A-Za-z0-9])   # inside a word an underscore is only itself
    | \A[-+=:]                               # a list, a line below a heading, a definition
    """,
    re.VERBOSE,
)


def toml(text: str) -> str:
    """Quote a line of text as a basic string of TOML."""
    return _quoted(text, '"')


def yaml(text: str) -> str:
    """Quote a line of text as a double-quoted scalar of YAML."""
    return _quoted(text, '"')


def python(text: str) -> str:
    """Quote a line of text as a string of Python, in the quotes that formatters choose."""
    return _quoted(text, "'" if text.count('"') > text.count("'") else '"')


def shell(text: str) -> str:
    """Quote a line of text as one word of a POSIX shell."""
    return shlex.quote(text)


def markdown(text: str) -> str:
    """
    Escape a line of text so that Markdown shows it as it is.

    It may stand anywhere in a paragraph or heading, also where a line begins.
    """
    text = _MARKDOWN.sub(r"\\\g<0>", text)
    text = re.sub(r"\A([0-9]+)([.)])", r"\1\\\2", text)  # Would begin a numbered list.
    # Blanks at the ends would be dropped.
    return re.sub(r"\A\s|\s\Z", lambda blank: f"&#{ord(blank[0])};", text)


def _quoted(text: str, mark: str) -> str:
    """
    Quote with the escapes that TOML, YAML and Python have in common.

    JSON has them not: it writes an emoji as two halves, which the others refuse.
    """
    text = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return mark + _HIDDEN.sub(lambda hidden: f"\\u{ord(hidden[0]):04x}", text) + mark


# What templates call them.
FUNCTIONS = {quote.__name__: quote for quote in (toml, yaml, python, shell, markdown)}
