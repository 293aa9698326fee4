"""The multi-model project at work, through its command line."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import NewProject
from templates.conftest import Python, Trained

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("--student-width", "16", "--teacher-width", "4", "--max-epochs", "2")


@pytest.fixture
def project(new_project: NewProject, tmp_path: Path) -> Path:
    """A project of this test's own."""
    return new_project("multi-model", tmp_path / "my-multi-model")


@pytest.fixture(scope="module")
def trained_pair(
    new_project: NewProject, python: Python, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A project whose default run, and then that of the student alone, are over."""
    project = new_project("multi-model", tmp_path_factory.mktemp("trained") / "my-multi-model")
    python(project, "train.py", "--run", "alone", "--mode", "alone")
    return Trained(project, python(project, "train.py", pictures=True))


@pytest.mark.slow
def test_the_default_run_reaches_what_scaffold_new_says(trained_pair: Trained) -> None:
    """The student's test accuracy is the stated one, or falls short within the tolerance."""
    stated = yaml.safe_load((REPOSITORY / "templates/multi-model/template.yml").read_text())
    name, value, tolerance = (stated["reached"][key] for key in ("name", "value", "tolerance"))

    reached = re.search(rf"^test {name} ([0-9.]+)", trained_pair.ended.stdout, re.MULTILINE)

    assert reached, trained_pair.ended.stdout + trained_pair.ended.stderr
    assert float(reached[1]) >= value - tolerance
    assert f"{value:.1%}".replace("%", " %") in stated["expect"]


@pytest.mark.slow
def test_the_report_shows_both_models_beside_the_student_alone(trained_pair: Trained) -> None:
    """With the difference, which is a clear gain."""
    page = (trained_pair.project / "runs" / "first" / "report.html").read_text()
    text = re.sub(r"<[^>]+>", " ", page)

    gain = re.search(r"difference\s+\+(0\.\d+)", text)

    assert gain
    assert float(gain[1]) > 0.02
    for word in ("student of the run alone", "Confusion matrix", "student wrong"):
        assert word in text


@pytest.mark.slow
def test_a_picture_is_recognised_by_both(trained_pair: Trained, python: Python) -> None:
    """`predict.py` reads a picture with dark ink on paper, many times as large as the data."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2.4))
    figure.text(0.5, 0.5, "0", ha="center", va="center", size=110)
    figure.savefig(trained_pair.project / "zero.png")

    ended = python(trained_pair.project, "predict.py", "zero.png")

    assert re.fullmatch(r'zero\.png: Student: "0" \(.*\), Teacher: "0" \(.*\)\n', ended.stdout), (
        ended
    )


@pytest.mark.slow
def test_a_run_keeps_its_mode(trained_pair: Trained, python: Python) -> None:
    """Going on in another mode is refused in one line."""
    ended = python(trained_pair.project, "train.py", "--resume", "--mode", "frozen")

    assert ended.returncode == 2
    assert "mode is together in runs/first/config.yaml, not frozen" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_comparison_that_was_killed_goes_on(
    project: Path, python: Python, surroundings: dict[str, str]
) -> None:
    """Kill -9 in its second run; called again it keeps the first, and prints a table of all."""
    command = ("compare.py", "--seeds", "1", "--modes", "together", *SMALL)
    process = subprocess.Popen(
        [sys.executable, "-u", *command],
        cwd=project,
        env=surroundings,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "comparison-together-0" not in process.stdout.readline():
        pass
    while not process.stdout.readline().startswith("epoch 1/2"):
        pass
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait()
    log = (project / "runs/comparison-alone-0/log.txt").read_text()

    ended = python(project, *command, pictures=True)

    assert ended.returncode == 0, ended.stderr
    assert (project / "runs/comparison-alone-0/log.txt").read_text() == log
    assert re.search(r"\| together \| 0\.\d{4} ± \? +\| [+-]0\.\d{4} ± \?", ended.stdout)
    picture = project / "runs/comparison/figures/comparison.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("mode", ["frozen", "mutual"])
def test_a_fast_dev_run_goes_through_a_mode(project: Path, python: Python, mode: str) -> None:
    """In a moment, and leaves the folder as it was."""
    before = {path for path in project.rglob("*") if "__pycache__" not in path.parts}

    ended = python(project, "train.py", "--fast-dev-run", "--mode", mode)

    assert ended.returncode == 0, ended.stderr
    assert "test student_accuracy" in ended.stdout
    assert {path for path in project.rglob("*") if "__pycache__" not in path.parts} == before
