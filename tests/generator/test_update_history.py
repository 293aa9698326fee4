"""Projects of every release of ours, updated to what the checkout holds today."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from comparing import contents

from scaffold import git, project, releases, render, reports, updates
from scaffold.releases import Release

HISTORY = Path(__file__).resolve().parents[2] / releases.HISTORY
VERSIONS = releases.versions(HISTORY)
TODAY = "1000.0.0"
METRIC = '''"""A metric of my own."""

from scaffold_runtime.metrics import Accuracy


class Confusion(Accuracy):
    """The share of wrong answers."""

    def compute(self):
        return 1 - super().compute()
'''


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


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_project_with_edits_in_the_usual_places_works_after_an_update(
    history: Path, tmp_path: Path, version: str
) -> None:
    """No conflicts; its own tests pass, and a run of before the update goes on."""
    folder = make(tmp_path / "mine", "supervised", version, history)
    edit(folder)
    assert python(folder, "train.py", "--run", "old", "--max-epochs", "2") == 0
    git.run("add", "--all", folder=folder)
    git.run("commit", "--quiet", "--message", "Mine", folder=folder)
    done = updates.update(folder, history=history)
    assert done is not None
    assert done.merged.conflicts == {}, reports.updated(done, dry_run=False, commit=True)
    train = (folder / "train.py").read_text()
    for line in (
        "width: Size = 16",
        "smoothing: Share",
        "def celebrate()",
        '"confusion": Confusion()',
    ):
        assert line in train
    assert python(folder, "train.py", "--run", "old", "--resume", "--max-epochs", "3") == 0
    assert python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider") == 0


def edit(folder: Path) -> None:
    """Change settings, model, metrics, handlers and data, as the project's README says."""
    change(folder / "train.py", "width: Size = 32", "width: Size = 16")
    lr = next(line for line in (folder / "train.py").read_text().splitlines() if "    lr: " in line)
    change(folder / "train.py", lr, f"{lr}\n    smoothing: Share = 0.1  # Of the labels.")
    change(
        folder / "train.py",
        "from model import make_model\n",
        "from model import make_model\nfrom my_metrics import Confusion\n",
    )
    change(
        folder / "train.py",
        '"accuracy": Accuracy()}',
        '"accuracy": Accuracy(), "confusion": Confusion()}',
    )
    change(
        folder / "train.py",
        "    # --- Go ---",
        "    @trainer.on(Events.COMPLETED)\n    def celebrate():\n"
        '        run.say("Done.")\n\n    # --- Go ---',
    )
    (folder / "my_metrics.py").write_text(METRIC)
    change(
        folder / "model.py",
        "nn.Dropout(dropout),\n        nn.Linear(2",
        "nn.Dropout(dropout / 2),\n        nn.Linear(2",
    )
    change(folder / "data.py", ".float() / 16", ".float().flip(-1) / 16")
    with np.load(folder / "data" / "digits.npz") as file:
        mirrored = {
            name: file[name][..., ::-1] if name == "images" else file[name] for name in file
        }
    written = io.BytesIO()
    np.savez_compressed(written, **mirrored)
    (folder / "data" / "digits.npz").write_bytes(written.getvalue())


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new))


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


def python(folder: Path, *arguments: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = clean | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:])
    return done.returncode
