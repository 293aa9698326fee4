"""The course of a run: its limits, where it stands, how it is saved and goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from scaffold_runtime.dispatcher import Dispatcher
from scaffold_runtime.errors import LimitError
from scaffold_runtime.state import State
from scaffold_runtime.stream import DataStream, length_of


class Course(Dispatcher):
    """The part of an engine that knows where the run stands, and how far it is to go."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.state_dict_user_keys: list[str] = []  # Attributes of the state to save with it.
        self._stream = DataStream()
        self._epoch_start: int | None = None  # The iteration after which the open epoch began.
        self._unfinished = 0  # 1 when the last iteration was counted but its step did not return.
        self._interrupted = False  # The next run goes on where this one was interrupted.
        self.is_resuming = False  # While (EPOCH_)STARTED is fired for what was under way before.
        self._goes_on = False  # The state was loaded or the run cut: it is not begun again.

    def state_dict(self) -> dict[str, Any]:
        """
        Return where the run stands, as plain values: the last iteration that was
        finished, the place in the epoch and in the data, the limits, the seed, the
        attributes of the state that `state_dict_user_keys` lists, the metrics that are
        tensors or plain values, and the state of what is attached: metrics, schedulers,
        loggers and the like.
        """
        state = self.state
        finished = state.iteration - self._unfinished
        return {
            "iteration": finished,
            "epoch": state.epoch,
            "epoch_length": state.epoch_length,
            "max_epochs": state.max_epochs,
            "max_iters": state.max_iters,
            "seed": state.seed,
            "epoch_start": self._epoch_start,
            "data": self._stream.state_dict(finished),
            "metrics": {name: value for name, value in state.metrics.items() if _is_plain(value)},
            "attached": {name: part.state_dict() for name, part in self.attached().items()},
            **{key: getattr(state, key) for key in self.state_dict_user_keys},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """
        Take up a state that `state_dict` returned; `run` then goes on from there.

        A state with only `iteration` or `epoch`, and `epoch_length`, does as well;
        unless it has limits, the next `run` must say how far to go.

        Raises:
            ValueError: The place cannot be told from it, or other things are
                attached here than were when it was saved.
        """
        saved = {**_derive_place(state_dict), **state_dict}
        # Of a shorter state, or one of release 0.1.0, what is attached begins anew.
        attached = saved.get("attached")
        if attached or ("metrics" in saved and attached is not None):
            self._load_attached(attached)
        for key in ("iteration", "epoch", "epoch_length", "max_epochs", "max_iters", "seed"):
            setattr(self.state, key, saved.get(key))
        for key in self.state_dict_user_keys:
            setattr(self.state, key, saved[key])
        self.state.metrics.update(saved.get("metrics", {}))
        self._epoch_start = saved["epoch_start"]
        self._stream.load_state_dict(saved["data"])
        self._unfinished = 0
        self._interrupted = False
        self._goes_on = not saved.get("is_idle", False)

    def run_afterwards(self) -> None:
        """Call what waits for the end of an event, unless an event or iteration is under way."""
        if not self._unfinished:
            super().run_afterwards()

    def _load_attached(self, saved: Mapping[str, Any]) -> None:
        attached = self.attached()
        # What has nothing to save may come and go.
        only_saved = {name for name, state in saved.items() if state} - attached.keys()
        only_here = {name for name in attached.keys() - saved.keys() if attached[name].state_dict()}
        if differing := sorted(only_saved | only_here):
            here = ", ".join(attached) or "nothing"
            raise ValueError(f"attached here: {here}; not in both: {', '.join(differing)}")
        for name, part in attached.items():
            if name in saved:
                part.load_state_dict(saved[name])

    def _prepare(
        self,
        data: Iterable[Any] | None,
        max_epochs: int | None,
        max_iters: int | None,
        epoch_length: int | None,
    ) -> None:
        _check_limits(max_epochs, max_iters, epoch_length)
        if self.state.max_epochs is None and self.state.max_iters is None:
            goes_on = False
        else:
            self._check_there_is_no_way_back(max_epochs, max_iters)
            goes_on = self._goes_on or not self._is_complete(max_epochs, max_iters)
        set_out = self._go_on if goes_on else self._begin
        set_out(data, max_epochs, max_iters, epoch_length)
        self._goes_on = False

    def _begin(
        self,
        data: Iterable[Any] | None,
        max_epochs: int | None,
        max_iters: int | None,
        epoch_length: int | None,
    ) -> None:
        state = self.state
        if data is None and epoch_length is None:
            data = state.dataloader
            if data is None:
                raise ValueError("run() without data needs epoch_length")
        state.dataloader = data
        state.epoch_length = epoch_length or length_of(data)
        if state.epoch_length == 0:
            raise ValueError("the data is empty: there is no batch to run on")
        state.iteration = state.epoch = 0
        state.times = dict.fromkeys(state.times, 0.0)
        self._epoch_start, self._unfinished, self._interrupted = None, 0, False
        self._stream = DataStream()
        self._set_limits(max_epochs or (None if max_iters else 1), max_iters)

    def _go_on(
        self,
        data: Iterable[Any] | None,
        max_epochs: int | None,
        max_iters: int | None,
        epoch_length: int | None,
    ) -> None:
        state = self.state
        if epoch_length is not None and state.epoch_length not in (None, epoch_length):
            raise ValueError(
                f"epoch_length is {state.epoch_length} in the run that goes on, not {epoch_length}"
            )
        state.dataloader = state.dataloader if data is None else data
        state.epoch_length = state.epoch_length or epoch_length or length_of(state.dataloader)
        state.iteration -= self._unfinished
        self._unfinished = 0
        if max_epochs is not None or max_iters is not None:
            self._set_limits(max_epochs, max_iters)

    def _set_limits(self, max_epochs: int | None, max_iters: int | None) -> None:
        state = self.state
        state.max_epochs, state.max_iters = max_epochs, max_iters
        if max_epochs is None and max_iters is not None and state.epoch_length is not None:
            state.max_epochs = math.ceil(max_iters / state.epoch_length)

    def _check_there_is_no_way_back(self, max_epochs: int | None, max_iters: int | None) -> None:
        state = self.state
        for name, limit, reached in (
            ("max_epochs", max_epochs, state.epoch),
            ("max_iters", max_iters, state.iteration - self._unfinished),
        ):
            if limit is not None and limit < reached:
                raise LimitError(
                    f"{name} is {limit}, but the run has reached {reached}; give at least that"
                )

    # --- Where the run stands ---------------------------------------------

    def _last_iteration(self) -> float:
        state = self.state
        of_epoch = math.inf
        if state.epoch_length is not None:
            of_epoch = (self._epoch_start or 0) + state.epoch_length
        return min(of_epoch, math.inf if state.max_iters is None else state.max_iters)

    def _at_end_of_epoch(self) -> bool:
        length, start = self.state.epoch_length, self._epoch_start
        return length is not None and start is not None and self.state.iteration >= start + length

    def _out_of_iterations(self, max_iters: int | None) -> bool:
        return max_iters is not None and self.state.iteration - self._unfinished >= max_iters

    def _is_complete(self, max_epochs: int | None = None, max_iters: int | None = None) -> bool:
        """Say whether the run has reached its limits, or these."""
        if max_epochs is None and max_iters is None:
            max_epochs, max_iters = self.state.max_epochs, self.state.max_iters
        if self._epoch_start is not None and self._at_end_of_epoch():
            return False  # Its EPOCH_COMPLETED is still to come.
        if max_iters is not None:  # Then `max_epochs` is an estimate: epochs may have ended early.
            return self._out_of_iterations(max_iters)
        return (
            self._epoch_start is None and max_epochs is not None and self.state.epoch >= max_epochs
        )


def _is_plain(value: Any) -> bool:
    """Say whether a value can be saved: a tensor, a plain value, or a collection of these."""
    if isinstance(value, dict):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return type(value) in (Tensor, bool, int, float, str, type(None))


def _check_limits(max_epochs: int | None, max_iters: int | None, epoch_length: int | None) -> None:
    if max_epochs is not None and max_iters is not None:
        raise ValueError("give max_epochs or max_iters, not both")
    limits = {"max_epochs": max_epochs, "max_iters": max_iters, "epoch_length": epoch_length}
    for name, limit in limits.items():
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, not {limit!r}")


def _derive_place(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Find out from the iteration, or the epoch, what a shorter state leaves unsaid."""
    length = state_dict.get("epoch_length")
    if {"iteration", "epoch", "epoch_start", "data"} <= state_dict.keys():
        return {}
    if length is None or not {"iteration", "epoch"} & state_dict.keys():
        raise ValueError(
            "an engine's state needs epoch_length, and iteration or epoch; "
            f"this one has {', '.join(state_dict) or 'nothing'}"
        )
    iteration = state_dict.get("iteration", state_dict.get("epoch", 0) * length)
    passes, inside = divmod(iteration, length)
    start = iteration - inside
    epoch = passes + (inside > 0)
    limited = any(state_dict.get(limit) for limit in ("max_epochs", "max_iters"))
    return {
        "iteration": iteration,
        "epoch": epoch,
        "max_epochs": None if limited else epoch,
        "epoch_start": start if inside else None,
        "data": {"passes": passes, "start": start},
    }
