"""What this GAN promises; each test trains a little, or nothing."""

from __future__ import annotations

import errno
import math
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from small import SMALL
from torch import nn

import sample
import train
from data import make_data
from model import LOSSES, Shape, gradient_penalty, make_models, restore_kept
from quality import (
    Classifier,
    ClassShares,
    FrechetDistance,
    frechet_distance,
    make_classifier,
    make_evaluator,
)
from scaffold_runtime import UserError, parse_settings, read_json_lines, start_run
from scaffold_runtime.checkpoints import read_checkpoint, write_checkpoint
from scaffold_runtime.settings import read_settings

# --- Training -----------------------------------------------------------------


def test_it_learns():
    """Four epochs take the images most of the way to the real ones, and the losses stay finite."""
    small = {"width": 16, "max_epochs": 4, "validate_every": 4, "classifier_steps": 150}
    reached = train.main(train.Settings(**small, ema=0.95))

    lines = read_json_lines(Path("runs/first/metrics.jsonl"))
    losses = [line[name] for line in lines for name in ("loss_d", "loss_g") if name in line]
    assert reached["frechet"] < 10  # An untrained generator has more than 30.
    assert len(losses) > 20
    assert all(0 < loss < 5 for loss in losses)


@pytest.mark.parametrize("loss", ["hinge", "wgan-gp"])
def test_the_other_losses_train(loss):
    """They go through a run, with several updates of the discriminator in a step."""
    reached = train.main(train.Settings(**SMALL, loss=loss, critic_steps=2))

    assert torch.tensor(reached["frechet"]).isfinite()


def test_a_loss_brings_its_own_critic_steps_and_betas():
    """Where they are not given; a run's config.yaml has what it was trained with."""
    train.main(train.Settings(**SMALL, loss="wgan-gp", beta2=0.99))

    config = read_settings(train.Settings, Path("runs/first/config.yaml"))
    assert (config.critic_steps, config.beta1, config.beta2) == (2, 0.0, 0.99)
    optimizer = read_checkpoint(Path("runs/first/checkpoints/last.pt"))["parts"]["optimizer_d"]
    assert optimizer["param_groups"][0]["betas"] == (0.0, 0.99)
    assert optimizer["state"][0]["step"] == 2 * 3 * 12  # Twice in each iteration.


def test_a_critic_learns_what_is_real():
    """After an epoch of wgan-gp, against a slow generator, it tells images it never saw apart."""
    changes = {"width": 16, "lr_d": 5e-3, "max_epochs": 1, "limit_train_batches": 0}
    settings = train.Settings(**{**SMALL, **changes}, loss="wgan-gp")
    train.main(settings)
    data = make_data(settings)
    generator, critic = make_models(settings, data.shape, torch.device("cpu"))
    parts = read_checkpoint(Path("runs/first/checkpoints/last.pt"))["parts"]
    generator.load_state_dict(parts["generator"])
    critic.load_state_dict(parts["discriminator"])

    real, _ = next(iter(data.valid))
    gap = critic(real).mean() - critic(generator(torch.randn(256, settings.noise_size))).mean()

    assert gap > 1


def test_what_the_best_checkpoint_reaches_is_logged():
    """Also the last epoch is validated, and the log ends with the numbers of the test."""
    reached = train.main(train.Settings(**SMALL))

    lines = read_json_lines(Path("runs/first/metrics.jsonl"))
    assert [line["epoch"] for line in lines if line["split"] == "valid"] == [2, 3]
    assert lines[-1]["split"] == "test"
    assert lines[-1]["frechet"] == reached["frechet"]


def test_a_run_that_diverges_is_no_finished_run():
    """Losses that are no numbers end it, with a line that says what to try."""
    with pytest.raises(UserError, match=r"not finite at iteration .*: try lower --lr-g and --lr-d"):
        train.main(train.Settings(**{**SMALL, "lr_g": 1e30}))


