"""How surprised a language model is."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from scaffold_runtime.metrics.metric import Metric, NotComputableError
from scaffold_runtime.metrics.sums import add_up, sum_dtype


class BitsPerCharacter(Metric):
    """
    The mean number of bits a model needs for a token: mean NLL / ln 2.

    NLL is the negative log likelihood in nats (Shannon, 1951). `update` takes logits
    `(N, C, ...)` and class indices `(N, ...)`, or the mean NLL of some tokens and how
    many they are, a whole number.

    >>> bits = BitsPerCharacter()
    >>> bits.update((torch.zeros(1, 4, 3), torch.tensor([[0, 1, 3]])))
    >>> round(bits.compute(), 5)
    2.0
    """

    state_attributes = ("_sum", "_count")

    def __init__(
        self,
        output_transform: Callable[[Any], Any] = lambda output: output,
        device: str | torch.device | None = None,
        ignore_index: int = -100,
        skip_unrolling: bool = False,
    ) -> None:
        """
        Args:
            ignore_index: Targets of this class do not count; as in `cross_entropy`.
        """
        self._ignore_index = ignore_index
        super().__init__(output_transform, device, skip_unrolling)

    def reset(self) -> None:
        self._sum: Tensor | float = 0.0
        self._count: Tensor | int = 0

    def update(self, output: tuple[Any, Tensor | int]) -> None:
        """
        Raises:
            ValueError: The shapes do not fit, as `cross_entropy` says.
        """
        y_pred, y = output
        if isinstance(y, Tensor):
            with torch.no_grad():
                exact = y_pred if y_pred.dtype == torch.float64 else y_pred.float()
                nll = cross_entropy(exact, y, reduction="none", ignore_index=self._ignore_index)
            self._sum = add_up(self._sum, self._keep(nll.sum(dtype=sum_dtype(nll.device))))
            kept = torch.count_nonzero(y != self._ignore_index)
            self._count = self._count + self._keep(kept)
        else:
            is_tensor = isinstance(y_pred, Tensor)
            nll = y_pred.detach() if is_tensor else torch.tensor(y_pred, dtype=torch.float64)
            self._sum = add_up(self._sum, self._keep(nll), y)
            self._count = self._count + y

    def compute(self) -> float:
        return self._mean() / log(2)

    def _mean(self) -> float:
        count = int(self._count)
        if count == 0:
            raise NotComputableError(f"{type(self).__name__} has no value: it has seen no token")
        return float(self._sum) / count


class Perplexity(BitsPerCharacter):
    """
    The exponential of the mean negative log likelihood (NLL, in nats) of a token: exp(mean NLL).

    A model that chooses evenly among k tokens has k (Jelinek et al., 1977). `update`
    takes what that of `BitsPerCharacter` does.

    >>> perplexity = Perplexity()
    >>> perplexity.update((torch.zeros(2, 5, 3), torch.tensor([[0, 1, 4], [2, 2, -100]])))
    >>> round(perplexity.compute(), 5)
    5.0
    """

    def compute(self) -> float:
        mean = self._mean()
        return exp(mean) if mean < 700 else float("inf")
