"""The wheel alone, in an empty environment, makes the same projects."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from comparing import contents

from scaffold import project, releases

pytestmark = pytest.mark.slow

# What a wheel is built from.
SOURCES = ("generator/scaffold", "pyproject.toml", "README.md", "LICENSE")


def test_the_wheel_renders_the_same_project_without_torch(
    python: Path, small: Path, tmp_path: Path
) -> None:
    """Installed from the wheel, `scaffold new` writes the same bytes; torch is not there."""
    scaffold = str(python.with_name("scaffold"))
    subprocess.run(
        [scaffold, "new", "--template", "supervised"], cwd=tmp_path, check=True, stdin=-3
    )
    subprocess.run([scaffold, "list"], cwd=tmp_path, check=True)

    there = tmp_path / "there" / "my-supervised"
    project.create(str(there), "supervised", history=small)
    assert contents(tmp_path / "my-supervised") == contents(there)
    code = (
        "import importlib.util as u; print(u.find_spec('torch'), u.find_spec('scaffold_runtime'))"
    )
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None None\n"


def test_the_wheel_refuses_to_release(python: Path, repository: Path) -> None:
    """An installed tool is no checkout: `scaffold release` is one line there."""
    done = subprocess.run(
        [python.with_name("scaffold"), "release", "9.9.9"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "needs a checkout" in done.stderr


def test_the_wheel_holds_the_history_and_no_loose_template(wheel: Path) -> None:
    """Templates travel in the releases' zips: pip would compile loose ones."""
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert "scaffold/history/0.3.0.zip" in names
    assert {Path(name).suffix for name in names} == {".py", ".zip"}
    assert {Path(name).parts[0] for name in names} == {"scaffold"}
    assert not [name for name in names if "template" in name or "runtime" in name]


@pytest.fixture(scope="module")
def wheel(small: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the checkout's sources, with the small history."""
    sources = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        (sources / name).parent.mkdir(exist_ok=True)
        if (repository / name).is_dir():
            shutil.copytree(repository / name, sources / name)
        else:
            shutil.copy(repository / name, sources / name)
    shutil.copytree(small, sources / releases.HISTORY)
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(sources)]
    subprocess.run([sys.executable, "-m", "pip", *command, str(sources)], check=True)
    return next(sources.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, what it depends on, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    wheels = ["--no-index", "--find-links", str(repository / ".wheels")]
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wheels, str(wheel)], check=True)
    return python
