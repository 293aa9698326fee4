"""Projects of every release of ours, updated to what the checkout holds today."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from comparing import contents

from scaffold import git, project, releases, render, updates
from scaffold.releases import Release

HISTORY = Path(__file__).resolve().parents[2] / releases.HISTORY
VERSIONS = releases.versions(HISTORY)
TODAY = "1000.0.0"


@pytest.fixture(scope="module")
def history(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our history, and the checkout as a further release."""
    history = tmp_path_factory.mktemp("with-today") / "history"
    shutil.copytree(HISTORY, history)
    releases.write(Release(TODAY, releases.working_tree(repository)), history)
    return history


@pytest.fixture(autouse=True)
def _fresh_environment() -> None:
    git._environment.cache_clear()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_project_of_any_release_becomes_one_of_today(
    history: Path, tmp_path: Path, version: str
) -> None:
    """Without edits, an update gives byte for byte what a new project with its answers has."""
    for template in render.templates(releases.read(version, history)):
        folder = make(tmp_path / template, template, version, history)
        done = updates.update(folder, history=history)
        assert done is not None
        assert done.merged.conflicts == {}
        answers = [f"{name}={value}" for name, value in done.plan.new.answers.items()]
        new = tmp_path / f"new-{template}"
        project.create(str(new), template, answers, repository=False, history=history)
        assert contents(folder) == contents(new)
        assert modes(folder) == modes(new)


def make(folder: Path, template: str, version: str, history: Path) -> Path:
    made = project.create(
        str(folder),
        template,
        ["project_name=digits"],
        defaults=True,
        version=version,
        history=history,
    )
    return made.folder


def modes(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
