"""Every template as it is rendered: clean, whole, and passing its own tests."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import NewProject
from sklearn.datasets import load_digits
from templates.conftest import Python

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(path.parent.name for path in REPOSITORY.glob("templates/*/template.yml"))


@pytest.fixture(scope="module", params=TEMPLATES)
def project(
    request: pytest.FixtureRequest,
    new_project: NewProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A project of each template."""
    return new_project(request.param, tmp_path_factory.mktemp("rendered") / f"my-{request.param}")


@pytest.mark.parametrize("check", [["format", "--check"], ["check"]])
def test_a_project_is_formatted_and_lint_clean(project: Path, check: list[str]) -> None:
    """Ruff, under the project's own rules, has nothing to say."""
    command = [sys.executable, "-m", "ruff", *check, "--no-cache", "."]

    ended = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_jinja_is_left(project: Path) -> None:
    """No file of a project has a template's suffix or braces in it."""
    for path in files(project):
        assert path.suffix != ".jinja"
        if path.suffix in (".md", ".toml", ".yml") or path.name == ".gitignore":
            assert not re.search(r"\{\{|\{%", path.read_text(encoding="utf-8")), path


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
    declared = {"torch", "numpy", "tyro"}

    for path in project.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [node.names[0].name]
                top = str(names[0]).partition(".")[0]
                assert top in own | declared | sys.stdlib_module_names, (path.name, top)


@pytest.mark.slow
def test_a_projects_own_tests_pass(project: Path, python: Python) -> None:
    """What a user runs first is green."""
    ended = python(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert ended.returncode == 0, ended.stdout


def test_the_digits_are_the_real_ones() -> None:
    """The data set that projects carry equals scikit-learn's copy of it."""
    theirs = load_digits()

    with np.load(REPOSITORY / "templates" / "supervised" / "data" / "digits.npz") as ours:
        assert np.array_equal(ours["images"], theirs.images)
        assert np.array_equal(ours["labels"], theirs.target)


def files(project: Path) -> list[Path]:
    """Return the files of a project, without what Python made of them."""
    found = [path for path in project.rglob("*") if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts and ".git" not in path.parts]
