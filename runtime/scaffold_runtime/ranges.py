"""The numbers that a setting may be."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated

LARGEST = 2**63 - 1  # What fits into a tensor, and into a generator's seed.


@dataclasses.dataclass(frozen=True)
class Range:
    """
    The values that a setting may have, both ends included.

    >>> 3 in Range(1), 0 in Range(1), str(Range(0, 1))
    (True, False, 'from 0 to 1')
    """

    least: float
    most: float = math.inf

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.least <= value <= self.most

    def __str__(self) -> str:
        is_bound = self.most < LARGEST
        return f"from {self.least} to {self.most}" if is_bound else f"at least {self.least}"


Size = Annotated[int, Range(1)]
Count = Annotated[int, Range(0, LARGEST)]
Amount = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
