"""Projects of every earlier release, used and edited as people do, brought to today's templates."""

from __future__ import annotations

import configparser
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from templates.conftest import Python

from scaffold import git, project, releases, render, reports, updates

REPOSITORY = Path(__file__).resolve().parents[2]
HISTORY = REPOSITORY / releases.HISTORY
EARLIER = [
    version
    for version in releases.versions(HISTORY)
    if releases.read(version, HISTORY).files != releases.working_tree(REPOSITORY)
]
# Options with which a run takes seconds, by template, but for the epochs.
SHORT = {
    "supervised": ("--width", "8"),
    "gan": ("--width", "8", "--classifier-steps", "5", "--limit-train-batches", "4"),
    "multi-model": ("--student-width", "8", "--teacher-width", "4"),
    "tbptt": ("--text", configparser.__file__, "--hidden", "8", "--limit-train-batches", "4"),
}
PROJECTS = [
    (version, template)
    for version in EARLIER
    for template in render.templates(releases.read(version, HISTORY))
]

pytestmark = pytest.mark.slow

# What people change first: what stands there, and what they make of it.
SETTINGS = (
    "train.py",
    "    lr: Amount = 4e-3  # The peak, reached after a tenth of the run.\n",
    "    lr: Amount = 5e-3  # A bit more, I found.\n",
)
METRIC = (
    "train.py",
    '"accuracy": Accuracy()}\n',
    '"accuracy": Accuracy(), "margin": Loss(F.multi_margin_loss)}\n',
)
HANDLER = (
    "train.py",
    "    # --- Go ---",
    "    @trainer.on(Events.COMPLETED)\n"
    "    def say_goodbye():\n"
    '        run.say("done, says a handler of mine")\n'
    "\n"
    "    # --- Go ---",
)
MODEL = (
    "model.py",
    "        nn.Dropout(dropout),\n        nn.Linear(hidden, hidden),\n",
    "        nn.Dropout(dropout),\n"
    "        nn.LayerNorm(hidden),\n"
    "        nn.Linear(hidden, hidden),\n",
)
CLASSES = (
    "data.py",
    "CLASS_NAMES = [str(digit) for digit in range(10)]\n",
    'CLASS_NAMES = ["even", "odd"]\n',
)
DATA = (
    "data.py",
    '        labels = torch.from_numpy(file["labels"]).long()\n',
    '        labels = torch.from_numpy(file["labels"]).long() % 2\n',
)
EDITS = [SETTINGS, METRIC, HANDLER, MODEL, CLASSES, DATA]


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real history, and the checkout as its newest release if it is none yet."""
    history = tmp_path_factory.mktemp("history")
    for package in HISTORY.glob("*.zip"):
        shutil.copy(package, history)
    if releases.differences(REPOSITORY):
        releases.write(releases.Release("99.0.0", releases.working_tree(REPOSITORY)), history)
    return history


@pytest.fixture(scope="module")
def tested() -> dict[str, str]:
    """What the own tests of a project said, by the digest of its files."""
    return {}


@pytest.mark.parametrize("version", EARLIER)
def test_an_edited_project_of_any_release_is_brought_up_to_date(
    version: str, today: Path, python: Python, tmp_path: Path, tested: dict[str, str]
) -> None:
    """Edits in the usual places stay and conflict with nothing; all tests pass."""
    folder = make(tmp_path / "mine", "supervised", version, today)
    edit(folder, EDITS)

    done = updates.update(folder, history=today)

    assert done is not None
    assert not done.merged.conflicts, reports.updated(done, dry_run=False, commit=True)
    for file, _, edited in EDITS:
        assert edited.strip() in (folder / file).read_text()
    files = git.run("rev-parse", "HEAD^{tree}", folder=folder)
    if files not in tested:  # All releases lead to the same project, which is tested once.
        ended = python(folder, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
        tested[files] = "" if ended.returncode == 0 else ended.stdout
    assert not tested[files]


@pytest.mark.parametrize(("version", "template"), PROJECTS)
def test_a_run_begun_with_any_release_goes_on_after_an_update(
    version: str, template: str, today: Path, python: Python, tmp_path: Path
) -> None:
    """Its settings mean what they meant, its checkpoints load, and handlers of the user's run."""
    folder = make(tmp_path / "mine", template, version, today)
    edit(folder, [HANDLER])
    began = python(folder, "train.py", *SHORT[template], "--max-epochs", "2", "--seed", "3")
    assert began.returncode == 0, began.stderr

    done = updates.update(folder, history=today)

    assert done is not None
    assert not done.merged.conflicts, reports.updated(done, dry_run=False, commit=True)
    went_on = python(folder, "train.py", "--resume", "--max-epochs", "4")
    assert went_on.returncode == 0, went_on.stderr
    assert "epoch 4/4" in went_on.stdout
    assert "epoch 2/4" not in went_on.stdout
    assert "done, says a handler of mine" in went_on.stdout


def make(folder: Path, template: str, version: str, history: Path) -> Path:
    """Make a project of a release."""
    made = project.create(str(folder), template, defaults=True, version=version, history=history)
    return made.folder


def edit(folder: Path, edits: Sequence[tuple[str, str, str]]) -> None:
    """Edit files as a user would, and commit."""
    for file, before, after in edits:
        text = (folder / file).read_text()
        assert before in text, (file, before)
        (folder / file).write_text(text.replace(before, after, 1))
    git.run("add", "--all", folder=folder)
    git.run("commit", "--quiet", "--message", "mine", folder=folder, settings=git._NOBODY)
