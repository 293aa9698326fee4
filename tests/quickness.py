"""How long a command takes, on a machine that is busy with other things at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

# What our commands do as well: modules are read, texts compiled, small files written, and git run.
_KNOWN = """
import argparse, asyncio, concurrent.futures, email.mime.multipart, http.server, logging.config
import multiprocessing.pool, sqlite3, subprocess, tarfile, tempfile, unittest.mock
import xml.dom.minidom, xmlrpc.client
from pathlib import Path
text = Path(argparse.__file__).read_text(encoding="utf-8")
for _ in range(8):
    compile(text, "argparse", "exec")
with tempfile.TemporaryDirectory() as folder:
    for number in range(300):
        Path(folder, f"{number}.txt").write_text(text[:5000], encoding="utf-8")
    assert all(path.read_bytes() for path in Path(folder).iterdir())
for _ in range(15):
    subprocess.run(["git", "version"], check=True, capture_output=True)
"""
_TAKES = 0.3  # Seconds that this takes where the limits of the tests hold: on a core of its own.
_ROUNDS = 3


def least(measure: Callable[[int], float], limit: float) -> float:
    """
    Return the least time of several rounds, as it would be if the machine had nothing else to do.

    Cores that share their caches and units with others do less in a second. How much
    less is measured, too, before and after each round; a machine that is faster than
    ours gets no discount.

    Args:
        measure: Takes the number of the round, and returns seconds.
        limit: What is asked; a round below it ends the measurement.
    """
    found = []
    for number in range(_ROUNDS):
        before = cpu_time(_known_work)
        seconds = measure(number)
        slower = max(1.0, (before + cpu_time(_known_work)) / 2 / _TAKES)
        found.append(seconds / slower)
        if found[-1] < limit:
            break
    return min(found)


def cpu_time(act: Callable[[], object]) -> float:
    """Return the CPU time of all processes that a function starts and waits for."""
    before = os.times()
    act()
    after = os.times()
    used = after.children_user + after.children_system
    return used - before.children_user - before.children_system


def _known_work() -> None:
    subprocess.run([sys.executable, "-c", _KNOWN], check=True)
