"""What becomes of a project's record and answers on the way to another release."""

from __future__ import annotations

import re
from typing import Any

import pytest
from updating import NAME, Story

from scaffold import answers, migrations, reports, updates
from scaffold.errors import ScaffoldError

FILES = {"train.py": "train\n", "pyproject.toml.jinja": "[project]\n"}
AUTHOR = {"author": {"type": "str", "help": "Who", "default": "nobody"}}
CI = {"ci": {"type": "bool", "help": "A workflow", "default": True}}


def test_a_new_question_takes_its_default_and_is_named(story: Story) -> None:
    """The record has the default's value, and a line says how to answer otherwise."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES, {**NAME, **CI, **AUTHOR})
    story.start()
    told = reports.updated(story.update(), dry_run=False, commit=True)
    assert recorded(story) == {"project_name": "mine", "ci": True, "author": "nobody"}
    assert "ci: a new question, answered True; another answer: scaffold update --set ci=" in told


def test_a_new_question_is_answered_with_set(story: Story) -> None:
    """--set answers a question that only the new release has, in its type."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES, {**NAME, **CI})
    story.start()
    told = reports.updated(story.update(settings=["ci=no"]), dry_run=False, commit=True)
    assert recorded(story) == {"project_name": "mine", "ci": False}
    assert "new question" not in told


def test_an_answer_is_changed_without_another_release(story: Story) -> None:
    """--set alone renders the project's own release anew; the commit names what changed."""
    story.release("0.1.0", FILES, {**NAME, **AUTHOR})
    story.start(author="Ada")
    story.update(settings=["author=Eve"])
    assert recorded(story) == {"project_name": "mine", "author": "Eve"}
    assert story.git("log", "-1", "--format=%s") == (
        "Change author of Scaffold 0.1.0, template small\n"
    )
    assert story.update(settings=["author=Eve"]) is None


def test_a_question_that_is_gone_is_dropped_and_named(story: Story) -> None:
    """Its answer leaves the record, and a line says so."""
    story.release("0.1.0", FILES, {**NAME, **AUTHOR})
    story.release("0.2.0", FILES)
    story.start(author="Ada")
    told = reports.updated(story.update(), dry_run=False, commit=True)
    assert recorded(story) == {"project_name": "mine"}
    assert "author: no longer asked" in told


def test_a_renamed_question_keeps_its_answer(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of renames takes the answer along, on the way back too."""
    monkeypatch.setitem(migrations.RENAMED, "0.2.0", {"author": "writer"})
    story.release("0.1.0", FILES, {**NAME, **AUTHOR})
    story.release("0.2.0", FILES, {**NAME, "writer": AUTHOR["author"]})
    story.start(author="Ada")
    story.update()
    assert recorded(story) == {"project_name": "mine", "writer": "Ada"}
    story.update(to="0.1.0")
    assert recorded(story) == {"project_name": "mine", "author": "Ada"}


def test_a_changed_meaning_is_migrated(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function of a version on the way makes the new answer of the old one."""
    monkeypatch.setitem(
        migrations.CHANGED, "0.2.0", lambda known: {**known, "author": known["author"].title()}
    )
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        story.release(version, FILES, {**NAME, **AUTHOR})
    story.start(author="ada")
    story.update()
    assert recorded(story)["author"] == "Ada"


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("autor=x", "there is no question 'autor'; did you mean 'author'?"),
        ("author", "--set takes NAME=VALUE, not 'author'"),
        ("author=a\nb", "holds '\\n'"),
        ("ci=perhaps", "ci takes yes or no, not 'perhaps'"),
        ("project_name=train", "is the name of one of the project's own modules"),
    ],
)
def test_a_wrong_answer_is_refused(story: Story, setting: str, wrong: str) -> None:
    """An answer that cannot be used is one line, and nothing changes."""
    story.release("0.1.0", FILES, {**NAME, **AUTHOR, **CI})
    story.start(author="Ada", ci=True)
    assert_refused(story, re.escape(wrong), settings=[setting])


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ("", "is damaged"),
        ("<<<<<<< HEAD\n", "is damaged"),
        ("template: small\nversion: 0.1.0\nanswers: {}", "the answer to 'project_name' is missing"),
        (
            "template: small\nversion: 0.1.0\nanswers: {project_name: a, other: b}",
            "release 0.1.0 has no question 'other'",
        ),
        (
            "template: small\nversion: 0.1.0\nanswers: {project_name: [a]}",
            r"the answer to 'project_name' is \['a'\]",
        ),
        (
            'template: small\nversion: 0.1.0\nanswers: {project_name: "a\\nb"}',
            r"the answer to 'project_name' holds",
        ),
        (
            "template: other\nversion: 0.1.0\nanswers: {project_name: a}",
            "release 0.1.0 has no template 'other'",
        ),
        (
            "template: small\nversion: 0.9.0\nanswers: {project_name: a}",
            "there is no release 0.9.0 here, the newest that this tool has is 0.2.0",
        ),
        (
            "template: small\nversion: 0.1.5\nanswers: {project_name: a}",
            "there is no release '0.1.5'",
        ),
        ("template: small\nversion: ../x\nanswers: {project_name: a}", "no release '../x'"),
    ],
)
def test_a_record_that_no_release_wrote_is_refused(story: Story, record: str, wrong: str) -> None:
    """Missing answers, unknown ones, unknown templates and releases: one line, nothing changed."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES)
    story.start()
    story.write(".scaffold.yml", record)
    story.commit()
    assert_refused(story, wrong)
    with pytest.raises(ScaffoldError, match=wrong):
        updates.compare(story.project, story.history)


def test_a_release_that_does_not_exist_is_refused(story: Story) -> None:
    """--to with a version that there is not names the nearest, or the newest."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES)
    story.start()
    assert_refused(story, r"no release '0\.1\.1'; did you mean '0\.1\.0'", to="0.1.1")
    assert_refused(story, "there is no release 1.0.0 here", to="1.0.0")


def test_a_template_that_is_gone_is_named(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release without the project's template is refused in one line."""
    story.release("0.1.0", FILES)
    monkeypatch.setattr("updating.TEMPLATE", "other")
    story.release("0.2.0", FILES)
    monkeypatch.undo()
    story.start()
    assert_refused(story, r"release 0\.2\.0 has no template 'small'")


def recorded(story: Story) -> Any:
    assert story.changed == []
    return answers.read(story.project).answers


def assert_refused(story: Story, wrong: str, **how: Any) -> None:
    before, head = story.everything(), story.head
    with pytest.raises(ScaffoldError, match=wrong):
        story.update(**how)
    assert (story.everything(), story.head, story.changed) == (before, head, [])
    assert not (story.top / ".git" / "scaffold").exists()
