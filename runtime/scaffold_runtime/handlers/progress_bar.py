"""How far the epoch is, on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events
from scaffold_runtime.state import State


class ProgressBar:
    """
    Show one bar for each epoch, with metrics behind it (tqdm).

    It is drawn a few times a second, and only then are the metrics read; in all
    other iterations it compares two times. Lines printed with `log_message`
    appear above the bar.

    >>> from scaffold_runtime import Average
    >>> engine, bar = Engine(lambda engine, batch: batch), ProgressBar()
    >>> Average().attach(engine, "loss", "running_batch_wise")
    >>> bar.attach(engine, ["loss"])
    >>> handle = engine.add_event_handler(Events.COMPLETED, bar.log_message, "trained")
    >>> state = engine.run([2.0, 4.0])
    trained
    """

    def __init__(
        self, refresh_every: float = 0.1, persist: bool = False, **tqdm_options: Any
    ) -> None:
        """
        Args:
            refresh_every: Seconds between two drawings.
            persist: Leave the bar of each epoch where it is.
            tqdm_options: For `tqdm.tqdm`, `bar_format` and `disable` for example.
        """
        self._refresh_every = refresh_every
        self._options = {"leave": persist, "dynamic_ncols": True, "disable": None, **tqdm_options}
        self._bar: Any = None
        self._first = 0  # The iteration after which the epoch began.
        self._next_refresh = 0.0

    def attach(
        self,
        engine: Engine,
        metric_names: Sequence[str] | Literal["all"] | None = None,
        output_transform: Callable[[Any], Any] | None = None,
        *,
        state_attributes: Sequence[str] = (),
    ) -> None:
        """
        Follow an engine.

        Args:
            engine: Its epochs are shown.
            metric_names: Which of its `state.metrics` are shown; "all" are those that
                are single numbers.
            output_transform: Makes of the output a mapping to be shown as well, or one
                value, which is called `output`.
            state_attributes: What else of its state is shown.
        """
        shown = _Shown(metric_names or (), output_transform, state_attributes)
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance, shown)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._draw, shown)
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

    def _advance(self, engine: Engine, shown: _Shown) -> None:
        now = perf_counter()
        if now >= self._next_refresh:
            self._next_refresh = now + self._refresh_every
            self._draw(engine, shown)

    def _draw(self, engine: Engine, shown: _Shown) -> None:
        if self._bar is None or self._bar.disable:
            return
        state = engine.state
        self._bar.n = state.iteration - self._first
        self._bar.set_postfix(shown.texts(state))

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@dataclass(frozen=True)
class _Shown:
    """What stands behind the bar."""

    metric_names: Sequence[str] | Literal["all"]
    output_transform: Callable[[Any], Any] | None
    state_attributes: Sequence[str]

    def texts(self, state: State) -> dict[str, str]:
        """Read the values, which may wait for their device."""
        values = {name: getattr(state, name) for name in self.state_attributes}
        if self.metric_names == "all":
            values |= {name: value for name, value in state.metrics.items() if _is_single(value)}
        else:
            here = (name for name in self.metric_names if name in state.metrics)
            values |= {name: state.metrics[name] for name in here}
        if self.output_transform is not None:
            output = self.output_transform(state.output)
            values |= output if isinstance(output, Mapping) else {"output": output}
        return {name: _text(value) for name, value in values.items()}


def _is_single(value: Any) -> bool:
    return isinstance(value, int | float | str) or getattr(value, "ndim", None) == 0


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if getattr(value, "ndim", 0) > 0:
        return " ".join(f"{each:.4g}" for each in value.flatten().tolist())
    return f"{float(value):.4g}"
