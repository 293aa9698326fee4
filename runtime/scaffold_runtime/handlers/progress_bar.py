"""How far the epoch is, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events


class ProgressBar:
    """
    Show one bar for each epoch, with metrics behind it (tqdm).

    It is drawn a few times a second, and only then are the metrics read; in all
    other iterations it compares two times. Lines printed with `log_message`
    appear above the bar.
    """

    def __init__(self, refresh_every: float = 0.1, **tqdm_options: Any) -> None:
        """
        Args:
            refresh_every: Seconds between two drawings.
            tqdm_options: For `tqdm.tqdm`, `disable` and `leave` for example.
        """
        self._refresh_every = refresh_every
        self._options = {"leave": False, "dynamic_ncols": True, "disable": None, **tqdm_options}
        self._bar: Any = None
        self._first = 0  # The iteration after which the epoch began.
        self._next_refresh = 0.0

    def attach(self, engine: Engine, metric_names: Sequence[str] = ()) -> None:
        """Follow an engine, with these of its `state.metrics`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance, metric_names)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._draw, metric_names)
        endings = Events.EPOCH_COMPLETED | Events.TERMINATE | Events.COMPLETED
        engine.add_event_handler(endings | Events.EXCEPTION_RAISED, self._close)

    @staticmethod
    def log_message(message: str) -> None:
        """Print a line that no bar is broken by."""
        from tqdm import tqdm

        tqdm.write(message)

    def _open(self, engine: Engine) -> None:
        from tqdm import tqdm

        self._close()
        state = engine.state
        self._first = state.iteration
        self._bar = tqdm(
            total=state.epoch_length,
            desc=f"epoch {state.epoch}/{state.max_epochs}" if state.max_epochs else None,
            **self._options,
        )

    def _advance(self, engine: Engine, metric_names: Sequence[str]) -> None:
        now = perf_counter()
        if now >= self._next_refresh:
            self._next_refresh = now + self._refresh_every
            self._draw(engine, metric_names)

    def _draw(self, engine: Engine, metric_names: Sequence[str]) -> None:
        if self._bar is None or self._bar.disable:
            return
        state = engine.state
        self._bar.n = state.iteration - self._first
        shown = {name: state.metrics[name] for name in metric_names if name in state.metrics}
        self._bar.set_postfix({name: f"{float(value):.4g}" for name, value in shown.items()})

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
