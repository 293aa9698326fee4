"""A small template on the real base, and the command run on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest
import updating
from updating import Story

from scaffold import releases, render
from scaffold.releases import File, Release

SMALL = {
    "templates/supervised/template.yml": "summary: A small one\nexpect: 99 % in 1 s\n",
    "templates/supervised/train.py": 'print("{{ trained }}")\n',
    "templates/supervised/model.py": "LAYERS = 2\n",
    "templates/supervised/tests/test_train.py": "def test_nothing():\n    pass\n",
    "templates/supervised/tool.sh": "#!/bin/sh\n",
    "templates/supervised/README.md.jinja": (
        "# {{ markdown(project_name) }}\n\n{{ markdown(description) }}\n\n"
        "By {{ markdown(author) }}.\n"
    ),
    "templates/supervised/settings.yaml.jinja": (
        "name: {{ yaml(project_name) }}\nabout: [{{ yaml(description) }}, {{ yaml(author) }}]\n"
    ),
    "templates/supervised/facts.py.jinja": (
        "FACTS = [{{ python(description) }}, {{ python(author) }}]\n"
    ),
    "templates/supervised/say.sh.jinja": (
        "printf '%s\\n' {{ shell(project_name) }} {{ shell(description) }} {{ shell(author) }}\n"
    ),
    "runtime/scaffold_runtime/__init__.py": "",
}


REAL = ("copier.yml", "base/.gitignore", "base/pyproject.toml.jinja")


class Command(Protocol):
    """Run `scaffold` with arguments in a folder of this test's own, without a terminal."""

    def __call__(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def small_files(repository: Path) -> Mapping[str, File]:
    """The checkout's questions and the heart of its base, and a template only for tests."""
    real = releases.working_tree(repository)
    ours = {f"templates/{path}": real[f"templates/{path}"] for path in REAL}
    small = {path: File(text.encode(), path.endswith("tool.sh")) for path, text in SMALL.items()}
    return ours | small


@pytest.fixture(scope="session")
def small(small_files: Mapping[str, File], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history whose newest release has the small template, under the name `supervised`."""
    history = tmp_path_factory.mktemp("small")
    releases.write(Release("0.3.0", small_files), history)
    return history


@pytest.fixture
def scaffold(small: Path, tmp_path: Path) -> Command:
    """Run the command on the small history."""

    def run(
        *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(Path(__file__).with_name("command.py")), str(small), *arguments],
            cwd=cwd or tmp_path,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    return run


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A template of which nothing is rendered, and a place for a project of it."""
    monkeypatch.setattr(render, "render", updating.copy)
    return Story(tmp_path / "story")
