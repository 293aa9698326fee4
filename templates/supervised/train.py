"""
Train a classifier of handwritten digits, of other images, or of the rows of a table.

    python train.py                         # with the settings below
    python train.py --run wide --width 64   # another run, with other values
    python train.py --resume                # go on where this run stopped
    python train.py --evaluate test         # measure this run's best checkpoint
    python train.py --fast-dev-run          # one batch of everything, nothing is written

Read from top to bottom: settings, parts, one step, what happens around the steps, go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F

import choices
from data import make_data
from model import make_model
from scaffold_runtime import Engine, Events, launch, restore_best, start_run
from scaffold_runtime.handlers import EarlyStopping, TerminateOnNan
from scaffold_runtime.metrics import Accuracy, Loss, RunningAverage
from scaffold_runtime.settings import Amount, Count, Size
from scaffold_runtime.trainers import create_supervised_evaluator, to_device


@dataclass(frozen=True)
class Settings(choices.TrainingSettings):  # Has dataset, optimizer, run, seed and more, too.
    model: Literal["cnn", "mlp", "linear", "resnet"] = "cnn"  # See model.py.
    width: Size = 32  # Channels of the first layer; the others are multiples of it.
    dropout: choices.Part = 0.2  # Share of the features that a training step leaves out.
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
    choices.check_settings(settings)
    data = make_data(settings)  # What cannot be read is refused before the run has a folder.
    run = start_run(settings)
    settings = run.settings  # One batch of everything with --fast-dev-run.

    # --- Parts ----------------------------------------------------------------
    batches = run.batches(data.train)
    model = make_model(settings, data).to(run.device)
    ema = choices.make_ema(settings, model)  # Does nothing without --ema.
    criterion = choices.make_criterion(settings, data).to(run.device)
    optimizer = choices.make_optimizer(settings, model)
    updater, autocast = choices.make_updater(settings, optimizer, run.device)
    scheduler = choices.make_scheduler(settings, optimizer, run.total_iterations(batches))

    # --- One step: forward, loss, backward, update ----------------------------
    def train_step(trainer, batch):
        model.train()
        inputs, targets = to_device(batch, run.device)
        with autocast:  # In fewer bits, where that is safe, with --precision.
            outputs = model(inputs)
        loss = criterion(outputs.float(), targets)
        updater.backward(loss)
        if updater.step(trainer):  # After each batch, or fewer with --accumulate.
            if settings.schedule != "plateau":
                scheduler.step()
            ema.update()
        return {"loss": loss.detach(), "y_pred": outputs.detach(), "y": targets}

    # --- What happens around the steps ----------------------------------------
    trainer = Engine(train_step)
    smooth = RunningAverage(alpha=0.9, output_transform=lambda o: o["loss"], epoch_bound=False)
    smooth.attach(trainer, "loss")
    Accuracy().attach(trainer, "accuracy")
    metrics = {"loss": Loss(F.cross_entropy), "accuracy": Accuracy()}
    evaluator = create_supervised_evaluator(model, metrics, run.device)
    score = choices.choose_metrics(settings, data, trainer, evaluator, metrics)
    kept = choices.kept_parts(settings, model, data)
    best = run.keep_best(trainer, kept, score)
    stopping = EarlyStopping(settings.patience, lambda e: e.state.metrics[score], trainer)
    parts = {"trainer": trainer, "model": model, "optimizer": optimizer, "scheduler": scheduler}
    parts |= {"best": best, "stopping": stopping, **choices.further_parts(settings, updater, ema)}
    run.follow(trainer, ["loss"], lr=optimizer)  # Progress bar, metrics.jsonl and config.yaml.
    checkpoint = run.save(trainer, parts)  # As save_every says, and on signals.

    @trainer.on(run.validations())  # Every validate_every epochs, and after the last.
    def validate():
        with ema.averaged():  # With --ema that is validated, and kept when it is best.
            metrics = run.evaluate(evaluator, data.valid)
            best.offer(metrics[score] - choices.tiebreak(metrics["loss"]))  # If equal, by loss.
        run.log_epoch(trainer.state, train=trainer.state.metrics, valid=metrics)
        stopping(evaluator)
        if settings.schedule == "plateau":
            scheduler.step(metrics[score])

    nan = TerminateOnNan(lambda o: o["loss"], advice="try a lower --lr, together with --overwrite")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, nan)

    # --- Go -------------------------------------------------------------------
    if settings.resume:
        run.resume(checkpoint)
    if not settings.evaluate:
        trainer.run(batches, settings.max_epochs, epoch_length=run.train_length)
    path = restore_best(run.checkpoints, kept)
    split = settings.evaluate or "test"
    reached = run.evaluate(evaluator, getattr(data, split))
    run.say(f"{split} {score} {reached[score]:.4f} with the best checkpoint, {path}")
    run.finish(trainer.state, split, reached)  # To metrics.jsonl, and wherever else it logs.
    if not settings.evaluate:
        choices.report_outcome(run, model, data, reached)
    return reached


if __name__ == "__main__":
    launch(main, Settings)
