"""`scaffold check`: every combination of answers, and a fault of each kind."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from teams import COPIER, Team

from scaffold import checks, programs
from scaffold.checks import Outcome
from scaffold.errors import ScaffoldError

RULES = '[tool.ruff]\nline-length = 100\n\n[tool.ruff.lint]\nselect = ["F"]\n'


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Templates with nothing wrong, and a runtime of their own."""
    team = Team(tmp_path / "team")
    team.write("mine/train.py", "print(1)\n")
    team.write("runtime/scaffold_runtime/__init__.py", "")
    return team


def outcomes(team: Team, template: str | None = None) -> list[Outcome]:
    return list(checks.check(team.folder, template, tests=False))


def test_every_combination_has_a_line(team: Team) -> None:
    """Yes and no, each choice, plain and hostile texts: the product of them."""
    more = "size:\n  type: str\n  help: How large\n  choices: [small, large]\n  default: small\n"
    team.write("copier.yml", COPIER + more)
    lines = [str(outcome) for outcome in outcomes(team)]
    assert lines[0] == "mine  docs=yes size=small plain texts: ok, 5 files, tests left out"
    assert [line.partition(":")[0] for line in lines] == [
        f"mine  docs={docs} size={size} {texts} texts"
        for docs in ("yes", "no")
        for size in ("small", "large")
        for texts in ("plain", "hostile")
    ]


def test_a_question_that_is_not_asked_makes_no_combinations(team: Team) -> None:
    """What is asked only after a yes is not varied after a no."""
    more = "deep:\n  type: bool\n  help: x\n  default: no\n  when: '{{ docs }}'\n"
    team.write("copier.yml", COPIER + more)
    found = [outcome.what for outcome in outcomes(team) if "plain" in outcome.what]
    assert len(found) == 3


def test_names_must_be_known(team: Team) -> None:
    """Without the line that makes Jinja strict, a misspelt name would go unnoticed."""
    team.write("copier.yml", COPIER.replace("_envops:\n  undefined: jinja2.StrictUndefined\n", ""))
    outcome = str(outcomes(team)[0])
    assert outcome.startswith("copier.yml: FAILED")
    assert "set undefined to jinja2.StrictUndefined in _envops" in outcome


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("train.py", "print(\n", "train.py:1: '(' was never closed"),
        ("train.py", "a\0b", "train.py: source code string cannot contain null bytes"),
        ("train.py", "NAME = '{{ project_name }}'\n", "train.py:1: Jinja is left in it; only"),
        ("a.toml", "a = \n", "a.toml: TOMLDecodeError"),
        ("a.yml", "a: [\n", "a.yml: ParserError"),
        ("a.json", "{,}\n", "a.json: JSONDecodeError"),
        ("a.md.jinja", "{{ project_nam }}\n", "a.md.jinja, line 1: 'project_nam' is undefined"),
        ("a.md.jinja", "x\n{{ '{{ x }}' }}\n", "a.md:2: Jinja is left in it"),
        (
            "a.md.jinja",
            "{{ range(99999) | random }} {{ range(99999) | random }}\n",
            "a.md: rendered twice, it differs",
        ),
        ("DOCS.md", "Also here\n", "lies in two places"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Copier's.
def test_a_fault_is_named(team: Team, path: str, text: str, fault: str) -> None:
    """The outcome says which file, and what is wrong with it."""
    team.write(f"mine/{path}", text)
    assert fault in str(outcomes(team)[0])


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("a.py.jinja", "A = '{{ project_name }}{{ note }}'\n"),
        ("a.toml.jinja", 'a = "{{ note }}"\n'),
        ("a.yaml.jinja", 'a: "{{ note }}"\n'),
        ("a.json.jinja", '["{{ note }}"]\n'),
    ],
)
def test_a_text_that_is_not_quoted_is_found(team: Team, path: str, template: str) -> None:
    """Plain texts pass, hostile ones break the file: exactly those combinations fail."""
    more = "note:\n  type: str\n  help: x\n  default: ''\n"
    team.write("copier.yml", COPIER + more)
    team.write(f"mine/{path}", template)
    found = {outcome.what: bool(outcome.faults) for outcome in outcomes(team)}
    assert found == {what: "hostile" in what for what in found}


def test_a_workflow_with_its_own_braces_is_no_fault(team: Team) -> None:
    """`${{ x }}` is what a workflow is written in."""
    team.write("mine/a.yml", "a: ${{ matrix.docs }}\n")
    team.write("mine/b.yml.jinja", "a: ${{ '{{' }} matrix.python }}\n")
    assert not any(outcome.faults for outcome in outcomes(team))


@pytest.mark.parametrize(
    ("text", "fault"), [("x=1\n", "ruff format: "), ("import os\n", "ruff check: ")]
)
def test_ruff_is_asked_where_there_are_rules(team: Team, text: str, fault: str) -> None:
    """A project without rules for ruff is not held to any."""
    team.write("mine/train.py", text)
    assert not outcomes(team)[0].faults
    team.write("mine/pyproject.toml", RULES)
    assert fault in str(outcomes(team)[0])


def test_rules_are_not_for_a_runtime_that_is_lent(tmp_path: Path) -> None:
    """Where a team brings no runtime, ruff is asked about its own files alone."""
    team = Team(tmp_path / "team")
    team.write("mine/train.py", "print(1)\n")
    team.write("mine/pyproject.toml", '[tool.ruff.lint]\nselect = ["BLE", "T20"]\n')
    found = str(outcomes(team)[0])
    assert "train.py:1:1: T201" in found
    assert "scaffold_runtime" not in found


