"""Every template as it is rendered: clean, whole, and passing its own tests."""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import NewProject
from sklearn.datasets import load_digits
from templates.conftest import Python

from scaffold import checks, programs, questions, releases, render
from scaffold.releases import Release

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(path.parent.name for path in REPOSITORY.glob("templates/*/template.yml"))
RELEASE = Release("0.0.1", releases.working_tree(REPOSITORY))
DEFAULTS = {  # Of the questions that are answered with yes or no.
    name: question["default"]
    for name, question in render.questions(RELEASE).items()
    if question["type"] == "bool"
}
FILES = {  # What a yes brings.
    "ci": {".github/workflows/tests.yml"},
    "docker": {"Dockerfile", ".dockerignore"},
}


@pytest.fixture(scope="module", params=TEMPLATES)
def project(
    request: pytest.FixtureRequest,
    new_project: NewProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A project of each template, with the default answers."""
    return new_project(request.param, tmp_path_factory.mktemp("rendered") / f"my-{request.param}")


@pytest.mark.parametrize("answers", list(itertools.product((True, False), repeat=len(DEFAULTS))))
def test_an_answer_adds_or_leaves_out_its_files_alone(
    project: Path, new_project: NewProject, tmp_path: Path, answers: tuple[bool, ...]
) -> None:
    """With every combination of answers, all other files are those of the default answers."""
    chosen = dict(zip(DEFAULTS, answers, strict=True))
    settings = {name: questions.shown(answer) for name, answer in chosen.items()}
    other = new_project(project.name.removeprefix("my-"), tmp_path / project.name, **settings)
    expected = {path.relative_to(project): path.read_bytes() for path in files(project)}
    found = {path.relative_to(other): path.read_bytes() for path in files(other)}

    assert expected.keys() - found.keys() == brought(DEFAULTS) - brought(chosen)
    assert found.keys() - expected.keys() == brought(chosen) - brought(DEFAULTS)
    for path in (expected.keys() & found.keys()) - {Path(".scaffold.yml")}:
        assert found[path] == expected[path], path


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_combination_of_answers_is_clean(template: str) -> None:
    """Whatever the answers and texts: formatted, lint-clean, parsed, no Jinja, the same twice."""
    outcomes = list(checks.check_template(RELEASE, template, programs.Tests(wanted=False)))

    assert len(outcomes) == 2 * 2 ** len(DEFAULTS)
    assert [str(outcome) for outcome in outcomes if outcome.faults] == []


@pytest.mark.slow
def test_a_fast_dev_run_goes_through_everything(project: Path, python: Python) -> None:
    """One batch of everything works as rendered, and leaves nothing."""
    before = set(files(project))
    ended = python(project, "-W", "default", "train.py", "--fast-dev-run")  # A new process.

    assert (ended.returncode, ended.stderr) == (0, "")
    assert set(files(project)) == before


def test_the_workflow_is_one(project: Path) -> None:
    """It is YAML that GitHub reads: on push, steps that check out, install and test."""
    workflow = yaml.safe_load((project / ".github/workflows/tests.yml").read_text())
    commands = [step.get("run", step.get("uses")) for step in workflow["jobs"]["tests"]["steps"]]

    assert {"push", "pull_request"} <= workflow[True].keys()  # YAML 1.1 reads `on` as true.
    assert "actions/checkout@v4" in commands
    assert commands[-1] == "python -m pytest"


def test_a_readme_names_files_that_are_there(project: Path) -> None:
    """Every file that README.md, RUNS.md and AGENTS.md name lies in the project, or in a run."""
    for page in ("README.md", "RUNS.md", "AGENTS.md"):
        text = (project / page).read_text(encoding="utf-8")
        named = set(re.findall(r"(?<![\w/.])((?:[\w-]+/)*[\w-]+\.(?:py|md|toml))(?![\w/])", text))
        for name in named:
            assert (project / name).exists() or list(project.glob(f"*/{name}")), (page, name)


def test_python_files_are_those_of_the_template(project: Path) -> None:
    """A Python file reaches the user byte for byte as it lies in the repository."""
    template = REPOSITORY / "templates" / project.name.removeprefix("my-")
    places = [REPOSITORY / "runtime", template, template.parent / "base"]

    for path in files(project):
        if path.suffix == ".py":
            name = path.relative_to(project)
            ours = next(place / name for place in places if (place / name).exists())
            assert path.read_bytes() == ours.read_bytes(), name


def test_train_py_is_short(project: Path) -> None:
    """The program that the user edits has at most 120 lines."""
    assert len((project / "train.py").read_text(encoding="utf-8").splitlines()) <= 120


def test_a_project_imports_only_what_it_declares(project: Path) -> None:
    """Everything its files import at their top comes with Python, torch or itself."""
    own = {path.stem for path in project.glob("*.py")} | {"scaffold_runtime"}
    declared = {"torch", "numpy", "tyro", "matplotlib", "PIL"}

    for path in project.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [node.names[0].name]
                top = str(names[0]).partition(".")[0]
                assert top in own | declared | sys.stdlib_module_names, (path.name, top)


@pytest.mark.slow
@pytest.mark.parametrize(
    "project",
    [name for name in TEMPLATES if name != "supervised"],  # Whose tests test_installed.py runs.
    indirect=True,
)
def test_a_projects_own_tests_pass(project: Path, python: Python) -> None:
    """What a user runs first is green, and warns of nothing."""
    ended = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")

    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("file", sorted(REPOSITORY.glob("templates/*/data/digits.npz")), ids=str)
def test_the_digits_are_the_real_ones(file: Path) -> None:
    """The data set that projects carry equals scikit-learn's copy of it."""
    theirs = load_digits()

    with np.load(file) as ours:
        assert np.array_equal(ours["images"], theirs.images)
        assert np.array_equal(ours["labels"], theirs.target)


def brought(answers: Mapping[str, bool]) -> set[Path]:
    """Return the files that answers bring."""
    return {Path(path) for name, answer in answers.items() if answer for path in FILES[name]}


def files(project: Path) -> list[Path]:
    """Return the files of a project, without what Python made of them."""
    found = [path for path in project.rglob("*") if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts and ".git" not in path.parts]
