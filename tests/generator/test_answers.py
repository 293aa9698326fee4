"""Answers are data: files that say exactly them, or one line that refuses."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from comparing import contents
from hypothesis import example, given, settings, strategies
from texts import LINES, shown

from scaffold import answers, project, questions
from scaffold.answers import Record
from scaffold.errors import ScaffoldError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HARMLESS = {"project_name": "digits", "description": "About digits", "author": "Ada"}
ANYTHING = (
    LINES | strategies.text(max_size=20) | strategies.sampled_from(["a\nb", "\x00", "\ud800"])
)
NAMES = strategies.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{2,30}[A-Za-z0-9]", fullmatch=True) | LINES
ANSWERS = strategies.fixed_dictionaries(
    {"project_name": NAMES, "description": ANYTHING, "author": ANYTHING}
)


@given(ANSWERS)
@settings(max_examples=200, deadline=None)
@example(HARMLESS | {"description": '"]\ndependencies = ["evil"]'})
@example(HARMLESS | {"description": "{{ cycler.__init__.__globals__ }}{% raw %}"})
@example(HARMLESS | {"author": '"}, {name="Eve"}] # \U0001f600'})
@example(HARMLESS | {"project_name": "../escape"})
def test_any_answers_give_correct_files_or_one_line(
    small: Path, answers: Mapping[str, str]
) -> None:
    """Whatever the answers, nothing is written, or each file says them and nothing beside."""
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder, "new")
        refusal = refused(answers, small, new)
        if refusal:
            assert "\n" not in refusal
            assert list(Path(folder).iterdir()) == []
        else:
            assert list(contents(new)) == harmless_files(small)
            assert_says(contents(new), answers)


@given(strategies.text(min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_line_of_text_is_a_description(text: str) -> None:
    """Nothing is refused but what is no line of text: control characters, line breaks."""
    encodable = text.encode("utf-8", "ignore").decode() == text
    plain = len(text.splitlines()) == 1 and not any(
        ord(c) < 32 or 127 <= ord(c) < 160 for c in text
    )
    one_line = plain and text.splitlines()[0] == text
    assert (questions.problem("description", text, {}) == "") == (encodable and one_line)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("torch", "a package it depends on"),
        ("PyYAML", "a package it depends on"),
        ("train", "one of the project's own modules"),
        ("scaffold-runtime", "one of the project's own modules"),
        ("Tests", "one of the project's own modules"),
        ("random", "a module of Python's standard library"),
        ("Concurrent", "a module of Python's standard library"),
        ("copier", "an installed package"),
        ("torch.Scaffold", "an installed package"),
        ("markdown-it.py", "an installed package"),
    ],
)
def test_a_name_that_shadows_a_module_is_refused(
    small: Path, tmp_path: Path, name: str, whose: str
) -> None:
    """A project cannot be called like a module that it would hide, or that would hide it."""
    with pytest.raises(ScaffoldError, match=f"is the name of {whose}"):
        files_with(HARMLESS | {"project_name": name}, small, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "a b", "a/b", "\u00e9", "a\n", "a" * 101, "..", "."]
)
def test_a_name_that_pip_does_not_know_is_refused(small: Path, tmp_path: Path, name: str) -> None:
    """A project's name is one that pip accepts: ASCII letters, digits, and -_. inside."""
    with pytest.raises(ScaffoldError, match=r"^project_name"):
        files_with(HARMLESS | {"project_name": name}, small, tmp_path / "new")


def test_every_refused_folder_name_gets_a_usable_suggestion(small: Path, tmp_path: Path) -> None:
    """A folder whose name is no project name is refused with a name that works."""
    for name in ["My Project", "torch", "\u00fcbung 1", "\u4f60\u597d", "train", "_", "a" * 150]:
        with pytest.raises(ScaffoldError, match="--set project_name=") as refusal:
            project.create(str(tmp_path / name), "supervised", history=small)
        suggested = str(refusal.value).rpartition("=")[2]
        files_with(HARMLESS | {"project_name": suggested}, small, tmp_path / f"good {name}")


def test_too_long_an_answer_is_refused(small: Path, tmp_path: Path) -> None:
    """A text of more than 500 characters is no line any more."""
    with pytest.raises(ScaffoldError, match="too long: 501"):
        files_with(HARMLESS | {"author": "a" * 501}, small, tmp_path / "new")


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """The record holds template, version and answers, and says what it is for."""
    record = Record(
        "supervised", "1.2.3", {"project_name": "a", "description": "\u00e9: '\"#", "n": 3}
    )
    answers.write(record, tmp_path)
    assert answers.read(tmp_path) == record
    assert (tmp_path / ".scaffold.yml").read_text().startswith("# Where this project comes from")


def test_a_record_in_another_form_says_the_same(tmp_path: Path) -> None:
    """Order, comments, line ends and further keys are the user's; written back, they are there."""
    text = "# Ours\r\nanswers: {a: 1}\r\nversion: 1.0.0 # pinned\r\nteam: x\r\ntemplate: small\r\n"
    (tmp_path / ".scaffold.yml").write_bytes(text.encode())
    record = answers.read(tmp_path)
    assert record == Record("small", "1.0.0", {"a": 1})
    answers.write(record, tmp_path)
    assert (tmp_path / ".scaffold.yml").read_bytes() == text.encode()


