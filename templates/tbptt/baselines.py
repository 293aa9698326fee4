"""
What else predicts a text: three measures to hold the model against, in bits per byte.

All of them, and the model, give every byte of the test text a probability, or a length
in the end, and leave none out: the numbers can be compared.
"""

from __future__ import annotations

import lzma

import numpy as np
from numpy.typing import NDArray

SYMBOLS = 256
Codes = NDArray[np.int64]


def measure_baselines(train: bytes, test: bytes) -> dict[str, float]:
    """Return the bits for a byte of the test text that each baseline needs."""
    return {
        "unigram": NGram(train, order=1).bits(test),
        "5-gram": NGram(train, order=5).bits(test),
        "xz -9": 8 * compressed_size(test) / len(test),
        "xz -9, after the training text": (
            8 * (compressed_size(train + test) - compressed_size(train)) / len(test)
        ),
    }


def compressed_size(text: bytes) -> int:
    """Return the bytes that `xz -9` makes of a text."""
    return len(lzma.compress(text, preset=9))


class NGram:
    """
    The probability of a byte after the `order - 1` bytes before it, by counting.

    Each order is interpolated with the one below it as Witten and Bell (1991, method C)
    do: of a context that was seen n times with t different bytes after it, a byte that
    was seen c times gets (c + t p) / (n + t), where p is its probability by the order
    below; under the lowest lies 1/256 for every byte. So the probabilities of all bytes
    sum to 1 after every context, and none is 0.
    """

    def __init__(self, text: bytes, order: int) -> None:
        self.order = order
        self.tables = [Table(grams(text, length)) for length in range(1, order + 1)]

    def probabilities(self, text: bytes) -> NDArray[np.float64]:
        """Return the probability of each byte of a text, given those before it."""
        p = np.full(len(text), 1 / SYMBOLS)
        for length, table in enumerate(self.tables, start=1):
            known = slice(length - 1, None)  # Those before it have shorter contexts.
            p[known] = table.interpolate(grams(text, length), p[known])
        return p

    def bits(self, text: bytes) -> float:
        """Return the mean number of bits for a byte of a text."""
        return float(-np.log2(self.probabilities(text)).mean())


class Table:
    """How often each n-gram was seen, and each context: how often, with how many bytes after it."""

    def __init__(self, seen: Codes) -> None:
        self.grams, self.counts = np.unique(seen, return_counts=True)
        self.contexts, place, self.kinds = np.unique(
            self.grams // SYMBOLS, return_inverse=True, return_counts=True
        )
        self.totals = np.bincount(place, self.counts)

    def interpolate(
        self, asked: Codes, below: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the probabilities of the last bytes, given those that the order below gives."""
        count = look_up(asked, self.grams, self.counts)
        total = look_up(asked // SYMBOLS, self.contexts, self.totals)
        kinds = look_up(asked // SYMBOLS, self.contexts, self.kinds)
        known = total > 0
        return np.where(known, (count + kinds * below) / np.where(known, total + kinds, 1), below)


def grams(text: bytes, length: int) -> Codes:
    """Return a number for each run of so many bytes: its bytes are the digits."""
    digits = np.frombuffer(text, np.uint8).astype(np.int64)
    count = max(len(digits) - length + 1, 0)
    codes = np.zeros(count, np.int64)
    for place in range(length):
        codes = codes * SYMBOLS + digits[place : place + count]
    return codes


def look_up(asked: Codes, keys: Codes, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the value of each key that is asked for, 0 where there is none; keys are sorted."""
    place = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0)
