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
HANDLER = """    Confusion().attach(trainer, "confusion")

    @trainer.on(Events.COMPLETED)
    def celebrate():
        if settings.loud:
            run.say(f"Done, {trainer.state.metrics['confusion']:.1%} wrong.")

"""


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
    assert all(line in train for line in (HANDLER, "patience: Size = 30", "loud: bool"))
    assert python(folder, "train.py", "--run", "old", "--resume", "--max-epochs", "3") == 0
    if version in (VERSIONS[0], VERSIONS[-1]):  # The longest way and the next step.
        assert python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider") == 0


def edit(folder: Path) -> None:
    """Change settings, model, metrics, handlers and data, as the project's README says."""
    train, line = folder / "train.py", "    weight_decay: Amount = 0.05"
    change(train, "patience: Size = 20", "patience: Size = 30")
    text = next(found for found in train.read_text().splitlines() if found.startswith(line))
    change(train, text, f"{text}\n    loud: bool = False  # Say when it is over.")
    imported = "import create_supervised_evaluator, to_device\n"
    change(train, imported, f"{imported}\nfrom my_metrics import Confusion\n")
    change(train, "    if settings.resume:\n", f"{HANDLER}    if settings.resume:\n")
    (folder / "my_metrics.py").write_text(METRIC)
    change(folder / "model.py", "_out),\n        nn.ReLU(),", "_out),\n        nn.GELU(),")
    with np.load(folder / "data" / "digits.npz") as file:
        mirrored = {"images": file["images"][..., ::-1], "labels": file["labels"]}
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
