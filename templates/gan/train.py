"""
Train a generator of images against a discriminator that tells them from real ones.

    python train.py                  # with the settings below
    python train.py --resume         # go on where this run stopped
    python train.py --evaluate test  # measure this run's best checkpoint
    python train.py --fast-dev-run   # one batch of everything, nothing is written

Read from top to bottom: settings, parts, one step, what happens around the steps, go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch

from data import fill_in, make_data
from model import LOSSES, gradient_penalty, kept_parts, make_models, make_optimizers, restore_kept
from pictures import report_generator, write_samples
from quality import make_classifier, make_evaluator
from scaffold_runtime import Engine, Events, RunningAverage, RunSettings, launch, start_run
from scaffold_runtime.handlers import EMA, TerminateOnNan
from scaffold_runtime.settings import Amount, Count, Range, Size


@dataclass(frozen=True)
class Settings(RunSettings):  # Which has run, resume, device, save_every and the like.
    seed: Count = 0  # Decides the first weights, the order of the images, the noise.
    data_seed: Count = 0  # Decides the split, and the classifier that quality is measured with.
    dataset: Literal["digits", "fashion-mnist", "mnist", "image-folder"] = "digits"
    path: str = ""  # Of image-folder: the folder with a folder of pictures for each class.
    cache: str | None = None  # The folder for downloads; by default ~/.cache/scaffold.
    image_size: Count = 0  # Pixels of height and width; 0 leaves the images as they are.
    loss: Literal["logistic", "hinge", "wgan-gp"] = "logistic"  # See model.py and README.md.
    critic_steps: Count = 0  # Updates of the discriminator in a step; 0: as the loss asks for.
    noise_size: Size = 32  # Random numbers that an image is made of.
    width: Size = 32  # Channels at full size, doubled with each halving.
    max_epochs: Size = 120  # Passes over the training data.
    batch_size: Size = 32  # Images in one update.
    lr_g: Amount = 1e-3  # Of the generator.
    lr_d: Amount = 1e-3  # Of the discriminator.
    beta1: Annotated[float, Range(-1, 0.999)] = -1  # Of Adam, for both; -1: as the loss asks for.
    beta2: Annotated[float, Range(-1, 0.9999)] = -1  # Alike.
    ema: Annotated[float, Range(0.5, 0.999999)] = 0.99  # What averaged weights keep in an update.
    classifier_steps: Size = 300  # Updates of the classifier that quality is measured with.
    validate_every: Size = 5  # Epochs between two validations.
    log_every: Size = 10  # Iterations between two lines of metrics.jsonl.


def main(settings: Settings) -> dict[str, float]:
    """Train, report, and return how far the best generator is from the test data."""
    data = make_data(settings)  # What cannot be used is refused before the run has a folder.
    run = start_run(fill_in(settings))
    settings = run.settings  # One batch of everything with --fast-dev-run.

    # --- Parts ----------------------------------------------------------------
    generator, discriminator = make_models(settings, data.shape, run.device)
    ema = EMA(generator, 1 - settings.ema)  # Its ema_model is what is sampled, measured and kept.
    optimizer_g, optimizer_d = make_optimizers(settings, generator, discriminator)
    discriminator_loss, generator_loss = LOSSES[settings.loss]
    classifier = make_classifier(run, data)  # Whose features quality is measured in.

    # --- One step: discriminator, then generator, each on fresh noise ---------
    def train_step(trainer, batch):
        for real in batch[0].to(run.device).chunk(settings.critic_steps):
            with torch.no_grad():  # Nothing flows back into the generator.
                fake = generator(torch.randn(len(real), settings.noise_size, device=run.device))
            loss_d = discriminator_loss(discriminator(real), discriminator(fake))
            if settings.loss == "wgan-gp":
                loss_d = loss_d + gradient_penalty(discriminator, real, fake)
            optimizer_d.zero_grad()
            loss_d.backward()
            optimizer_d.step()
        fake = generator(torch.randn(len(real), settings.noise_size, device=run.device))
        loss_g = generator_loss(discriminator(fake))
        optimizer_g.zero_grad()
        loss_g.backward(inputs=list(generator.parameters()))  # None for the discriminator.
        optimizer_g.step()
        return {"loss_d": loss_d.detach(), "loss_g": loss_g.detach()}

    # --- What happens around the steps ----------------------------------------
    trainer = Engine(train_step)
    RunningAverage(alpha=0.9, output_transform=lambda o: o["loss_d"]).attach(trainer, "loss_d")
    RunningAverage(alpha=0.9, output_transform=lambda o: o["loss_g"]).attach(trainer, "loss_g")
    ema.attach(trainer)
    evaluator = make_evaluator(run, data, ema.ema_model, classifier)
    best = run.keep_best(trainer, kept_parts(ema.ema_model, data.shape), "frechet", "min")
    parts = {"trainer": trainer, "generator": generator, "discriminator": discriminator}
    parts |= {"optimizer_g": optimizer_g, "optimizer_d": optimizer_d, "ema": ema, "best": best}
    run.follow(trainer, ["loss_d", "loss_g"])  # Progress bar, metrics.jsonl and config.yaml.
    checkpoint = run.save(trainer, parts)  # As save_every says, and on signals.

    @trainer.on(run.validations())
    def validate():
        metrics = run.evaluate(evaluator, data.valid)
        run.log_epoch(trainer.state, train=trainer.state.metrics, valid=metrics)
        best.offer(metrics["frechet"])

    trainer.add_event_handler(Events.STARTED | Events.EPOCH_COMPLETED, write_samples, run, ema)
    trainer.on(Events.ITERATION_COMPLETED)(TerminateOnNan(advice="try lower --lr-g and --lr-d"))

    # --- Go -------------------------------------------------------------------
    if settings.resume:
        run.resume(checkpoint)
    if not settings.evaluate:
        trainer.run(run.batches(data.train), settings.max_epochs, epoch_length=run.train_length)
    path = restore_kept(run.checkpoints, ema.ema_model, data.shape)
    split = settings.evaluate or "test"
    reached = run.evaluate(evaluator, getattr(data, split))
    run.say(f"{split} frechet {reached['frechet']:.3f} with the best checkpoint, {path}")
    run.finish(trainer.state, split, reached)
    if not settings.evaluate:
        report_generator(run, ema.ema_model, classifier, data, reached)
    return reached


if __name__ == "__main__":
    launch(main, Settings)