@pytest.mark.parametrize("image_size", [28, 32])
def test_other_sizes_fit(image_size):
    """The models grow with the images; what is generated has their size, from -1 to 1."""
    settings = train.Settings(width=2, image_size=image_size)
    data = make_data(settings)
    generator, discriminator = make_models(settings, data.shape, torch.device("cpu"))

    images = generator(torch.randn(3, settings.noise_size))

    assert images.shape[1:] == data.shape == (1, image_size, image_size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (3,)


@pytest.mark.parametrize(("changes", "different"), [({"lr_g": 0.01}, 4), ({"ema": 0.999999}, 1)])
def test_a_run_draws_the_same_noise_after_each_epoch(changes, different):
    """The grids of the epochs differ as far as the averaged generator does: here, or not at all."""
    train.main(train.Settings(**{**SMALL, **changes}))

    grids = sorted(Path("runs/first/samples").iterdir())
    assert [path.name for path in grids] == [f"epoch_000{epoch}.png" for epoch in range(4)]
    assert len({path.read_bytes() for path in grids}) == different


def test_a_picture_that_cannot_be_written_does_not_end_a_run(caplog, monkeypatch):
    """On a full disk the training goes on, and says which grid is missing; nothing is left half."""

    def fail_after_the_first_bytes(image, file, *rest, **options):
        if isinstance(file, Path) and file.name > ".epoch_0000.png.part":
            file.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, file, *rest, **options)

    save = Image.Image.save
    monkeypatch.setattr(Image.Image, "save", fail_after_the_first_bytes)
    train.main(train.Settings(**SMALL))

    assert [path.name for path in Path("runs/first/samples").iterdir()] == ["epoch_0000.png"]
    assert "epoch_0003.png could not be saved: no space left on device" in caplog.text


# --- Losses -------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_pulls_scores_to_their_side(loss):
    """The discriminator lifts those of real images and lowers others; the generator lifts these."""
    of_discriminator, of_generator = LOSSES[loss]
    real, fake = (torch.tensor([0.5, -0.5], requires_grad=True) for _ in range(2))

    of_discriminator(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()

    fake.grad = None
    of_generator(fake).backward()
    assert (fake.grad < 0).all()


def test_the_logistic_loss_is_a_cross_entropy():
    """Each score is the logit of being real; the generator has minus the logarithm of that."""
    of_discriminator, of_generator = LOSSES["logistic"]
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])

    expected = -(real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean())

    assert of_discriminator(real, fake).item() == pytest.approx(expected.item(), rel=1e-5)
    assert of_generator(fake).item() == pytest.approx(-fake.sigmoid().log().mean().item(), rel=1e-5)


def test_the_wasserstein_loss_is_a_difference_of_means():
    """The critic's is minus how much more it gives real images."""
    of_critic, of_generator = LOSSES["wgan-gp"]
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])

    assert of_critic(real, fake).item() == pytest.approx(-1.25 - 0.5)
    assert of_generator(fake).item() == pytest.approx(1.25)


def test_the_hinge_loss_wants_a_margin():
    """Scores beyond 1 and -1 cost the discriminator nothing; others what they lack."""
    of_discriminator, of_generator = LOSSES["hinge"]

    loss = of_discriminator(torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 1.0]))

    assert loss.item() == pytest.approx((0 + 0.5) / 2 + (0 + 2) / 2)
    assert of_generator(torch.tensor([-3.0, 1.0])).item() == 1.0


def test_the_gradient_penalty_of_a_linear_critic_is_known():
    """Its gradient is its weight, whatever the images: of norm 5, it costs ten times 16."""
    critic = nn.Sequential(nn.Flatten(), nn.Linear(4, 1), nn.Flatten(0))
    with torch.no_grad():
        critic[1].weight.copy_(torch.tensor([[3.0, 4.0, 0.0, 0.0]]))

    penalty = gradient_penalty(critic, torch.randn(6, 1, 2, 2), torch.randn(6, 1, 2, 2))
    penalty.backward()

    assert penalty.item() == pytest.approx(10 * (5 - 1) ** 2, rel=1e-5)
    # d/dw 10 (|w| - 1)^2 = 20 (|w| - 1) w / |w|
    assert critic[1].weight.grad[0, :2].tolist() == pytest.approx([48.0, 64.0], rel=1e-5)


# --- Quality ------------------------------------------------------------------


