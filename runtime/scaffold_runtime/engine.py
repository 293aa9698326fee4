"""The loop: epochs of iterations over data, with events around every part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from scaffold_runtime.course import Course
from scaffold_runtime.dispatcher import Event
from scaffold_runtime.events import Events
from scaffold_runtime.listeners import ALWAYS, Listeners, accepts
from scaffold_runtime.state import State

logger = logging.getLogger(__name__)


class Engine(Course):
    """
    Call `process_function(engine, batch)` for every batch of the data, epoch after epoch.

    The names, the order of the events and the meaning of the arguments are
    those of PyTorch-Ignite. Whatever the step returns is in `state.output`;
    return detached tensors, and nothing waits for the device.

    >>> engine = Engine(lambda engine, batch: 2 * batch)
    >>> @engine.on(Events.ITERATION_COMPLETED(every=2))
    ... def show(engine):
    ...     print(engine.state.iteration, engine.state.output)
    >>> state = engine.run([10, 20, 30], max_epochs=2)
    2 40
    4 20
    6 60
    """

    def __init__(self, process_function: Callable[[Engine, Any], Any]) -> None:
        """
        Raises:
            TypeError: `process_function` is no function.
            ValueError: It does not accept (engine, batch).
        """
        if not callable(process_function):
            raise TypeError(f"process_function must be a function, not {process_function!r}")
        if not accepts(process_function, self, None):
            raise ValueError(f"process_function {process_function!r} must accept (engine, batch)")
        super().__init__()
        self._process_function = process_function
        self._stop_at: float = 0  # The iteration after which the loop has to look up.
        self._request: type[_Leave] | None = None  # What terminate() and its like asked for.
        self._skip_completed = self._skip_epoch_completed = False
        self._inside_epoch = False

    # --- Running ----------------------------------------------------------

    def run(
        self,
        data: Iterable[Any] | None = None,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        epoch_length: int | None = None,
    ) -> State:
        """
        Run from where the state stands to the end.

        A new engine, and one whose run is complete, begins at the beginning. One
        that was terminated, interrupted, stopped by an exception, or whose state
        was loaded, goes on with the batch after the last that was finished. A
        complete one goes on when `max_epochs` or `max_iters` says there is more.
        (To begin again all the same, set `max_epochs` and `max_iters` of the state to None.)

        Args:
            data: What to iterate over. None goes on with the data at hand, or
                makes `epoch_length` iterations with None as the batch.
            max_epochs: The last epoch; 1 by default.
            max_iters: The last iteration, instead of `max_epochs`.
            epoch_length: Iterations in an epoch; by default the length of the
                data, which if unknown is found by going through it once.

        Returns:
            The state, which is `engine.state`.

        Raises:
            RuntimeError: The engine is running already.
            ValueError: The arguments contradict each other, or the state.
        """
        if self._running:
            raise RuntimeError("this engine is running: a handler or step may run another engine")
        self._prepare(data, max_epochs, max_iters, epoch_length)
        self._request, self._skip_completed = None, False
        self._running = True
        try:
            self._run()
        except BaseException as error:
            self._goes_on = True
            self._afterwards.clear()  # The state is not whole, as they were promised.
            self._tell_of(error)
            raise
        finally:
            self._running = self._inside_epoch = False
            self._request = None
            self._afterwards.clear()
        return self.state

    def set_data(self, data: Iterable[Any]) -> None:
        """Go on with other data from the next batch."""
        self.state.dataloader = data
        # The batch at hand, which is of the old data, is trained first.
        at_hand = self._listeners[Events.GET_BATCH_COMPLETED].is_firing
        self._stream.begin_pass(data, self.state.iteration + at_hand)

    # --- Leaving early ----------------------------------------------------

    def terminate(self, skip_completed: bool = False) -> None:
        """
        End the run after the event or iteration under way.

        `TERMINATE` and, unless `skip_completed`, `COMPLETED` are fired. The next
        `run` goes on where this one stopped.
        """
        self._skip_completed = skip_completed
        self._ask_to(_Terminate)

    def terminate_epoch(self, skip_epoch_completed: bool = False) -> None:
        """
        End the epoch after the event or iteration under way; the next begins the data anew.

        `TERMINATE_SINGLE_EPOCH` and, unless `skip_epoch_completed`, `EPOCH_COMPLETED`
        are fired.
        """
        if self._inside_epoch and self._request is None:
            self._skip_epoch_completed = skip_epoch_completed
            self._ask_to(_TerminateEpoch)

    def interrupt(self) -> None:
        """Return from `run` after the event or iteration under way; the next goes on from there."""
        self._ask_to(_Interrupt)

    def _ask_to(self, leave: type[_Leave]) -> None:
        self._request = leave
        self._stop_at = 0

    def _obey(self) -> None:
        if self._request is not None:
            raise self._request

    # --- From event to event ----------------------------------------------

    def _run(self) -> None:
        begun = perf_counter()
        try:
            if not self._interrupted:
                self.is_resuming = self.state.iteration > 0
                self._announce(Events.STARTED)
            while not self._is_complete():
                self._run_epoch()
        except _Interrupt:
            self._interrupted = self._goes_on = True
            self.fire_event(Events.INTERRUPT)
            return
        except _Terminate:
            self.fire_event(Events.TERMINATE)
        else:
            self._interrupted = False
            self._stream.close()
        self.state.times["COMPLETED"] = perf_counter() - begun
        if not self._skip_completed:
            self.fire_event(Events.COMPLETED)

    def _run_epoch(self) -> None:
        state = self.state
        begun = perf_counter()
        opening = self._epoch_start is None
        if self._epoch_start is None:
            state.epoch += 1
            self._epoch_start = state.iteration
        announced, self._interrupted = self._interrupted and not opening, False
        self._inside_epoch = True
        self._skip_epoch_completed = False
        try:
            self.is_resuming = not opening
            if not announced:
                self._announce(Events.EPOCH_STARTED)
            self.is_resuming = False
            self._run_iterations()
        except _TerminateEpoch:
            self._request, self._unfinished, self._inside_epoch = None, 0, False
            self._stream.leave_pass(state.iteration)
            done = state.iteration - self._epoch_start
            self._listeners[Events.TERMINATE_SINGLE_EPOCH].fire(self, iter_counter=done)
        self._epoch_start, self._inside_epoch = None, False
        state.times["EPOCH_COMPLETED"] = perf_counter() - begun
        if not self._skip_epoch_completed:
            self._announce(Events.EPOCH_COMPLETED)

    def _run_iterations(self) -> None:
        """
        Run the iterations of an epoch: the loop.

        What happens only now and then is left to comparisons of two numbers: an
        event costs nothing until a handler is due (`Listeners.due`), and the end
        of the epoch, `max_iters` and every request to leave are in `_stop_at`.
        """
        state, stream, step = self.state, self._stream, self._process_function
        get_started, get_completed, started, completed = self._listeners_of_the_loop()
        stream.open(state.dataloader, state.iteration)
        self._stop_at = self._last_iteration() if self._request is None else 0
        fetched = False
        try:
            while (iteration := state.iteration) < self._stop_at:
                if iteration >= get_started.due:
                    self._fire(get_started)
                try:
                    state.batch = next(stream.iterator)  # type: ignore[arg-type]
                except StopIteration:
                    if not self._begin_pass():
                        break
                    state.batch = next(stream.iterator)  # type: ignore[arg-type]
                except BaseException:
                    stream.drop()
                    raise
                fetched = True
                if iteration >= get_completed.due:
                    self._fire(get_completed)
                state.iteration = iteration = iteration + 1
                self._unfinished = 1
                if iteration >= started.due:
                    self._fire(started)
                state.output = step(self, state.batch)
                self._unfinished = 0
                fetched = False
                if iteration >= completed.due:
                    self._fire(completed)
        except _TerminateEpoch:
            raise
        except BaseException:
            if fetched:
                stream.put_back(state.batch)
            raise
        self._obey()
        if self._out_of_iterations(state.max_iters) and not self._at_end_of_epoch():
            raise _Terminate

    def _listeners_of_the_loop(self) -> list[Listeners]:
        fetching = [Events.GET_BATCH_STARTED, Events.GET_BATCH_COMPLETED]
        stepping = [Events.ITERATION_STARTED, Events.ITERATION_COMPLETED]
        listeners = [self._listeners[event] for event in fetching + stepping]
        for some in listeners:
            some.due = ALWAYS  # The iteration may have been set to another number since.
        if self.state.dataloader is None:
            listeners[: len(fetching)] = [Listeners(None), Listeners(None)]
        return listeners

    def _begin_pass(self) -> bool:
        """After the end of the data, begin it again; say whether the epoch goes on."""
        state = self.state
        done = state.iteration - (self._epoch_start or 0)
        if state.iteration == 0:
            raise ValueError("the data is empty: there is no batch to run on")
        if state.epoch_length is None and done > 0:
            state.epoch_length = done
            self._set_limits(None if state.max_iters else state.max_epochs, state.max_iters)
            return False
        self._announce(Events.DATALOADER_STOP_ITERATION)
        self._stream.begin_pass(state.dataloader, state.iteration)
        if self._stream.has_more():
            return True
        goal = f"{state.max_iters} iterations" if state.max_iters else f"{state.max_epochs} epochs"
        logger.warning("the data ended after iteration %d of a run of %s", state.iteration, goal)
        if done == 0:
            raise _Terminate
        return False

    def _announce(self, event: Event) -> None:
        self._fire(self._listeners[event])

    def _fire(self, listeners: Listeners) -> None:
        listeners.fire(self)
        self._obey()

    def _tell_of(self, error: BaseException) -> None:
        """Run all handlers of `EXCEPTION_RAISED`, also when one of them fails."""
        for handler in self._listeners[Events.EXCEPTION_RAISED].handlers:
            if handler.removed:
                continue
            try:
                handler.call(self, error)
            except Exception as another:
                logger.warning("a handler of EXCEPTION_RAISED failed itself: %r", another)
        try:
            super(Course, self).run_afterwards()  # Also when an iteration was left in the middle.
        except Exception as another:
            logger.warning("what was to be done at the end of the run failed itself: %r", another)


class _Leave(Exception):
    """Leaves the loop, from wherever it is; `run` catches it."""


class _Terminate(_Leave):
    pass


class _TerminateEpoch(_Leave):
    pass


class _Interrupt(_Leave):
    pass
