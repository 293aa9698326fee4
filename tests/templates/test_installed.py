"""A project in an environment of its own, made from nothing but its pyproject."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def environment(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an empty environment."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


@pytest.mark.slow
def test_a_project_installs_trains_and_passes_its_tests(
    supervised: Path, environment: Path, repository: Path
) -> None:
    """`pip install -e .[test]` brings all it needs and puts none of its modules on the path."""
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--editable", ".[test]"]
    pins = ["--find-links", repository / ".wheels", "--constraint", repository / "constraints.txt"]

    run(environment, supervised, *install, *pins)
    for module in ("train", "model", "data", "predict", "scaffold_runtime"):
        look = f"import importlib.util; print(importlib.util.find_spec({module!r}))"
        assert run(environment, supervised.parent, "-c", look).stdout == "None\n"
    run(environment, supervised, "train.py", "--fast-dev-run")
    run(environment, supervised, "-m", "pytest", "-q", "-W", "error")


def run(python: Path, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, which must succeed."""
    ended = subprocess.run(
        [python, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended
