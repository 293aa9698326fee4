"""
Measure each template's `train.py` beside the same task written plainly.

    python benchmarks/templates.py                       # all of them, some minutes
    python benchmarks/templates.py supervised --rounds 3

`plain/NAME.py` is the plain program: the same model, steps, validation and log, without
the runtime. Both take `--max-epochs`; what an epoch costs is the CPU time of a longer run
less that of a shorter one, so that start-up and report do not count. The two take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from run import about_the_machine

REPOSITORY = Path(__file__).resolve().parents[1]
# Epochs of the shorter and the longer run, and what makes every epoch alike.
EPOCHS = {"supervised": (2, 12), "gan": (5, 30), "multi-model": (2, 12), "tbptt": (1, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("templates", nargs="*", choices=[*EPOCHS, []], help="by default all")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()

    print(about_the_machine(), end="\n\n")
    print("| template | lines | lines, plain | iterations/s | iterations/s, plain | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in chosen.templates or EPOCHS:
        project = REPOSITORY / "templates" / name / "train.py"
        plain = REPOSITORY / "benchmarks" / "plain" / f"{name.replace('-', '_')}.py"
        rounds = [(speed(project, name), speed(plain, name)) for _ in range(chosen.rounds)]
        ours, theirs = (median(each) for each in zip(*rounds, strict=True))
        ratio = median(ours / theirs for ours, theirs in rounds)
        lines = f"{count_lines(project)} | {count_lines(plain)}"
        print(f"| {name} | {lines} | {ours:.1f} | {theirs:.1f} | {ratio:.3f} |", flush=True)


def speed(program: Path, name: str) -> float:
    """Return a program's iterations per second of CPU time, while it trains."""
    (short, short_time), (long, long_time) = (run(program, epochs) for epochs in EPOCHS[name])
    return (long - short) / (long_time - short_time)


def run(program: Path, epochs: int) -> tuple[int, float]:
    """Return how many iterations a run had, and its seconds of CPU time."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, program, "--max-epochs", str(epochs)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY / "runtime")},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        (log,) = Path(folder).rglob("metrics.jsonl")
        iterations = max(json.loads(line)["iteration"] for line in log.open())
    return iterations, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def count_lines(program: Path) -> int:
    """Return the lines of a program."""
    return len(program.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    main()
