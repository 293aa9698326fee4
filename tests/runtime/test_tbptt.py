"""Training through time: windows of a batch, and the hidden state between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from scaffold_runtime import (
    Checkpoint,
    Engine,
    Events,
    Tbptt_Events,
    create_supervised_tbptt_trainer,
)

Batch = tuple[Tensor, Tensor]


class Predictor(nn.Module):
    """An LSTM that predicts two numbers at each time step, and notes the states it was given."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.lstm = nn.LSTM(3, 4)
        self.out = nn.Linear(4, 2)
        self.given: list[Any] = []

    def forward(self, x: Tensor, hidden: Any) -> tuple[Tensor, Any]:
        self.given.append(hidden)
        y_pred, hidden = self.lstm(x, hidden)
        return self.out(y_pred), hidden


def make(**options: Any) -> tuple[Predictor, Engine]:
    model = Predictor()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"tbptt_step": 4} | options
    return model, create_supervised_tbptt_trainer(model, optimizer, F.mse_loss, **options)


def batches(*lengths: int) -> list[Batch]:
    random = torch.Generator().manual_seed(0)
    return [
        (torch.randn(length, 2, 3, generator=random), torch.randn(length, 2, 2, generator=random))
        for length in lengths
    ]


def by_hand(model: Predictor, data: list[Batch], step: int) -> list[Tensor]:
    """Train through the batches as one sequence in a plain loop; return the windows' losses."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hidden, losses = None, []
    for x, y in data:
        for start in range(0, len(x), step):
            y_pred, hidden = model(x[start : start + step], hidden)
            loss = F.mse_loss(y_pred, y[start : start + step])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            hidden = tuple(each.detach() for each in hidden)
            losses.append(loss.detach())
    return losses


# --- Windows --------------------------------------------------------------


def test_the_trainer_does_what_a_plain_loop_does() -> None:
    """Weights and loss are those of forward, loss, backward and update for each window."""
    (ours, trainer), plain, data = make(), Predictor(), batches(10)

    output = trainer.run(data).output
    losses = by_hand(plain, data, step=4)

    assert all(map(torch.equal, ours.parameters(), plain.parameters()))
    torch.testing.assert_close(output, (4 * losses[0] + 4 * losses[1] + 2 * losses[2]) / 10)


def test_a_window_gets_a_hidden_state_without_its_history() -> None:
    """The first of a batch gets None; no gradient could pass to the window before."""
    model, trainer = make()
    trainer.run(batches(8, 8))

    first, second, third, fourth = model.given
    assert (first, third) == (None, None)
    assert not any(each.requires_grad for hidden in (second, fourth) for each in hidden)
    assert not any(each.requires_grad for each in trainer.state.hidden)


def test_time_may_be_another_dimension() -> None:
    """With `dim=1` batches `(streams, time, ...)` are cut along time."""
    x, y = torch.randn(2, 10, 1), torch.randn(2, 10, 3)
    model = nn.GRU(1, 3, batch_first=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = create_supervised_tbptt_trainer(model, optimizer, F.mse_loss, 4, dim=1)

    assert trainer.run([(x, y)]).time_iteration == 3


def test_gradients_are_clipped_in_each_window() -> None:
    """With `gradient_clip_val` no update is longer than the learning rate times the norm."""
    model, trainer = make(gradient_clip_val=1e-3)
    before = nn.utils.parameters_to_vector(model.parameters()).detach()
    trainer.run(batches(8))
    moved = nn.utils.parameters_to_vector(model.parameters()) - before

    assert moved.norm() <= 2 * 0.1 * 1.001e-3
    assert trainer.state.metrics["gradient_norm"] > 1e-3


def test_nothing_is_read_from_the_device() -> None:
    """In a run over several windows no tensor becomes a number of Python's."""
    _, trainer = make(carry_hidden=True)
    read = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function is torch.ops.aten._local_scalar_dense.default:
                read.append(function)
            return function(*args, **(kwargs or {}))

    with Watch():
        output = trainer.run(batches(10, 10)).output

    assert read == []
    assert not output.requires_grad


@pytest.mark.parametrize("step", [0, -1])
def test_a_window_of_no_length_is_refused(step: int) -> None:
    """The message has the value."""
    with pytest.raises(ValueError, match=f"tbptt_step must be at least 1, not {step}"):
        make(tbptt_step=step)


def test_targets_of_another_length_are_refused() -> None:
    """Inputs and targets that do not go together are named, and no weight has changed."""
    model, trainer = make()
    before = [each.clone() for each in model.parameters()]
    x, y = batches(8)[0]

    with pytest.raises(ValueError, match="one length, not 8 and 7 time steps"):
        trainer.run([(x, y[1:])])
    assert all(map(torch.equal, model.parameters(), before))


# --- Events ---------------------------------------------------------------


def test_windows_are_counted_so_that_filters_work() -> None:
    """`every`, `once` and `event_filter` go by the windows of the whole run."""
    _, trainer = make()
    seen: dict[str, list[int]] = {"every": [], "once": [], "where": []}
    filters: dict[str, dict[str, Any]] = {
        "every": {"every": 4},
        "once": {"once": [1, 5]},
        "where": {"event_filter": lambda engine, count: count > 8},
    }
    for name, chosen in filters.items():
        trainer.add_event_handler(
            Tbptt_Events.TIME_ITERATION_COMPLETED(**chosen),
            lambda engine, name: seen[name].append(engine.state.time_iteration),
            name,
        )
    trainer.run(batches(10, 8), max_epochs=2)

    assert seen == {"every": [4, 8], "once": [1, 5], "where": [9, 10]}


