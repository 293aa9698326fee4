"""The gan project at work, through its command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib.image
import pytest
import torch
import yaml
from conftest import NewProject
from templates.conftest import Python, Trained

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained_gan(
    new_project: NewProject, python: Python, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A project whose default run is over; tests only look at it."""
    project = new_project("gan", tmp_path_factory.mktemp("trained") / "my-gan")
    return Trained(project, python(project, "train.py", pictures=True))


@pytest.mark.slow
def test_the_default_run_reaches_what_is_stated(trained_gan: Trained) -> None:
    """Its images are as near to the test data as template.yml and the README say."""
    template = REPOSITORY / "templates" / "gan"
    stated = yaml.safe_load((template / "template.yml").read_text())["reached"]

    reached = re.search(r"test frechet ([0-9.]+) with", trained_gan.ended.stdout)

    assert reached, trained_gan.ended.stdout + trained_gan.ended.stderr
    assert float(reached[1]) <= stated["value"] + stated["tolerance"]
    assert f"| {stated['value']:.2f} |" in (template / "README.md.jinja").read_text()


@pytest.mark.slow
def test_it_is_far_nearer_to_real_images_than_an_untrained_generator(trained_gan: Trained) -> None:
    """The report sets its distance beside those of real images and of untrained weights."""
    page = (trained_gan.project / "runs" / "first" / "report.html").read_text()
    numbers = [float(each) for each in re.findall(r"<td>([0-9.]+)</td>", page)[:3]]

    reached, real, untrained = numbers

    assert real < reached < 4 * real
    assert reached < untrained / 10


@pytest.mark.slow
def test_the_best_checkpoint_is_that_of_the_smallest_distance(trained_gan: Trained) -> None:
    """Its name has the smallest distance from the validation data, whatever the losses were."""
    folder = trained_gan.project / "runs" / "first"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    least = min(line["frechet"] for line in lines if line["split"] == "valid")

    (best,) = (folder / "checkpoints").glob("best_*.pt")

    assert f"frechet={least:.4f}_" in best.name


@pytest.mark.slow
def test_each_epoch_leaves_a_grid(trained_gan: Trained) -> None:
    """Eight by eight images of the same noise, from before the first epoch to the last."""
    grids = sorted((trained_gan.project / "runs" / "first" / "samples").iterdir())
    first, last = (matplotlib.image.imread(path) for path in (grids[0], grids[-1]))

    assert [path.name for path in grids] == [f"epoch_{epoch:04}.png" for epoch in range(121)]
    assert first.shape == last.shape == (8 * 51 + 3, 8 * 51 + 3)
    assert last.std() > 4 * first.std()  # Grey at first, and in the end black and white.


@pytest.mark.slow
def test_a_wasserstein_run_goes_on_to_the_same_weights(
    new_project: NewProject, python: Python, tmp_path: Path
) -> None:
    """Stopped in the middle of an epoch, with the penalty's random numbers and the average."""
    project = new_project("gan", tmp_path / "my-gan")
    small = ["--loss", "wgan-gp", "--critic-steps", "2", "--width", "8", "--max-epochs", "3"]
    small += ["--classifier-steps", "20"]
    python(project, "train.py", "--run", "unbroken", *small)
    stopped = python(project, "-c", STOPPED, *small)

    ended = python(project, "train.py", "--run", "broken", "--resume")

    assert "stopped by SIGTERM" in stopped.stderr
    assert ended.returncode == 0, ended.stderr
    parts, unbroken = (
        torch.load(project / "runs" / run / "checkpoints" / "last.pt", weights_only=True)["parts"]
        for run in ("broken", "unbroken")
    )
    models = {name: unbroken[name] for name in ("generator", "discriminator")}
    for part, weights in {**models, "ema": unbroken["ema"]["model"]}.items():
        ours = parts[part].get("model", parts[part])
        assert all(torch.equal(ours[name], weights[name]) for name in weights), part


# Stops itself in the second epoch.
STOPPED = """
import os, signal, sys
import train
from scaffold_runtime import Engine, launch
sys.argv = ["train.py", "--run", "broken", *sys.argv[1:]]
penalty, calls = train.gradient_penalty, []
def stop_in_the_middle(*arguments):
    calls.append(1)
    if len(calls) == 41:
        os.kill(os.getpid(), signal.SIGTERM)
    return penalty(*arguments)
train.gradient_penalty = stop_in_the_middle
launch(train.main, train.Settings)
"""
