"""Where the time of an iteration goes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scaffold_runtime.engine import Engine
from scaffold_runtime.events import Events


class Profiler:
    """
    Record a few iterations with `torch.profiler` and write their traces to a folder.

    A trace, `trace_iteration=5.json`, is opened with https://ui.perfetto.dev; beside
    it, `operators_iteration=5.txt` lists the operators that took the most time.

    >>> import tempfile
    >>> import torch
    >>> engine = Engine(lambda engine, batch: torch.ones(10) @ torch.ones(10))
    >>> folder = Path(tempfile.mkdtemp())
    >>> Profiler(folder, wait=1, warmup=1, active=2).attach(engine)
    >>> state = engine.run(range(10))
    >>> sorted(path.name for path in folder.iterdir())
    ['operators_iteration=4.txt', 'trace_iteration=4.json']
    """

    def __init__(
        self,
        folder: str | Path,
        wait: int = 10,
        warmup: int = 2,
        active: int = 5,
        repeat: int = 1,
        **options: Any,
    ) -> None:
        """
        Args:
            folder: Where the traces go; it is made when needed.
            wait: Iterations to pass over first.
            warmup: Iterations to record and throw away.
            active: Iterations in a trace.
            repeat: Traces, one after the other; 0 goes on to the end of the run.
            options: For `torch.profiler.profile`: `profile_memory`, `with_stack`, ...
        """
        self._folder = Path(folder)
        self._schedule = {"wait": wait, "warmup": warmup, "active": active, "repeat": repeat}
        self._options = options
        self._iterations = (wait + warmup + active) * repeat
        self._profile: Any = None
        self._iteration = 0

    def attach(self, engine: Engine) -> None:
        """Record the next run; after its last trace it costs next to nothing."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.COMPLETED | Events.EXCEPTION_RAISED, self._stop)
        engine.add_event_handler(Events.INTERRUPT, self._stop)

    def _start(self, engine: Engine) -> None:
        from torch.profiler import profile, schedule

        self._last = engine.state.iteration + self._iterations
        with _quiet():
            self._profile = profile(
                schedule=schedule(**self._schedule), on_trace_ready=self._write, **self._options
            )
            self._profile.start()

    def _step(self, engine: Engine) -> None:
        if self._profile is None:
            return
        # Put back only when all went well: torch crashes when one that failed is stopped.
        profile, self._profile = self._profile, None
        self._iteration = engine.state.iteration
        with _quiet():
            profile.step()
        self._profile = profile
        if self._iterations and self._iteration >= self._last:
            self._stop()

    def _stop(self) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile.on_trace_ready = None  # It keeps itself alive, and with it this.
            self._profile = None

    def _write(self, profile: Any) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"iteration={self._iteration}"
        profile.export_chrome_trace(str(self._folder / f"trace_{name}.json"))
        table = profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=30)
        (self._folder / f"operators_{name}.txt").write_text(table, encoding="utf-8")


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # That each trace holds its own events alone is what is wanted here.
        warnings.filterwarnings("ignore", ".*Profiler clears events")
        yield