def test_the_frechet_distance_of_known_gaussians_is_the_closed_form():
    """For diagonal covariances it is the sum of squared differences of means and deviations."""
    random = torch.Generator().manual_seed(0)
    points = torch.randn(500, 3, generator=random, dtype=torch.float64)
    points -= points.mean(dim=0)
    points = points @ torch.linalg.inv(torch.linalg.cholesky(points.T.cov())).T  # Exactly normal.
    one = points * torch.tensor([1.0, 2.0, 0.0]) + torch.tensor([0.0, 1.0, 5.0])
    other = points.flip(0) * torch.tensor([3.0, 2.0, 1.0]) + torch.tensor([1.0, -1.0, 5.0])

    assert frechet_distance(one, other) == pytest.approx((1 + 4 + 0) + (4 + 0 + 1))
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_the_distance_is_a_mean_over_sets_as_large_as_the_real_one():
    """Batches are put together first; then each set of generated images has a distance."""
    random = torch.Generator().manual_seed(0)
    real, generated = (torch.randn(*shape, 3, generator=random) for shape in ((20,), (2, 20)))
    metric = FrechetDistance()

    for part in (slice(0, 12), slice(12, 20)):
        metric.update((real[part], generated[:, part]))

    one, other = (frechet_distance(real, each) for each in generated)
    assert metric.compute() == pytest.approx((one + other) / 2)


def test_a_generator_that_leaves_out_a_class_has_a_gap():
    """Of three classes the last, a quarter of the real images, is missing: the second has more."""
    classifier = Classifier(channels=1, size=8, classes=3)
    classifier.head = nn.Identity()  # The features are the scores.
    shares = ClassShares(classifier)
    first, second, third = torch.eye(3)

    shares.update((torch.stack([first, second]), first.expand(5, 2, 3)))
    shares.update((torch.stack([third, first]), second.expand(5, 2, 3)))

    reached = shares.compute()
    assert reached["share_gap"] == 0.25
    assert reached["real_shares"] == [0.5, 0.25, 0.25]
    assert reached["generated_shares"] == [0.5, 0.5, 0.0]


def test_the_test_draws_other_noise_than_the_validation():
    """On the same real images a validation gives the same number again, and a test another."""
    settings = train.Settings(classifier_steps=1)
    data, run = make_data(settings), start_run(settings)
    data = data._replace(test=make_data(settings).valid)
    generator, _ = make_models(settings, data.shape, run.device)
    evaluator = make_evaluator(run, data, generator, make_classifier(run, data))

    valid, again, test = (
        run.evaluate(evaluator, loader)["frechet"] for loader in (data.valid, data.valid, data.test)
    )

    assert valid == again
    assert test == pytest.approx(valid, rel=0.1)
    assert test != valid


def test_measuring_does_not_change_what_is_trained():
    """Validated each epoch or at the end, by a classifier that is new or kept: the same weights."""
    states = []
    for run, often in (("often", 1), ("once", 3)):
        train.main(train.Settings(**{**SMALL, "validate_every": often}, run=run))
        states.append(torch.load(f"runs/{run}/checkpoints/last.pt", weights_only=True)["parts"])

    for name, weight in states[0]["generator"].items():
        assert torch.equal(weight, states[1]["generator"][name]), name


def test_the_classifier_is_kept_for_other_runs():
    """Runs measure with the same one, whatever their seed; on another split with another."""
    first, again, other = (
        make_classifier(run, make_data(run.settings))
        for run in (
            start_run(train.Settings(run=name, classifier_steps=10, **seed))
            for name, seed in (("first", {}), ("again", {"seed": 1}), ("other", {"data_seed": 1}))
        )
    )
    images = torch.rand(5, 1, 8, 8)

    assert torch.equal(first(images), again(images))
    assert not torch.equal(first(images), other(images))
    assert len(list(Path("runs/.classifiers").iterdir())) == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--loss", "softmax"], "softmax"),
        (["--ema", "1"], "ema must be from 0.5 to 0.999999, not 1.0"),
        (["--ema", "0.01"], "ema must be from 0.5"),  # What 0.99 was called in 0.4.0.
        (["--beta1", "1"], "beta1 must be from -1 to 0.999, not 1.0"),
        (["--image-size", "9"], "images of 9 x 9 pixels do not halve down to 4 to 7 pixels"),
        (["--image-size", "4"], "choose an --image-size of 8, 16, 28, 32 or 64"),
        (["--dataset", "image-folder"], "--dataset image-folder needs its folder"),
        (["--path", "pictures"], "--path is for --dataset image-folder, and dataset is digits"),
        (["--cache", "here"], "--cache is for --dataset fashion-mnist or mnist"),
    ],
)
def test_a_wrong_setting_is_refused(arguments, complaint):
    """A value that cannot be is named in one line."""
    with pytest.raises(UserError) as refused:
        train.main(parse_settings(train.Settings, [*arguments, "--classifier-steps", "1"]))

    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"interpolate": 1}, "interpolate must be at least 2"),
        ({"output": "grid.jpg"}, "a grid is a PNG file, not grid.jpg"),
        ({"separate": True}, "--separate writes files into a folder"),
        ({"run": "none"}, "there is no run 'none' here"),
    ],
)
def test_what_cannot_be_drawn_is_refused(settings, complaint):
    """So is what sample.py cannot do, and nothing is written."""
    with pytest.raises(UserError, match=complaint):
        sample.main(sample.Settings(**settings))

    assert list(Path.cwd().iterdir()) == []


