"""When a state is whole: what a run that goes on must not do twice, or forget."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from scaffold_runtime import Checkpoint, Engine, Events, Loader, LRScheduler, read_checkpoint


def test_what_is_asked_for_while_a_batch_is_loaded_waits_for_the_end_of_the_iteration() -> None:
    """Handlers of its beginning have run already, and would run again after a resume."""
    engine = Engine(lambda engine, batch: None)
    seen = []

    class Data:
        def __iter__(self):  # type: ignore[no-untyped-def]
            for batch in range(3):
                if batch == 1:
                    engine.call_afterwards(lambda: seen.append(engine.state_dict()["iteration"]))
                yield batch

    for event in (Events.GET_BATCH_STARTED, Events.GET_BATCH_COMPLETED, Events.ITERATION_STARTED):
        engine.add_event_handler(event, lambda: None)
    engine.run(Data())

    assert seen == [2]


def test_a_schedule_of_the_beginning_of_epochs_does_not_step_again_after_a_resume() -> None:
    """`EPOCH_STARTED` is fired once more in the epoch that goes on; the rate stays as it was."""
    unbroken = rates_of_a_run(stop=None)
    assert rates_of_a_run(stop=5)[5:] == unbroken[5:]


def rates_of_a_run(stop: int | None) -> list[float]:
    """Train three epochs of four iterations, cut after one of them, and return the rates."""
    rates: list[float] = []
    saved = None
    for _ in range(2):
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        engine = Engine(lambda engine, batch, of=optimizer: rates.append(of.param_groups[0]["lr"]))
        engine.add_event_handler(Events.EPOCH_STARTED, LRScheduler(scheduler))
        if saved is not None:
            engine.load_state_dict(saved[0])
            optimizer.load_state_dict(saved[1])
        elif stop is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=stop), engine.interrupt)
        engine.run(range(4), max_epochs=3)
        saved = engine.state_dict(), optimizer.state_dict()
        if stop is None:
            break
    return rates


def test_an_evaluator_among_the_parts_measures_again_after_a_resume(tmp_path: Path) -> None:
    """It was complete when it was saved, and begins at the beginning, as it would have."""
    seen = []
    for folder_is_new in (True, False):
        trainer, evaluator = (Engine(lambda engine, batch: batch) for _ in range(2))
        checkpoint = Checkpoint(tmp_path, {"trainer": trainer, "evaluator": evaluator})
        trainer.add_event_handler(Events.EPOCH_COMPLETED, checkpoint)
        if not folder_is_new:
            checkpoint.restore()

        @trainer.on(Events.EPOCH_COMPLETED)
        def validate(trainer: Engine, evaluator: Engine = evaluator) -> None:
            evaluator.run([10 * trainer.state.epoch])
            seen.append(evaluator.state.output)

        trainer.run([0], max_epochs=2 if folder_is_new else 3)

    assert seen == [10, 20, 30]


def test_the_engine_that_runs_is_waited_for(tmp_path: Path) -> None:
    """Whichever engine comes first among the parts."""
    trainer, evaluator = (Engine(lambda engine, batch: None) for _ in range(2))
    checkpoint = Checkpoint(tmp_path, {"evaluator": evaluator, "trainer": trainer})
    trainer.add_event_handler(Events.EPOCH_COMPLETED, checkpoint)

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate() -> None:
        trainer.state.metrics["validated"] = True

    trainer.run([0])
    saved = read_checkpoint(tmp_path / "last.pt")["parts"]["trainer"]["metrics"]
    assert saved == {"validated": True}


def test_data_whose_order_is_not_known_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """A shuffled DataLoader draws another order; a list and our loader do not."""
    for data, warned in (
        (torch.utils.data.DataLoader(range(4), shuffle=True), True),  # type: ignore[arg-type]
        ([0, 1, 2, 3], False),
        (Loader(range(4), 1, shuffle=True), False),
    ):
        caplog.clear()
        engine = Engine(lambda engine, batch: None)
        engine.load_state_dict({"iteration": 2, "epoch_length": 4})
        engine.run(data, max_epochs=1)

        assert ("drawn and dropped" in caplog.text) == warned
