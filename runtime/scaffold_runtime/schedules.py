"""How the learning rate changes over a run, as factors of its peak."""

from __future__ import annotations

import math
from collections.abc import Callable


def cosine_with_warm_up(total: int, warm_up: float = 0.0) -> Callable[[int], float]:
    """
    Return a function from the step to the factor: a straight rise, then half a cosine to 0.

    For `torch.optim.lr_scheduler.LambdaLR`. The cosine is that of Loshchilov and
    Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), eq. 5.

    Args:
        total: Steps in the whole run; the factor is 0 from there on.
        warm_up: The share of them that is the rise.

    >>> factor = cosine_with_warm_up(total=100, warm_up=0.1)
    >>> [round(factor(step), 2) for step in (0, 4, 10, 55, 100, 120)]
    [0.1, 0.5, 1.0, 0.5, 0.0, 0.0]
    """

    rise = round(warm_up * total)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        progress = min((step - rise) / max(total - rise, 1), 1.0)
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    return factor
