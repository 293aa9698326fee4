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
    """--set with --to answers a question that only that release has, in its type."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES, {**NAME, **CI})
    story.start()
    assert_refused(story, "0.1.0 does not ask 'ci', release 0.2.0 does.*--to", settings=["ci=no"])
    done = story.update(to="0.2.0", settings=["ci=no"])
    assert recorded(story) == {"project_name": "mine", "ci": False}
    assert "new question" not in reports.updated(done, dry_run=False, commit=True)


def test_set_alone_stays_on_the_release(story: Story) -> None:
    """Whoever changes an answer gets that and no other release; a line names the newer one."""
    story.release("0.1.0", FILES, {**NAME, **AUTHOR})
    story.release("0.2.0", {**FILES, "new.py": "new\n"}, {**NAME, **AUTHOR})
    story.start(author="Ada")
    done = story.update(settings=["author=Eve"])
    told = reports.updated(done, dry_run=False, commit=True)
    assert told.startswith("Change author of Scaffold 0.1.0, template small: 1 file, commit ")
    assert "    There is a newer release, 0.2.0: scaffold update" in told
    assert answers.read(story.project).version == "0.1.0"
    assert not (story.project / "new.py").exists()


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
        (
            "template: small\nversion: 0.1.0\nanswers: {project_name: '../x y'}",
            "the answer to 'project_name' is no name for a project",
        ),
        (
            f"template: small\nversion: {'1' * 5000}.0.0\nanswers: {{project_name: a}}",
            "there is no release '1111",
        ),
        ("template: small\nversion: 0.1.0\nanswers: {}", "the answer to 'project_name' is missing"),
        (
            "template: small\nversion: 0.1.0\nanswers: {project_name: a, other: b}",
            "release 0.1.0 has no question 'other'",
        ),
        (
            "template: small\nversion: 0.1.0\nanswers: {project_name: [a]}",
            r"the answer to 'project_name' is \['a'\], not text",
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


TYPED = {
    "ci": {"type": "bool", "help": "x", "default": True},
    "layers": {"type": "int", "help": "x", "default": 2},
    "rate": {"type": "float", "help": "x", "default": 0.5},
    "size": {"type": "str", "help": "x", "default": "small", "choices": ["small", "large"]},
    "kind": {
        "type": "str",
        "help": "x",
        "default": "a",
        "choices": {"A": "a", "B": {"value": "b"}},
    },
}
FINE = {"ci": False, "layers": 3, "rate": 1, "size": "large", "kind": "b"}


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("ci", "maybe", "is 'maybe', not yes or no"),
        ("ci", 5, "is 5, not yes or no"),
        ("layers", "x", "is 'x', not a whole number"),
        ("layers", True, "is True, not a whole number"),
        ("layers", 2.5, "is 2.5, not a whole number"),
        ("rate", "fast", "is 'fast', not a number"),
        ("size", "huge", "is 'huge', not small or large"),
        ("size", 5, "is 5, not text"),
        ("kind", "c", "is 'c', not a or b"),
        ("kind", [["a"] * 1000] * 1000, "is .*, not text"),
    ],
)
def test_a_record_with_an_impossible_answer_is_refused(
    story: Story, name: str, value: Any, wrong: str
) -> None:
    """Each answer is of its question's type and choices, whatever the command, update or not."""
    story.release("0.1.0", FILES, {**NAME, **TYPED})
    story.start(**FINE)
    assert updates.compare(story.project, story.history).merged.written == ()
    story.start(**{**FINE, name: value})
    wrong = f"scaffold.yml' is damaged: the answer to '{name}' {wrong}; restore it"
    assert_refused(story, wrong)
    with pytest.raises(ScaffoldError, match=wrong) as refusal:
        updates.compare(story.project, story.history)
    assert len(str(refusal.value)) < 300 + len(str(story.project))


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("layers=abc", "layers takes a whole number, not 'abc'"),
        ("layers=" + "9" * 5000, "layers takes a whole number, not '999"),
        ("rate=nan", "rate takes a number, not 'nan'"),
        ("size=larg", "size takes small or large, not 'larg'; did you mean 'large'?"),
        ("kind=A", "kind takes a or b, not 'A'"),
    ],
)
def test_a_setting_is_of_the_type_and_choices_of_its_question(
    story: Story, setting: str, wrong: str
) -> None:
    """A number, and one of the choices, in words of ours."""
    story.release("0.1.0", FILES, {**NAME, **TYPED})
    story.start(**FINE)
    assert_refused(story, re.escape(wrong), settings=[setting])
    story.update(settings=["layers=4", "rate=0.25", "size=small", "kind=a", "ci=yes"])
    expected = {"layers": 4, "rate": 0.25, "size": "small", "kind": "a", "ci": True}
    assert recorded(story) == {"project_name": "mine", **expected}


FORMS = {
    "comment": "template: small\nversion: 0.1.0  # pinned\nanswers:\n  project_name: mine\n",
    "order": "# Ours\nanswers:\n    project_name: 'mine'\nversion: 0.1.0\nx: x\ntemplate: small\n",
    "crlf": "template: small\r\nversion: 0.1.0\r\nanswers:\r\n  project_name: mine\r\n",
    "flow": "{template: small, version: 0.1.0, answers: {project_name: mine}}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_record_in_another_form_is_no_conflict(story: Story, form: str) -> None:
    """A formatter's order, comments and line ends: only what an update changes is another."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES)
    story.start()
    story.write(".scaffold.yml", FORMS[form])
    story.commit()
    done = story.update()
    assert done is not None
    assert not done.merged.conflicts
    assert story.read(".scaffold.yml") == FORMS[form].replace("0.1.0", "0.2.0")


def test_a_record_in_another_form_takes_questions_that_come_and_go(story: Story) -> None:
    """New answers stand behind the others, dropped ones are gone, comments stay."""
    story.release("0.1.0", FILES, {**NAME, **AUTHOR})
    story.release("0.2.0", FILES, {**NAME, **CI})
    story.start(author="Ada")
    text = "version: 0.1.0  # pinned\ntemplate: small\nanswers:\n{}    # Its name\n{}"
    story.write(".scaffold.yml", text.format("    author: Ada\n", "    project_name: mine\n"))
    story.commit()
    story.update()
    new = text.format("", "    project_name: mine\n    ci: true\n").replace("0.1.0", "0.2.0")
    assert story.read(".scaffold.yml") == new


def test_a_form_that_cannot_be_kept_becomes_ours(story: Story) -> None:
    """Where a new answer has no line to go to, the record is written as a new project's."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES, {**NAME, **CI})
    story.start()
    story.write(".scaffold.yml", FORMS["flow"])
    story.commit()
    story.update()
    assert recorded(story) == {"project_name": "mine", "ci": True}
    assert story.read(".scaffold.yml").startswith("# Where this project comes from")


def test_a_release_that_does_not_exist_is_refused(story: Story) -> None:
    """--to with a version that there is not names the nearest, or the newest."""
    story.release("0.1.0", FILES)
    story.release("0.2.0", FILES)
    story.start()
    assert_refused(story, r"no release '0\.1\.1'; did you mean '0\.1\.0'", to="0.1.1")
    assert_refused(story, "there is no release 1.0.0 here", to="1.0.0")
    assert_refused(story, "--to is empty; say which release", to="")
    assert_refused(story, "there is no release '1111", to=f"{'1' * 5000}.0.0")


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
