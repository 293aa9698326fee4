"""
Measure each template's `train.py` beside the same task written plainly.

    python benchmarks/templates.py                       # all of them, some minutes
    python benchmarks/templates.py supervised --rounds 3

`plain/NAME.py` is the plain program: the same model, steps, validation, log and checkpoints,
without the runtime; its checkpoints are written by `torch.save` alone and cannot be gone on from.
Both take `--max-epochs`; what an epoch costs is the time of a longer run less that of a shorter
one, so that start-up and report do not count. The two run at the same time, each on one thread, so
that whatever else the machine does meets both; when one has ended, the other has the machine to
itself. It needs two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import NamedTuple

from run import about_the_machine

REPOSITORY = Path(__file__).resolve().parents[1]
# Epochs of the shorter and the longer run.
EPOCHS = {"supervised": (2, 32), "gan": (5, 30), "multi-model": (2, 22), "tbptt": (1, 2)}
HEADING = """\
| template | lines of train.py | of all its own files | plain | \
iterations per CPU second | plain | ratio | ratio of wall time |
|---|---:|---:|---:|---:|---:|---:|---:|"""


class Run(NamedTuple):
    """What a run took, or what one took more than another."""

    iterations: int
    cpu: float  # Seconds.
    wall: float  # Seconds.

    @property
    def by_cpu(self) -> float:
        """Iterations per second of processor time."""
        return self.iterations / self.cpu

    @property
    def by_wall(self) -> float:
        """Iterations per second that passed."""
        return self.iterations / self.wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("templates", nargs="*", choices=[*EPOCHS, []], help="by default all")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()

    if os.cpu_count() == 1:
        raise SystemExit("there is one core, and the programs that are compared need two")

    print(about_the_machine(), end="\n\n")
    print(HEADING)
    for name in chosen.templates or EPOCHS:
        print(row(name, chosen.rounds), flush=True)


def row(name: str, rounds: int) -> str:
    """Measure a template beside the plain program, and say how they compare."""
    project = REPOSITORY / "templates" / name
    plain = REPOSITORY / "benchmarks" / "plain" / f"{name.replace('-', '_')}.py"
    pairs = [train((project / "train.py", plain), EPOCHS[name]) for _ in range(rounds)]
    ours, theirs = (median(run.by_cpu for run in runs) for runs in zip(*pairs, strict=True))
    cpu = median(ours.by_cpu / theirs.by_cpu for ours, theirs in pairs)
    wall = median(ours.by_wall / theirs.by_wall for ours, theirs in pairs)
    all_files = sum(map(count_lines, project.glob("*.py")))
    lines = f"{count_lines(project / 'train.py')} | {all_files} | {count_lines(plain)}"
    return f"| {name} | {lines} | {ours:.1f} | {theirs:.1f} | {cpu:.3f} | {wall:.3f} |"


def train(programs: Sequence[Path], epochs: tuple[int, int]) -> list[Run]:
    """Return what the further epochs of longer runs took, without start-up and report."""
    with ThreadPoolExecutor(len(programs)) as beside:
        short, long = (list(beside.map(run, programs, repeat(number))) for number in epochs)
    return [
        Run(*(more - less for more, less in zip(*both, strict=True)))
        for both in zip(long, short, strict=True)
    ]


def run(program: Path, epochs: int) -> Run:
    """Train for so many epochs, in a folder that is removed, and return what that took."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "said.txt").open("w+") as said:
        began = time.perf_counter()
        training = subprocess.Popen(
            [sys.executable, program, "--max-epochs", str(epochs)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "runtime")},
            stdout=said,
            stderr=said,
        )
        _, status, used = os.wait4(training.pid, 0)  # What it used, without the other program.
        wall = time.perf_counter() - began
        training.returncode = os.waitstatus_to_exitcode(status)
        if training.returncode != 0:
            said.seek(0)
            raise SystemExit(f"{program} failed:\n{said.read()}")
        (log,) = Path(folder).rglob("metrics.jsonl")
        iterations = max(json.loads(line)["iteration"] for line in log.open())
    return Run(iterations, used.ru_utime + used.ru_stime, wall)


def count_lines(program: Path) -> int:
    """Return the lines of a program."""
    return len(program.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    main()