# --- Sampling -----------------------------------------------------------------


def test_the_best_checkpoint_draws(capsys):
    """Grids and single files are written, of the noise that the seed decides; nothing is lost."""
    settings = train.Settings(**SMALL)
    train.main(settings)
    capsys.readouterr()

    sample.main(sample.Settings(count=9))
    sample.main(sample.Settings(count=9, seed=1, output="other.png"))
    sample.main(sample.Settings(count=4, separate=True, output="single"))
    sample.main(sample.Settings(interpolate=5, count=9, output="between.png"))

    files = [Path(name).read_bytes() for name in ("samples.png", "other.png", "between.png")]
    assert len(set(files)) == 3
    assert sorted(path.name for path in Path("single").iterdir())[-1] == "0003.png"
    said = capsys.readouterr().out.splitlines()
    assert (said[0], said[-1]) == ("9 pictures: samples.png", "9 pictures: between.png")
    with pytest.raises(UserError, match=r"samples\.png exists; give another --output"):
        sample.main(sample.Settings())
    sample.main(sample.Settings(overwrite=True))


def test_drawing_needs_no_data(tmp_path):
    """The best checkpoint knows what it draws, also where the pictures are not any more."""
    folder = make_pictures(tmp_path / "pictures")
    train.main(train.Settings(**SMALL, dataset="image-folder", path=str(folder), image_size=8))
    shutil.rmtree(folder)

    sample.main(sample.Settings(count=1, separate=True, output="drawn"))

    with Image.open("drawn/0000.png") as drawn:
        assert (drawn.mode, drawn.size) == ("RGB", (8, 8))


def test_a_best_checkpoint_of_an_earlier_release_is_of_use():
    """It has the generator alone, and is measured and drawn with as before."""
    reached = train.main(train.Settings(**SMALL))
    (best,) = Path("runs/first/checkpoints").glob("best_*.pt")
    content = read_checkpoint(best)
    del content["parts"]["shape"]
    write_checkpoint(best, content)

    sample.main(sample.Settings())

    assert train.main(train.Settings(**SMALL, evaluate="test")) == reached


def test_what_is_kept_is_the_averaged_generator():
    """The best checkpoint is of the EMA: with hardly any momentum, its weights are the first."""
    settings = train.Settings(**{**SMALL, "ema": 0.999999})
    train.main(settings)
    torch.manual_seed(settings.seed)
    untrained, _ = make_models(settings, (1, 8, 8), torch.device("cpu"))
    kept, _ = make_models(settings, (1, 8, 8), torch.device("cpu"))

    restore_kept(Path("runs/first/checkpoints"), kept, Shape(1, 8, 8))

    for first, last in zip(untrained.parameters(), kept.parameters(), strict=True):
        assert torch.allclose(first, last, atol=1e-4)


def test_images_that_are_no_numbers_are_never_the_best():
    """The distance of what overflowed is no number, and no error."""
    good = torch.randn(8, 2)

    assert math.isnan(frechet_distance(good, good / 0))


def make_pictures(folder):
    """Make a folder of twenty small pictures for each of two classes."""
    for name, colour in (("light", 200), ("dark", 50)):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (10, 12), (colour, number, 0)).save(folder / name / f"{number}.png")
    return folder
