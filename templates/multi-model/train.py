"""
Train a student that knows few labels, and the teacher that it learns from.

    python train.py                            # with the settings below
    python train.py --run alone --mode alone   # the same student, without a teacher
    python compare.py                          # all modes over five seeds, in one table

Read from top to bottom: settings, parts, one step, what happens around the steps, go.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from data import make_data
from learning import Schedule, Temperature, choose_targets, make_criteria, make_optimizers
from model import make_models
from modes import Mode, all_epochs, check_settings, learners
from results import end_at_nan, keep_best, make_evaluator, report_models, restore_all, watch_losses
from scaffold_runtime import Engine, Events, RunSettings, launch, start_run, to_device
from scaffold_runtime.settings import Amount, Count, Share, Size


@dataclass(frozen=True)
class Settings(RunSettings):  # Which has run, resume, seed, device, save_every and the like.
    mode: Mode = "together"  # How the student learns; see README.md.
    labels: Size = 100  # Training images whose labels the student knows; the teacher knows all.
    temperature: Temperature = 4.0  # Softens the scores of both models.
    peer_temperature: Temperature = 1.0  # The same with mode mutual.
    soft_weight: Amount = 1.0  # Of the loss against soft targets; that of the labels has 1.
    student_width: Size = 64  # Units of a hidden layer.
    teacher_width: Size = 32  # Channels of the first layer; the others are multiples of it.
    max_shift: Count = 1  # Pixels by which a training image is moved at most.
    max_epochs: Size = 40  # Passes over the training images in which the student learns.
    teacher_epochs: Size = 40  # With mode frozen, those before them in which the teacher does.
    batch_size: Size = 64  # Images without labels in one step.
    labelled_batch_size: Size = 50  # Images with labels in one step.
    student_lr: Amount = 1e-2  # The peak of its learning rate.
    teacher_lr: Amount = 4e-3  # The peak of its own; a peer (mode mutual) has the student's.
    student_warm_up: Share = 0.1  # Share of its steps in which the learning rate rises.
    teacher_warm_up: Share = 0.1  # Its own.
    student_schedule: Schedule = "cosine"  # Then it falls like half a cosine, to 0, or is constant.
    teacher_schedule: Schedule = "cosine"  # Its own.
    weight_decay: Amount = 0.05  # Share of the weights taken off, times the learning rate.
    validate_every: Size = 1  # Epochs between two validations.
    log_every: Size = 10  # Iterations between two lines of metrics.jsonl.


def main(settings: Settings) -> dict[str, float]:
    """Train, report, and return what the best checkpoints reach on the test data."""
    check_settings(settings)
    data = make_data(settings)  # What cannot be used is refused before the run has a folder.
    run = start_run(settings)
    settings = run.settings  # One batch of everything with --fast-dev-run.

    # --- Parts ----------------------------------------------------------------
    batches = run.batches(data.train)
    models = {name: model.to(run.device) for name, model in make_models(settings).items()}
    optimizers, schedulers = make_optimizers(models, settings, run.train_length or len(batches))
    hard, soft = make_criteria(settings)  # Against labels; against the other's predictions.

    # --- One step: two streams, two models, a dict of losses, two updates -----
    def train_step(trainer, batch):
        known, labels = to_device(batch["labelled"], run.device)
        others, hidden = to_device(batch["unlabelled"], run.device)  # Hidden from the student.
        images = torch.cat([known, others]) if "teacher" in models else known
        learning, losses = learners(settings, trainer.state.epoch), {}
        # All images at once, so that batch norm sees them alike.
        scores = {name: models[name].train()(images) for name in learning}
        if "student" in learning:
            losses["student_loss"] = hard(scores["student"][: len(known)], labels)
        if "teacher" in learning:
            losses["teacher_loss"] = hard(scores["teacher"], torch.cat([labels, hidden]))
        for name, targets in choose_targets(settings, models, scores, images).items():
            losses[f"{name}_soft_loss"] = soft(scores[name], targets)
        torch.stack([*losses.values()]).sum().backward()  # Each loss moves its own model alone.
        for name in learning:
            optimizers[name].step()
            optimizers[name].zero_grad()
            schedulers[name].step()
        return {name: loss.detach() for name, loss in losses.items()}

    # --- What happens around the steps ----------------------------------------
    trainer = Engine(train_step)
    watch_losses(trainer)  # Running averages of each.
    trainer.add_event_handler(Events.ITERATION_COMPLETED, end_at_nan())
    evaluator = make_evaluator(models, run.device)
    best = keep_best(run, trainer, models)
    parts = {"trainer": trainer, **models, **{f"best_{name}": best[name] for name in models}}
    parts |= {f"{name}_optimizer": optimizers[name] for name in models}
    parts |= {f"{name}_scheduler": schedulers[name] for name in models}
    run.follow(trainer, "all", **{f"{name}_lr": optimizers[name] for name in models})
    checkpoint = run.save(trainer, parts)  # As save_every says, and on signals.

    @trainer.on(run.validations())  # As validate_every says, and after the last epoch.
    def validate():
        metrics = run.evaluate(evaluator, data.valid)
        run.log_epoch(trainer.state, train=trainer.state.metrics, valid=metrics)
        for name in models:
            best[name].offer(metrics[f"{name}_accuracy"])

    # --- Go -------------------------------------------------------------------
    if settings.resume:
        run.resume(checkpoint, all_epochs(settings))
    if not settings.evaluate:
        trainer.run(batches, all_epochs(settings), epoch_length=run.train_length)
    restore_all(run.checkpoints, models)
    split = settings.evaluate or "test"
    reached = run.evaluate(evaluator, getattr(data, split))
    run.say(f"{split} " + ", ".join(f"{name} {value:.4f}" for name, value in reached.items()))
    run.finish(trainer.state, split, reached)  # In metrics.jsonl, and wherever --log-to says.
    if not settings.evaluate:
        report_models(run, models, data.test, reached)
    return reached


if __name__ == "__main__":
    launch(main, Settings)
