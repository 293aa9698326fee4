"""What goes wrong, said in one line."""

from __future__ import annotations

from collections.abc import Iterable


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

    nearest = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{nearest[0]}'?" if nearest else ""
