"""The tbptt project at work, through its command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from conftest import NewProject
from templates.conftest import Python, Trained

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained_tbptt(
    new_project: NewProject, python: Python, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A project whose default run is over; tests only look at it."""
    project = new_project("tbptt", tmp_path_factory.mktemp("trained") / "my-tbptt")
    return Trained(project, python(project, "train.py", pictures=True))


@pytest.mark.slow
def test_the_default_run_reaches_what_is_stated(trained_tbptt: Trained) -> None:
    """It needs as few bits for a byte of the test text as template.yml and the README say."""
    template = REPOSITORY / "templates" / "tbptt"
    stated = yaml.safe_load((template / "template.yml").read_text())["reached"]

    reached = re.search(r"test bits ([0-9.]+) with", trained_tbptt.ended.stdout)

    assert reached, trained_tbptt.ended.stdout + trained_tbptt.ended.stderr
    assert float(reached[1]) <= stated["value"] + stated["tolerance"]
    assert f"| {stated['value']:.2f} |" in (template / "README.md.jinja").read_text()


@pytest.mark.slow
def test_it_predicts_better_than_the_baselines(trained_tbptt: Trained) -> None:
    """Fewer bits than the unigram, the 5-gram and xz alone; fewer still while it learns on."""
    said = trained_tbptt.ended.stdout
    model = float(re.findall(r"test bits ([0-9.]+) with", said)[0])
    learning, unigram, five, alone, after = (
        float(number) for number in re.findall(r" ([0-9]\.[0-9]{4})(?:,|$)", said, re.M)[-5:]
    )

    assert model < min(unigram, five, alone)
    assert learning < min(model, after)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "begins"),
    [(["--prompt", "def "], "def "), (["--prompt", "Zoë: ", "--top-k", "5"], "Zoë: ")],
)
def test_it_writes_after_a_prompt(
    trained_tbptt: Trained, python: Python, arguments: list[str], begins: str
) -> None:
    """`sample.py` goes on with a prompt, also one of characters that no module has."""
    ended = python(trained_tbptt.project, "sample.py", *arguments, "--length", "300")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(begins)
    assert len(ended.stdout) > 250


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "arguments", "complaint"),
    [
        ("sample.py", ["--run", "other"], "there is no run 'other' here; there are: first"),
        ("sample.py", ["--temperature", "-1"], "temperature must be at least 0, not -1.0"),
        ("train.py", ["--cell", "rnn"], "rnn"),
        ("train.py", ["--run", "own", "--text", "none.txt"], "none.txt cannot be read: no such"),
        ("train.py", ["--tbptt-step", "0"], "tbptt_step must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_is_refused(
    trained_tbptt: Trained, python: Python, program: str, arguments: list[str], complaint: str
) -> None:
    """A wrong setting gets one line and a status."""
    ended = python(trained_tbptt.project, program, *arguments)

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
