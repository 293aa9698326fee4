"""Texts that somebody might give, and how Markdown shows them."""

from __future__ import annotations

from hypothesis import strategies
from markdown_it import MarkdownIt

REFUSED = ("Cc", "Cs", "Zl", "Zp")  # What answers.py lets nobody write.
SNIPPETS = [
    *"\"'\\`$#&|;<>*_~!?()[]{}=+-:,.%@^/ ",
    *("{{ 7*7 }}", "{% for %}", "{#", "../", "${HOME}", "$(id)", "`id`", '"""', "'''", "]]", "\\n"),
    *("- ", "+ ", "* ", "1. ", "1) ", "# ", "> ", "---", "===", "***", "    ", "![a](b)", "<b>"),
    *("&amp;", "&#32;", "__a__", "a_b", "~~", "http://a.b", ": ", "!!python/name:os", "%YAML"),
    *("\u00e9", "\u4f60", "\U0001f600", "\U0001f469\u200d\U0001f52c", "\u202e", "\ufeff", "\u3000"),
]
LINES = strategies.lists(
    strategies.sampled_from(SNIPPETS)
    | strategies.characters(exclude_categories=REFUSED)  # type: ignore[arg-type]
    | strategies.text("abc019", min_size=1, max_size=3)
).map("".join)


def shown(document: str) -> list[str]:
    """Return the texts that a Markdown document shows; anything but plain text is an error."""
    tokens = [token for token in MarkdownIt("commonmark").parse(document) if token.children]
    children = [child for token in tokens for child in token.children or []]
    assert {child.type for child in children} <= {"text", "text_special"}
    return ["".join(child.content for child in token.children or []) for token in tokens]
