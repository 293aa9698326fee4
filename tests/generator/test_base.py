"""What every project has from the base: a pyproject.toml that works, and tidy files."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from scaffold import releases, render
from scaffold.releases import Release

OWN = ("train", "model", "data", "predict", "tests", "scaffold_runtime")


@pytest.mark.slow
def test_two_installed_projects_share_an_environment(
    repository: Path, new_small: Any, tmp_path: Path
) -> None:
    """Installing projects puts no module of theirs into the environment, and no path to them."""
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin" / "python")
    for name in ("first", "second"):
        wheels = ["--no-index", "--no-deps", "--find-links", str(repository / ".wheels")]
        install = ["-m", "pip", "install", "--quiet", *wheels, "--editable"]
        subprocess.run([python, *install, str(new_small(tmp_path / name))], check=True)
    code = (
        "import importlib.util, sys, importlib.metadata as m\n"
        f"print([name for name in {OWN} if importlib.util.find_spec(name)])\n"
        "print(sorted(d.metadata['Name'] for d in m.distributions() if d.metadata['Name'] != 'pip'"
        " and d.metadata['Name'] != 'setuptools'))\n"
        "print(any('first' in path or 'second' in path for path in sys.path))\n"
    )
    done = subprocess.run(
        [python, "-c", code], cwd=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "['first', 'second']", "False"]


def test_a_project_depends_on_seven_packages_with_lower_bounds(
    new_small: Any, tmp_path: Path
) -> None:
    """What a project needs is public, and old versions that lack something are kept out."""
    metadata = tomllib.loads((new_small(tmp_path / "fresh") / "pyproject.toml").read_text())[
        "project"
    ]
    names = [requirement.partition(">=")[0] for requirement in metadata["dependencies"]]
    assert sorted(names) == ["matplotlib", "numpy", "pillow", "pyyaml", "torch", "tqdm", "tyro"]
    assert all(">=" in requirement for requirement in metadata["dependencies"])
    extras = {"test", "tensorboard", "mlflow", "wandb"}
    assert metadata["optional-dependencies"].keys() == extras


def test_every_package_that_a_project_needs_is_no_name_for_it(repository: Path) -> None:
    """The names that are refused are those that the pyproject.toml of each template lists."""
    release = Release("0.0.0", releases.working_tree(repository))
    for template in render.templates(release):
        files = render.project_files(release, template)
        text = files["pyproject.toml.jinja"].content.decode()
        names = {
            line.strip().strip('",').partition(">=")[0]
            for line in text.splitlines()
            if line.startswith('    "')
        }
        assert {"torch", "pyyaml"} <= names <= render.reserved_names(release, template).keys()


def test_a_project_is_formatted_and_lint_clean_as_rendered(new_small: Any, tmp_path: Path) -> None:
    """The project's own settings of ruff find nothing to change in what the tool writes."""
    folder = new_small(
        tmp_path / "fresh", author='Ada "the first" \\ Lovelace', description="It's é 😀"
    )
    for check in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--no-cache", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_what_runs_leave_is_ignored(new_small: Any, tmp_path: Path) -> None:
    """Runs and caches stay out of the repository; data and the record do not."""
    folder = new_small(tmp_path / "fresh")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    asked = ["runs/first/log.txt", "__pycache__/a.pyc", "data/digits.npz", ".scaffold.yml"]
    done = subprocess.run(
        ["git", "check-ignore", *asked], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == asked[:2]


@pytest.fixture
def new_small(small: Path) -> Any:
    """Make projects from the real base and the small template."""
    from scaffold import project

    def make(folder: Path, **answers: str) -> Path:
        pairs = [f"{name}={value}" for name, value in answers.items()]
        made = project.create(str(folder), "supervised", pairs, repository=False, history=small)
        return made.folder

    return make
