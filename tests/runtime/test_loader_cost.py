"""What it costs to begin in the middle of very much data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import json, re, sys
from pathlib import Path
from time import perf_counter
import torch
from scaffold_runtime import Loader

torch.set_num_threads(1)
loader = Loader(range(20_000_000), 64, shuffle=True)
loader.load_state_dict({"epoch": 1, "position": int(sys.argv[1])})
begun = perf_counter()
next(iter(loader))
first = perf_counter() - begun
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's, too.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) / 1024
begun = perf_counter()
torch.randperm(20_000_000)
print(json.dumps({"first": first, "permutation": perf_counter() - begun, "peak": peak}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units")
def test_beginning_in_the_middle_of_twenty_million_samples_costs_a_permutation() -> None:
    """In time; and in memory, all of it with torch itself, less than 400 MB."""
    at_start, halfway = measure(0), measure(10_000_000)

    assert halfway["first"] <= 1.3 * at_start["first"] + halfway["permutation"]
    assert max(at_start["peak"], halfway["peak"]) < 400


def measure(position: int) -> Any:
    """Return seconds to the first batch and for a permutation, and megabytes at the peak."""
    runtime = Path(__file__).resolve().parents[2] / "runtime"
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(position)],
        cwd=runtime,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)
