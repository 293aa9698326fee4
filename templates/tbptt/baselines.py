"""
What else predicts a text: measures to hold the model against, in bits per byte.

All of them, and the model, give each byte of the test text a probability, or the whole
of it a length, and leave none out: the numbers can be compared.
"""

from __future__ import annotations

import lzma
from typing import Any

import numpy as np
from numpy.typing import NDArray

SYMBOLS = 256
Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]


def measure_baselines(train: bytes, test: bytes) -> tuple[dict[str, float], Numbers]:
    """
    Return how many bits for a byte of the test text each baseline needs; the 5-gram for each.

    `xz -9` knows nothing but the test text; after the training text it may refer back to
    that as well: what it then needs more than for the training text alone.
    """
    after = compressed_size(train + test) - compressed_size(train)
    five = -np.log2(NGram(train, order=5).probabilities(test))
    bits = {
        "unigram": NGram(train, order=1).bits(test),
        "5-gram": float(five.mean()),
        "xz -9": 8 * compressed_size(test) / len(test),
        "xz -9 after the training text": 8 * after / len(test),
    }
    return bits, five


def compressed_size(text: bytes) -> int:
    """Return to how many bytes `xz -9` compresses a text."""
    return len(lzma.compress(text, preset=9))


class NGram:
    """
    The probability of a byte after the `order - 1` bytes before it, by counting.

    Interpolated Kneser-Ney smoothing with three discounts, by Chen and Goodman, "An
    Empirical Study of Smoothing Techniques for Language Modeling" (1999), section 3:
    what is taken off the counts of a context is given out by the order below, which
    counts after how many different bytes an n-gram was seen. Under the lowest lies 1/256
    for each byte. So after every context the probabilities sum to 1, and none is 0.
    """

    def __init__(self, text: bytes, order: int) -> None:
        lower = [np.unique(grams(text, length + 1)) % SYMBOLS**length for length in range(1, order)]
        self.tables = [Table(seen) for seen in [*lower, grams(text, order)]]

    def probabilities(self, text: bytes) -> Numbers:
        """Return the probability of each byte of a text, given those before it."""
        p = np.full(len(text), 1 / SYMBOLS)
        for length, table in enumerate(self.tables, start=1):
            known = slice(length - 1, None)  # The first bytes have shorter contexts.
            p[known] = table.interpolate(grams(text, length), p[known])
        return p

    def bits(self, text: bytes) -> float:
        """Return the mean number of bits for a byte of a text."""
        return float(-np.log2(self.probabilities(text)).mean())


class Table:
    """The counts of n-grams, what is taken off them, and what each context so gives away."""

    def __init__(self, seen: Codes) -> None:
        self.grams, counts = np.unique(seen, return_counts=True)
        taken = discounts(counts)[np.minimum(counts, 3) - 1]
        self.kept = counts - taken
        self.contexts, place = np.unique(self.grams // SYMBOLS, return_inverse=True)
        self.totals = np.bincount(place, counts)
        self.given_away = np.bincount(place, taken)

    def interpolate(self, asked: Codes, below: Numbers) -> Numbers:
        """Return the probabilities of n-grams' last bytes, given those of the order below."""
        kept = look_up(asked, self.grams, self.kept)
        total = look_up(asked // SYMBOLS, self.contexts, self.totals)
        given_away = look_up(asked // SYMBOLS, self.contexts, self.given_away)
        known = total > 0
        return np.where(known, (kept + given_away * below) / np.where(known, total, 1.0), below)


def discounts(counts: Codes) -> Numbers:
    """Return what is taken off a count of 1, of 2, and of more (eq. 17 of the paper)."""
    n1, n2, n3, n4 = (int((counts == count).sum()) for count in (1, 2, 3, 4))
    if 0 in (n1, n2, n3, n4):  # With few n-grams, or with frequent ones alone.
        return np.full(3, 0.5)
    y = n1 / (n1 + 2 * n2)
    taken = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    return np.clip(taken, 0.1, [1, 2, 3])


def grams(text: bytes, length: int) -> Codes:
    """Return a number for each run of so many bytes; these are its digits."""
    digits = np.frombuffer(text, np.uint8).astype(np.int64)
    count = max(len(digits) - length + 1, 0)
    codes = np.zeros(count, np.int64)
    for place in range(length):
        codes = codes * SYMBOLS + digits[place : place + count]
    return codes


def look_up(asked: Codes, keys: Codes, values: NDArray[Any]) -> Numbers:
    """Return the values of the keys that are asked for, 0 of those that are not there."""
    place = np.searchsorted(keys, asked).clip(max=len(keys) - 1)
    return np.where(keys[place] == asked, values[place], 0.0)
