"""
Train a classifier of handwritten digits.

    python train.py                         # with the settings below
    python train.py --run wide --width 64   # another run, with other values
    python train.py --config my.yaml        # with values from a file
    python train.py --resume                # go on where this run stopped
    python train.py --evaluate test         # measure this run's best checkpoint
    python train.py --fast-dev-run          # one batch of everything, nothing is written

Read from top to bottom: settings, parts, one step, what happens around the steps, go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import optim

from data import CLASS_NAMES, make_data
from model import make_model
from scaffold_runtime import (
    BestCheckpoint,
    Engine,
    Events,
    RunSettings,
    launch,
    restore_best,
    start_run,
)
from scaffold_runtime.handlers import EarlyStopping, TerminateOnNan
from scaffold_runtime.metrics import Accuracy, Loss, RunningAverage
from scaffold_runtime.report import report_classification
from scaffold_runtime.schedules import cosine_with_warm_up
from scaffold_runtime.settings import Amount, Count, Share, Size
from scaffold_runtime.trainers import create_supervised_evaluator, to_device


@dataclass(frozen=True)
class Settings(RunSettings):  # Which has run, resume, seed, device, save_every and the like.
    model: Literal["cnn", "mlp"] = "cnn"  # See model.py.
    width: Size = 32  # Channels of the first layer; the others are multiples of it.
    dropout: Share = 0.2  # Share of the features that a training step leaves out.
    max_shift: Count = 1  # Pixels by which a training image is moved at most.
    max_epochs: Size = 40  # Passes over the training data.
    patience: Size = 20  # Validations without a better accuracy after which the run ends.
    batch_size: Size = 64  # Images in one step.
    lr: Amount = 4e-3  # The peak, reached after a tenth of the run.
    weight_decay: Amount = 0.05  # Share of the weights taken off, times the learning rate.
    validate_every: Size = 1  # Epochs between two validations.
    log_every: Size = 10  # Iterations between two lines of metrics.jsonl.


def main(settings: Settings) -> dict[str, float]:
    """Train, report, and return what the best checkpoint reaches on the test data."""
    run = start_run(settings)
    settings = run.settings  # One batch of everything with --fast-dev-run.

    # --- Parts ----------------------------------------------------------------
    data = make_data(settings)
    batches = run.batches(data.train)
    model = make_model(settings).to(run.device)
    optimizer = optim.AdamW(model.parameters(), settings.lr, weight_decay=settings.weight_decay)
    schedule = cosine_with_warm_up(run.total_iterations(batches), warm_up=0.1)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, schedule)

    # --- One step: forward, loss, backward, update ----------------------------
    def train_step(trainer, batch):
        model.train()
        images, labels = to_device(batch, run.device)
        scores = model(images)
        loss = F.cross_entropy(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        return {"loss": loss.detach(), "y_pred": scores.detach(), "y": labels}

    # --- What happens around the steps ----------------------------------------
    trainer = Engine(train_step)
    RunningAverage(alpha=0.9, output_transform=lambda o: o["loss"]).attach(trainer, "loss")
    Accuracy().attach(trainer, "accuracy")
    metrics = {"loss": Loss(F.cross_entropy), "accuracy": Accuracy()}
    evaluator = create_supervised_evaluator(model, metrics, run.device)

    best = BestCheckpoint(
        run.checkpoints, {"model": model}, trainer, "accuracy", on_error=settings.on_save_error
    )
    stopping = EarlyStopping(settings.patience, lambda e: e.state.metrics["accuracy"], trainer)
    parts = {"trainer": trainer, "model": model, "optimizer": optimizer, "scheduler": scheduler}
    parts |= {"best": best, "stopping": stopping}

    run.follow(trainer, ["loss"])  # Progress bar, metrics.jsonl and config.yaml.
    checkpoint = run.save(trainer, parts)  # As save_every says, and on signals.

    @trainer.on(Events.EPOCH_COMPLETED(every=settings.validate_every))
    def validate():
        metrics = evaluator.run(data.valid, epoch_length=run.valid_length).metrics
        run.log_epoch(trainer.state, train=trainer.state.metrics, valid=metrics)
        best.offer(metrics["accuracy"])
        stopping(evaluator)

    trainer.add_event_handler(Events.ITERATION_COMPLETED, TerminateOnNan(lambda o: o["loss"]))

    # --- Go -------------------------------------------------------------------
    if settings.resume:
        run.resume(checkpoint)
    if not settings.evaluate:
        trainer.run(batches, settings.max_epochs, epoch_length=run.train_length)
    path = restore_best(run.checkpoints, {"model": model})
    split = settings.evaluate or "test"
    reached = evaluator.run(getattr(data, split), epoch_length=run.valid_length).metrics
    run.say(f"{split} accuracy {reached['accuracy']:.2%} with the best checkpoint, {path}")
    if not settings.evaluate:
        report_classification(run, model, data.test, CLASS_NAMES, reached)
    return reached


if __name__ == "__main__":
    launch(main, Settings)
