"""
Train a language model, byte for byte, on the source of Python's standard library.

    python train.py                             # with the settings below
    python train.py --run wide --hidden 256     # another run, with other values
    python train.py --text book.txt letters.txt # on text of your own
    python train.py --resume                    # go on where this run stopped
    python train.py --evaluate test             # measure this run's best checkpoint
    python train.py --fast-dev-run              # one batch of everything, nothing is written

Read from top to bottom: settings, parts, one step, what happens around the steps, go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import optim

from data import count_windows, make_data
from model import loss_of, make_evaluator, make_model
from report import report_text
from scaffold_runtime import Events, RunSettings, launch, restore_best, start_run
from scaffold_runtime.handlers import TerminateOnNan
from scaffold_runtime.metrics import RunningAverage
from scaffold_runtime.schedules import cosine_with_warm_up
from scaffold_runtime.settings import Amount, Share, Size
from scaffold_runtime.tbptt import Tbptt_Events, create_supervised_tbptt_trainer


@dataclass(frozen=True)
class Settings(RunSettings):  # Which has run, resume, seed, device, save_every and the like.
    text: tuple[str, ...] = ()  # Files to learn from; by default the standard library's source.
    cell: Literal["lstm", "gru"] = "lstm"  # See model.py.
    hidden: Size = 128  # Units of each recurrent layer.
    layers: Size = 1  # Recurrent layers.
    embedding: Size = 32  # Numbers that stand for a byte.
    context: Size = 5  # Bytes that the model looks at without having to remember.
    dropout: Share = 0.0  # Share of the units that a training step leaves out.
    max_epochs: Size = 2  # Passes over the training text.
    batch_size: Size = 16  # Streams that are read beside each other.
    tbptt_step: Size = 32  # Bytes in a window, at whose edges the gradient ends.
    batch_windows: Size = 16  # Windows in a batch, each with an update of the weights.
    lr: Amount = 1.5e-2  # The peak, reached after a twentieth of the run.
    weight_decay: Amount = 0.01  # Share of the weights taken off, times the learning rate.
    clip_norm: Amount = 1.0  # The largest norm of all gradients together; 0 sets no limit.
    reading_lr: Amount = 4e-3  # Learning rate while reading the test text, for the report alone.
    validate_every: Size = 1  # Epochs between two validations.
    log_every: Size = 10  # Iterations between two lines of metrics.jsonl.


def main(settings: Settings) -> dict[str, float]:
    """Train, report, and return the bits per byte of the best checkpoint on the test text."""
    data = make_data(settings)  # First, so that nothing is begun where a file is missing.
    run = start_run(settings)
    settings = run.settings  # One batch of everything with --fast-dev-run.

    # --- Parts ----------------------------------------------------------------
    batches = run.batches(data.train)
    model = make_model(settings).to(run.device)
    decay, betas = settings.weight_decay, (0.9, 0.99)
    optimizer = optim.AdamW(model.parameters(), settings.lr, betas, weight_decay=decay, fused=True)
    windows = count_windows(batches, run.total_iterations(batches), settings.tbptt_step)
    schedule = cosine_with_warm_up(windows, warm_up=0.05)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, schedule)

    # --- One step: for each window of a batch forward, loss, backward, update -
    trainer = create_supervised_tbptt_trainer(
        model,
        optimizer,
        loss_of,
        settings.tbptt_step,
        device=run.device,
        carry_hidden=True,  # Each stream goes on in the next batch.
        gradient_clip_val=settings.clip_norm or None,
    )

    # --- What happens around the steps ----------------------------------------
    RunningAverage(alpha=0.9).attach(trainer, "loss")
    RunningAverage(alpha=0.9, output_transform=lambda o: o / math.log(2)).attach(trainer, "bits")
    evaluator = make_evaluator(model, run.device)

    best_parts: dict[str, Any] = {"model": model, "text": data.fingerprint}
    best = run.keep_best(trainer, best_parts, "bits", "min")
    parts = {"trainer": trainer, "optimizer": optimizer, "scheduler": scheduler, "best": best}
    parts |= best_parts

    run.follow(trainer, "all", lr=optimizer)  # Progress bar, metrics.jsonl and config.yaml.
    checkpoint = run.save(trainer, parts)  # As save_every says, and on signals.
    trainer.add_event_handler(Tbptt_Events.TIME_ITERATION_COMPLETED, lambda: scheduler.step())

    @trainer.on(run.validations())  # As validate_every says, and after the last epoch.
    def validate():
        metrics = run.evaluate(evaluator, data.valid)
        run.log_epoch(trainer.state, train=trainer.state.metrics, valid=metrics)
        best.offer(metrics["bits"])

    stop = TerminateOnNan(advice="try a lower --lr or --clip-norm")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)

    # --- Go -------------------------------------------------------------------
    run.say(f"text: {data.texts}")
    if settings.resume:
        run.resume(checkpoint)
    if not settings.evaluate:
        trainer.run(batches, settings.max_epochs, epoch_length=run.train_length)
    path = restore_best(run.checkpoints, best_parts)
    split = settings.evaluate or "test"
    reached = run.evaluate(evaluator, getattr(data, split))
    run.say(f"{split} bits {reached['bits']:.4f} with the best checkpoint, {path}")
    run.finish(trainer.state, split, reached)  # In metrics.jsonl, and wherever --log-to says.
    if not settings.evaluate:
        report_text(run, model, data, reached)
    return reached


if __name__ == "__main__":
    launch(main, Settings)
