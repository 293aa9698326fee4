"""Any line of text, written as a literal, is read back as the same text."""

from __future__ import annotations

import ast
import subprocess
import sys
import unicodedata

import pytest
import yaml as yaml_parser
from hypothesis import example, given, settings, strategies
from texts import LINES, shown

from scaffold.quote import markdown, python, shell, toml, yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@given(LINES)
@settings(max_examples=300, deadline=None)
@example("")
@example('"]\ndependencies = ["evil"]'.replace("\n", " "))
def test_toml_reads_the_text_back(text: str) -> None:
    """A TOML parser reads the text, and no other key."""
    assert tomllib.loads(f"a = {toml(text)}\nb = [{toml(text)}]") == {"a": text, "b": [text]}


@given(LINES)
@settings(max_examples=300, deadline=None)
def test_yaml_reads_the_text_back(text: str) -> None:
    """A YAML parser reads the text, as a value, a key and in a list."""
    document = f"a: {yaml(text)}\nb: [{yaml(text)}, 1]\n{yaml('k' + text)}: 2\n"
    assert yaml_parser.safe_load(document) == {"a": text, "b": [text, 1], "k" + text: 2}


@given(LINES)
@settings(max_examples=300, deadline=None)
def test_python_reads_the_text_back(text: str) -> None:
    """Python reads the text, and nothing that it could run."""
    assert ast.literal_eval(f"[{python(text)}, 1]") == [text, 1]


@given(strategies.lists(LINES, min_size=20, max_size=20))
@settings(max_examples=20, deadline=None)
def test_the_shell_reads_the_texts_back(texts: list[str]) -> None:
    """A shell reads each text as one word, and runs nothing of it."""
    script = f"printf '%s\\n' {' '.join(map(shell, texts))}"
    done = subprocess.run(["bash"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\n")[:-1] == texts


@given(LINES)
@settings(max_examples=500, deadline=None)
@example("1234. a list")
@example("[a]: http://b")
def test_markdown_shows_the_text(text: str) -> None:
    """Markdown shows the text, in a heading, a paragraph and within a line, and no markup."""
    visible = text if text.strip() else f"a{text}a"  # An empty paragraph is none.
    quoted = markdown(visible)
    assert shown(f"# {quoted}\n\n{quoted}\n\nBy {quoted}.\n") == [
        visible,
        visible,
        f"By {visible}.",
    ]


@pytest.mark.parametrize("name", ["my-supervised", "my_project", "digits.2"])
def test_usual_names_stay_as_they_are_in_markdown(name: str) -> None:
    """A usual project name is not littered with backslashes."""
    assert markdown(name) == name


def test_a_literal_does_not_depend_on_the_unicode_tables_at_hand() -> None:
    """A letter that this Python does not know yet is written as itself."""
    unknown = next(chr(n) for n in range(0x1FA00, 0x1FB00) if unicodedata.category(chr(n)) == "Cn")
    assert toml(unknown) == f'"{unknown}"'
