"""The numbers that a setting may be."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated


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
        finite = math.isfinite(self.most)
        return f"from {self.least} to {self.most}" if finite else f"at least {self.least}"


Size = Annotated[int, Range(1)]
Count = Annotated[int, Range(0, 2**63 - 1)]
Amount = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