BARE = COPIER[: COPIER.index("docs:")].replace("{% if not docs %}/DOCS.md{% endif %}", "/no.md")
SIZE = "size:\n  type: str\n  help: How large\n  choices: [small, large]\n  default: small\n"


def test_tests_run_for_every_content(team: Team) -> None:
    """An answer that changes nothing but a line of a file is tested with each of its values."""
    team.write("copier.yml", BARE + SIZE)
    team.write("mine/conf.py.jinja", "SIZE = {{ python(size) }}\n")
    code = 'from conf import SIZE\n\n\ndef test_it():\n    assert SIZE == "small"\n'
    team.write("mine/tests/test_it.py", code)
    team.write("mine/conftest.py", "")
    found = {outcome.what: bool(outcome.faults) for outcome in checks.check(team.folder)}
    assert len(found) == 4
    assert found == {what: "size=large" in what for what in found}


def test_hostile_texts_are_tested_too(team: Team) -> None:
    """A text that parses everywhere and breaks a program is found by its tests."""
    team.write("copier.yml", f"{BARE}note:\n  type: str\n  help: x\n  default: ''\n")
    team.write("mine/note.txt.jinja", "{{ note }}")
    code = "from pathlib import Path\n\n\ndef test_it():\n    assert '$' not in Path('note.txt')"
    team.write("mine/tests/test_it.py", f"{code}.read_text()\n")
    found = {outcome.what: bool(outcome.faults) for outcome in checks.check(team.folder)}
    assert found == {what: "hostile" in what for what in found}


def test_projects_that_are_alike_are_tested_once(team: Team, tmp_path: Path) -> None:
    """What an answer leaves as it is runs once; a second time its outcome is said, good or bad."""
    team.write("copier.yml", BARE + SIZE)
    log = tmp_path / "log"
    code = f"def test_it():\n    with open({str(log)!r}, 'a') as log:\n        log.write('x')\n"
    team.write("mine/tests/test_it.py", code)
    team.write("mine/README.md.jinja", "Nobody's name\n")
    said = [outcome.passed for outcome in checks.check(team.folder)]
    assert log.read_text() == "x"
    assert ["as above" in passed for passed in said] == [False, *[True] * 3]
    team.write("mine/tests/test_it.py", f"{code}    assert False\n")
    bad = list(checks.check(team.folder))
    assert log.read_text() == "xx"
    assert all(outcome.faults for outcome in bad)
    assert bad[-1].faults == ("tests: FAILED tests/test_it.py::test_it - assert False, as above",)


def test_a_failure_says_why(scaffold: Any, team: Team) -> None:
    """Status 1, the test and its error; also where a test cannot be imported at all."""
    team.write("copier.yml", BARE)
    team.write("mine/tests/test_it.py", "import nothere\n")
    done = scaffold("check", "team", "--template", "mine")
    assert done.returncode == 1
    assert "mine  plain texts: FAILED\n    tests: ERROR tests/test_it.py" in done.stdout
    assert "No module named 'nothere'" in done.stdout
    assert scaffold("check", "team", "--no-tests").returncode == 0


def test_what_failed_can_be_kept(
    team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """--keep leaves the project that fails, and says where; without it nothing is left."""
    (tmp_path / "rendered").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "rendered"))
    team.write("mine/train.py", "print(\n")
    outcomes(team)
    assert list((tmp_path / "rendered").iterdir()) == []
    said = next(checks.check(team.folder, tests=False, keep=True)).faults[-1]
    kept = Path(said.removeprefix("kept in "))
    assert (kept / "train.py").read_text() == "print(\n"


def test_what_may_not_be_in_a_template_is_a_fault(scaffold: Any, team: Team) -> None:
    """A folder that `new --from` would refuse fails, in one line."""
    team.write("copier.yml", f"{COPIER}_tasks: ['touch evil']\n")
    done = scaffold("check", "team")
    assert (done.returncode, done.stdout.count("\n")) == (1, 2)
    assert "only with --trust" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["missing"], "'missing' does not exist"),
        (["team/copier.yml"], "'team/copier.yml' is a file"),
        (["."], "there are no templates in '.'"),
        (["team", "--template", "mime"], "did you mean 'mine'?"),
        ([], "missing argument"),
    ],
)
def test_a_wrong_call_is_one_line(
    scaffold: Any, team: Team, arguments: list[str], line: str
) -> None:
    """Status 2, nothing on the standard output."""
    done = scaffold("check", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert line in done.stderr


def test_a_folder_named_templates_has_its_runtime_beside_it(team: Team, tmp_path: Path) -> None:
    """As in our repository: `templates/` and `runtime/scaffold_runtime/`; from either folder."""
    team.write("mine/own.py", "OWN = 1\n")
    inner = tmp_path / "repository" / "templates"
    inner.parent.mkdir()
    team.folder.rename(inner)
    (inner / "runtime").rename(inner.parent / "runtime")
    for path in (inner, inner.parent):
        assert "6 files" in str(next(checks.check(path, tests=False)))


def test_help_says_that_tests_are_executed(scaffold: Any) -> None:
    """Nobody checks templates without knowing that their code is run."""
    assert "executes the tests" in " ".join(scaffold("check", "--help").stdout.split())


def test_pytest_is_needed_only_for_tests(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pytest, one line names the option that does without."""
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    with pytest.raises(ScaffoldError, match=r"pytest is not installed here.*--no-tests"):
        next(checks.check(team.folder))
