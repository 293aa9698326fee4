"""Where a run stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class State:
    """
    Where a run stands: counters, the batch and output at hand, the metrics; and what you add.

    While the engine runs, `iteration` and `epoch` count from 1. `times` holds
    the seconds that the last epoch (`"EPOCH_COMPLETED"`) and the whole run
    (`"COMPLETED"`) took.

    >>> state = State(best=0.9)
    >>> state.best, state.iteration
    (0.9, 0)
    """

    def __init__(self, **own: Any) -> None:
        self.iteration = 0
        self.epoch = 0
        self.epoch_length: int | None = None
        self.max_epochs: int | None = None
        self.max_iters: int | None = None
        self.batch: Any = None
        self.output: Any = None
        self.metrics: dict[str, Any] = {}
        self.dataloader: Iterable[Any] | None = None
        self.seed: int | None = None
        self.times: dict[str, float] = {"EPOCH_COMPLETED": 0.0, "COMPLETED": 0.0}
        for name, value in own.items():
            setattr(self, name, value)

    if TYPE_CHECKING:  # Users add names of their own. At run time it would slow every access.

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __repr__(self) -> str:
        plain = (int, float, str, type(None))
        lines = (
            f"    {name}: {value if isinstance(value, plain) else type(value).__name__}"
            for name, value in vars(self).items()
        )
        return "\n".join(["State:", *lines])
