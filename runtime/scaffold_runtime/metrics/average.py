"""The mean of what a step returns."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.sums import add_up, sum_dtype


class Average(Metric):
    """
    The mean of numbers, or of tensors, each entry on its own.

    A number, and a tensor of shape `()` or `(D,)`, is one sample; a tensor of shape
    `(N, D, ...)` is N of them. (So in Ignite.) The value is a number or a tensor.

    >>> average = Average()
    >>> average.update(1.0)
    >>> average.update(4.0)
    >>> average.compute()
    2.5
    """

    required_output_keys = None
    state_attributes = ("_sum", "_count")

    def reset(self) -> None:
        self._sum: Tensor | float = 0.0
        self._count = 0

    def update(self, output: Tensor | float) -> None:
        """
        Raises:
            TypeError: The output is no number and no tensor.
            ValueError: The tensor's samples have another shape than those before.
        """
        value: Any = output.detach() if isinstance(output, Tensor) else output
        if not isinstance(value, Tensor | int | float):
            raise TypeError(f"Average takes numbers and tensors, not {type(output).__name__}")
        count = 1
        if isinstance(value, Tensor) and value.ndim > 1:
            count = len(value)
            value = value.sum(dim=0, dtype=sum_dtype(value.device))
        if isinstance(self._sum, Tensor) and self._sum.shape != getattr(value, "shape", ()):
            raise ValueError(
                f"the outputs so far were of shape {tuple(self._sum.shape)}, "
                f"not {tuple(getattr(value, 'shape', ()))}"
            )
        is_tensor = isinstance(value, Tensor)
        self._sum = add_up(self._sum, self._keep(value)) if is_tensor else self._sum + value
        self._count += count

    def compute(self) -> Tensor | float:
        if self._count == 0:
            raise NotComputableError("Average has no value: it has seen no output")
        if isinstance(self._sum, Tensor) and self._sum.ndim:
            return self._sum.cpu().double() / self._count
        return float(self._sum) / self._count
