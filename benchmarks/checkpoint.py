"""
Measure how long saving a model of 200 MB holds up the training loop.

    python benchmarks/checkpoint.py              # prints a table of one row
    python benchmarks/checkpoint.py --rounds 30

Each round saves once in the loop and once in the background, and makes small steps
alone, while the background writes, and while another thread hashes for as long. The
loop is held by the call, and by what the steps lose meanwhile. What they lose to the
hashing, which needs no interpreter, they lose to a machine without a core to spare.
All are medians of wall time.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from threading import Thread
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))

import torch
from torch import nn

from scaffold_runtime import Checkpoint

LAYERS = 50
WIDTH = 1000  # 50 layers of 1000 x 1000 numbers of 4 bytes: 200 MB.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=3000, help="small steps beside each save")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        times = measure(Path(folder), chosen.rounds, chosen.steps)

    saved, called, alone, beside, hashing = (1e3 * median(each) for each in times)
    held = called + beside - alone
    print(
        "| saving 200 MB: ms | in the loop | background: the call | what steps lose to it | held |"
    )
    print("|---|---:|---:|---:|---:|")
    print(
        f"| median of {chosen.rounds} | {saved:.0f} | {called:.0f} ({called / saved:.1%}) "
        f"| {beside - alone:.0f} in {alone:.0f} (to hashing: {hashing - alone:.0f}) "
        f"| {held:.0f} ({held / saved:.1%}) |"
    )


def measure(folder: Path, rounds: int, steps: int) -> list[list[float]]:
    """
    Return the seconds of each round: a save in the loop, a call that saves in the
    background, steps alone, while that is written, and while a thread hashes.
    """
    model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS)))
    in_loop = Checkpoint(folder / "loop", {"model": model})
    background = Checkpoint(folder / "background", {"model": model}, background=True)
    step = make_step()

    def make_steps() -> None:
        for _ in range(steps):
            step()

    times: list[list[float]] = [[], [], [], [], []]
    for number in range(rounds + 1):
        saved = seconds(in_loop.save)
        called = seconds(background.save)
        beside = seconds(make_steps)
        background.wait()
        alone = seconds(make_steps)
        hashing = Thread(target=hash_for, args=(saved,))
        hashing.start()
        with_hashing = seconds(make_steps)
        hashing.join()
        if number:  # The first is for warming up.
            for column, value in zip(
                times, (saved, called, alone, beside, with_hashing), strict=True
            ):
                column.append(value)
    return times


def hash_for(duration: float) -> None:
    end, block = perf_counter() + duration, bytes(8 << 20)
    while perf_counter() < end:
        hashlib.sha256(block)


def make_step() -> Callable[[], None]:
    """Return a training step of a small model, which mostly is Python: it feels the thread most."""
    model = nn.Linear(64, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, labels = torch.randn(64, 64), torch.randint(10, (64,))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def seconds(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


if __name__ == "__main__":
    main()
