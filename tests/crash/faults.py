"""Faults in the writing of checkpoints, planted to see that the kills find them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FAULTS = ("in place", "remove first", "no fallback")


def plant(fault: str | None, folder: Path) -> None:
    """
    Plant one, below whatever the runtime does.

    In place: a file gets its content under its own name, and not by a rename.
    Remove first: the older states are removed before the newest has its name.
    No fallback: what is not the newest file is not there when the run goes on.
    """
    rename = os.replace

    def in_place(source: Any, target: Any, **_: Any) -> None:
        content = Path(source).read_bytes()
        with open(target, "wb") as file:  # noqa: PTH123 - this one is watched for kills.
            file.write(content)
        os.unlink(source)  # noqa: PTH108

    def remove_first(source: Any, target: Any, **_: Any) -> None:
        if Path(target).name == "last.pt":
            for older in folder.glob("last*.pt"):
                older.unlink()
        rename(source, target)

    for name in ("replace", "rename"):
        if fault == "in place":
            setattr(os, name, in_place)
        elif fault == "remove first":
            setattr(os, name, remove_first)
    if fault == "no fallback":
        for older in folder.glob("last-*.pt"):
            older.unlink()