SAID = "template: small\nversion: 1.0.0\nanswers: {}\n"


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ("", "it does not say template, version and answers"),
        ("- 1", "it does not say template, version and answers"),
        ("text", "it does not say template, version and answers"),
        ("a: [", "it is no YAML, line 1: "),
        ("\x00", "it is no YAML"),
        ("1: " + "1" * 5000, "it is no YAML"),
        (b"\xff", "it is not UTF-8"),
        ("[" * 20_000, "it is nested too deeply"),
        ("<<<<<<< HEAD\n" + SAID, "it has the marks of a conflict"),
        (SAID.replace("template", "tmplate"), "it has no `template`"),
        (SAID.replace("1.0.0", "0.1"), "its `version` is 0.1, not text; quotes make it one"),
        (SAID.replace("1.0.0", "~"), "its `version` is None, not text"),
        (SAID + "from: [1]\n", r"its `from` is \[1\], not text"),
        (SAID.replace("{}", "[1]"), "it has no `answers`, each with"),
        (SAID.replace("{}", "{1: a}"), "it has no `answers`, each with"),
    ],
    ids=str,
)
def test_a_damaged_record_is_refused_in_one_line(
    tmp_path: Path, record: str | bytes, wrong: str
) -> None:
    """A record that Scaffold did not write: what is wrong with it, and none of Python's words."""
    (tmp_path / ".scaffold.yml").write_bytes(
        record if isinstance(record, bytes) else record.encode()
    )
    with pytest.raises(ScaffoldError, match=rf"scaffold\.yml' is damaged: {wrong}") as refusal:
        answers.read(tmp_path)
    assert len(str(refusal.value)) < 300 + len(str(tmp_path))
    assert "Error" not in str(refusal.value)


def test_a_record_that_cannot_be_read_is_no_damage(tmp_path: Path) -> None:
    """A folder of its name is called what it is."""
    (tmp_path / ".scaffold.yml").mkdir()
    with pytest.raises(ScaffoldError, match=r"scaffold.yml' cannot be read: Is a directory"):
        answers.read(tmp_path)


def test_a_folder_without_a_record_is_no_project(tmp_path: Path) -> None:
    """A folder without a record is refused in one line that says what to do."""
    with pytest.raises(ScaffoldError, match=r"no \.scaffold\.yml; go into one, or make one by"):
        answers.read(tmp_path)


def test_from_a_folder_of_a_project_the_project_is_named(tmp_path: Path) -> None:
    """Whoever stands in a subfolder is told where the project is."""
    inside = tmp_path / "project" / "tests" / "data"
    inside.mkdir(parents=True)
    answers.write(Record("small", "1.0.0", {}), tmp_path / "project")
    with pytest.raises(ScaffoldError, match=r"it lies in the project '.*/project': go there"):
        answers.read(inside)


def refused(given: Mapping[str, str], history: Path, folder: Path) -> str:
    """Make a project, or return the message that refuses it."""
    try:
        files_with(given, history, folder)
    except ScaffoldError as error:
        return str(error)
    return ""


@functools.cache
def harmless_files(history: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        return list(files_with(HARMLESS, history, Path(folder, "harmless")))


def files_with(given: Mapping[str, str], history: Path, folder: Path) -> dict[str, bytes]:
    pairs = [f"{name}={value}" for name, value in given.items()]
    project.create(str(folder), "supervised", pairs, repository=False, history=history)
    return contents(folder)


def assert_says(files: Mapping[str, bytes], given: Mapping[str, str]) -> None:
    """Every rendered file parses, and holds the answers and what it holds for harmless ones."""
    text = {path: content.decode() for path, content in files.items()}
    name, description, author = given["project_name"], given["description"], given["author"]

    assert_metadata(tomllib.loads(text["pyproject.toml"]), given)
    chosen = yaml.safe_load(text[".scaffold.yml"])["answers"]
    assert chosen == {**given, "ci": True, "docker": False}
    assert yaml.safe_load(text["settings.yaml"]) == {"name": name, "about": [description, author]}
    assert ast.unparse(ast.parse(text["facts.py"])) == f"FACTS = [{description!r}, {author!r}]"
    said = subprocess.run(["bash"], input=files["say.sh"], capture_output=True, check=True)
    assert said.stdout.decode() == f"{name}\n{description}\n{author}\n"
    paragraphs = [name, *([description] if description else []), f"By {author}."]
    assert shown(text["README.md"]) == paragraphs


def assert_metadata(pyproject: dict[str, Any], given: Mapping[str, str]) -> None:
    metadata = pyproject["project"]
    assert metadata.pop("name") == given["project_name"]
    assert metadata.pop("description") == given["description"]
    assert metadata.pop("authors", None) == (
        [{"name": given["author"]}] if given["author"] else None
    )
    assert metadata.keys() == {
        "version",
        "requires-python",
        "dependencies",
        "optional-dependencies",
    }
    assert len(metadata["dependencies"]) == 7
    assert pyproject.keys() == {"build-system", "project", "tool"}
