"""
Measure each template's `train.py` beside the same task written plainly.

    python benchmarks/templates.py                       # all of them, some minutes
    python benchmarks/templates.py supervised --rounds 3

`plain/NAME.py` is the plain program: the same model, steps, validation, log and checkpoints,
without the runtime; its checkpoints are written by `torch.save` alone and cannot be gone on from.
Both take `--max-epochs`; what an epoch costs is the time of a longer run less that of a shorter
one, so that start-up and report do not count. The two take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
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

    print(about_the_machine(), end="\n\n")
    print(HEADING)
    for name in chosen.templates or EPOCHS:
        print(row(name, chosen.rounds), flush=True)


def row(name: str, rounds: int) -> str:
    """Measure a template beside the plain program, and say how they compare."""
    project = REPOSITORY / "templates" / name
    plain = REPOSITORY / "benchmarks" / "plain" / f"{name.replace('-', '_')}.py"
    pairs = [(train(project / "train.py", name), train(plain, name)) for _ in range(rounds)]
    ours, theirs = (median(run.by_cpu for run in runs) for runs in zip(*pairs, strict=True))
    cpu = median(ours.by_cpu / theirs.by_cpu for ours, theirs in pairs)
    wall = median(ours.by_wall / theirs.by_wall for ours, theirs in pairs)
    all_files = sum(map(count_lines, project.glob("*.py")))
    lines = f"{count_lines(project / 'train.py')} | {all_files} | {count_lines(plain)}"
    return f"| {name} | {lines} | {ours:.1f} | {theirs:.1f} | {cpu:.3f} | {wall:.3f} |"


def train(program: Path, name: str) -> Run:
    """Return what the further epochs of a longer run took, without start-up and report."""
    short, long = (run(program, epochs) for epochs in EPOCHS[name])
    return Run(*(more - less for more, less in zip(long, short, strict=True)))


def run(program: Path, epochs: int) -> Run:
    """Train for so many epochs."""
    with tempfile.TemporaryDirectory() as folder:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, program, "--max-epochs", str(epochs)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "runtime")},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        (log,) = Path(folder).rglob("metrics.jsonl")
        iterations = max(json.loads(line)["iteration"] for line in log.open())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(iterations, cpu, wall)


def count_lines(program: Path) -> int:
    """Return the lines of a program."""
    return len(program.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    main()
