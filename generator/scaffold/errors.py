"""What goes wrong, said in one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_LONGEST = 60  # Characters of a value that a message shows.


class ScaffoldError(Exception):
    """
    Tell the user in one line what is wrong, the value, and what to do next.

    Whatever text it is made of, the message is one line: line breaks and runs
    of blanks become one blank.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest of the known words, or nothing."""
    import difflib

    nearest = difflib.get_close_matches(word[:_LONGEST], list(known), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""


def short(value: Any) -> str:
    """Return how Python writes a value, cut where a message would get too long."""
    import reprlib

    shown = reprlib.Repr()
    shown.maxlevel, shown.maxlist, shown.maxdict = 2, 3, 3
    shown.maxstring = shown.maxother = shown.maxlong = _LONGEST
    return shown.repr(value)