def test_a_window_happens_between_its_two_events() -> None:
    """Its loss is the output when it is over; the batch's is the output in the end."""
    _, trainer = make()
    seen = []
    for event in (*Tbptt_Events, Events.ITERATION_COMPLETED):
        trainer.add_event_handler(
            event, lambda engine, name: seen.append((name, engine.state.output)), event.value
        )
    trainer.run(batches(6))

    names, outputs = zip(*seen, strict=True)
    assert names == (
        *("time_iteration_started", "time_iteration_completed") * 2,
        "iteration_completed",
    )
    assert outputs[0] is None
    torch.testing.assert_close(outputs[4], (4 * outputs[1] + 2 * outputs[3]) / 6)


def test_another_run_counts_anew() -> None:
    """After a run that is complete, the windows of the next are counted from 1."""
    _, trainer = make()

    assert [trainer.run(batches(8)).time_iteration for _ in range(2)] == [2, 2]


# --- From batch to batch --------------------------------------------------


def test_hidden_state_is_carried_over_the_batches_of_a_stream() -> None:
    """With `carry_hidden` two batches are trained on as the one sequence that they are."""
    (ours, trainer), plain, data = make(carry_hidden=True), Predictor(), batches(8, 8)

    trainer.run(data)
    by_hand(plain, data, step=4)

    assert all(map(torch.equal, ours.parameters(), plain.parameters()))


@pytest.mark.parametrize(
    ("epoch_length", "expected"), [(None, [1, 4]), (2, [1, 4]), (3, [1, 4]), (4, [1, 4])]
)
def test_the_data_begins_without_a_hidden_state(
    epoch_length: int | None, expected: list[int]
) -> None:
    """Only its first batch does, wherever the epochs begin."""
    model, trainer = make(tbptt_step=8, carry_hidden=True)
    trainer.run(batches(8, 8, 8), max_iters=6, epoch_length=epoch_length)

    assert [count for count, hidden in enumerate(model.given, 1) if hidden is None] == expected


def test_other_data_begins_without_a_hidden_state() -> None:
    """So does the data after an epoch that was ended early, or was set on the way."""
    model, trainer = make(tbptt_step=8, carry_hidden=True)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), trainer.terminate_epoch)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=4), lambda: trainer.set_data(batches(8, 8))
    )
    trainer.run(batches(8, 8, 8), max_iters=5)

    assert [count for count, hidden in enumerate(model.given, 1) if hidden is None] == [1, 3, 5]


def test_a_handler_ends_a_sequence() -> None:
    """Setting `state.hidden` before a window makes it begin with that."""
    model, trainer = make(tbptt_step=8, carry_hidden=True)

    @trainer.on(Tbptt_Events.TIME_ITERATION_STARTED(once=2))
    def end_the_sequence(engine: Engine) -> None:
        engine.state.hidden = None

    trainer.run(batches(8, 8, 8))

    assert [hidden is None for hidden in model.given] == [True, True, False]


def parts_of(model: Predictor, trainer: Engine) -> dict[str, Any]:
    return {"model": model, "trainer": trainer}


@pytest.mark.parametrize("stopped_at", range(1, 7))
def test_a_run_goes_on_to_the_same_weights(tmp_path: Path, stopped_at: int) -> None:
    """Saved after any batch of two epochs and restored elsewhere, nothing differs by a bit."""
    data = batches(8, 10, 8)
    whole, unbroken = make(carry_hidden=True)
    unbroken.run(data, max_epochs=2)

    model, trainer = make(carry_hidden=True)
    checkpoint = Checkpoint(tmp_path, parts_of(model, trainer))
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=stopped_at), trainer.terminate)
    trainer.run(data, max_epochs=2)
    checkpoint.save()
    model, trainer = make(carry_hidden=True)
    Checkpoint(tmp_path, parts_of(model, trainer)).restore()
    trainer.run(data, max_epochs=2)

    assert all(map(torch.equal, model.parameters(), whole.parameters()))
    assert all(map(torch.equal, trainer.state.hidden, unbroken.state.hidden))
    assert trainer.state.time_iteration == unbroken.state.time_iteration == 14


def test_a_batch_of_whole_sequences_leaves_nothing_to_save() -> None:
    """Without `carry_hidden` a checkpoint does not hold the hidden state."""
    _, trainer = make()
    trainer.run(batches(8))

    assert "hidden" not in trainer.state_dict()
    assert trainer.state_dict()["time_iteration"] == 2


def test_data_of_unknown_length_is_carried_on_to_its_end() -> None:
    """A stream of batches without a length begins anew where it begins anew."""

    class Stream:
        def __iter__(self) -> Iterator[Batch]:
            return iter(batches(8, 8))

    model, trainer = make(tbptt_step=8, carry_hidden=True)
    trainer.run(Stream(), max_epochs=2)

    assert [hidden is None for hidden in model.given] == [True, False, True, False]
