"""
Measure the loader beside a plain DataLoader, and its start in the middle of much data.

    python benchmarks/loader.py              # some minutes
    python benchmarks/loader.py --rounds 3

The samples cost 100 microseconds of computing each, in batches of 64. Each measurement
is a process of its own; the two loaders take turns, so that a machine that is slow
for a while is slow for both.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
from statistics import median
from time import perf_counter, thread_time
from typing import Any

from run import run_python

SAMPLES, BATCH, BATCHES = 64 * 200, 64, 200
SAMPLE_TIME = 100e-6  # Seconds of a processor.
MANY, MIDDLE = 20_000_000, 10_000_000
CASES = {"0": "no workers", "2": "2 workers", "memory": "tensors in memory, 1 x 64 numbers"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        measure(*chosen.measure)
        return
    import torch

    print(
        f"Python {platform.python_version()}, torch {torch.__version__}; {os.cpu_count()} cores\n"
    )
    print("| microseconds per batch | | plain DataLoader | Loader | above |")
    print("|---|---|---:|---:|---:|")
    for case, title in CASES.items():
        by_way = medians(chosen.rounds, case, ["plain", "loader"])
        for clock, plain, ours in zip(["passed", "of processors"], *by_way, strict=True):
            above = f"{ours - plain:.1f} ({ours / plain - 1:+.1%})"
            print(f"| {title} | {clock} | {plain:.1f} | {ours:.1f} | {above} |", flush=True)
    places = ["0", str(MIDDLE)]
    print(f"\n| first batch of {MANY:,} shuffled samples | seconds | permutation | peak memory |")
    print("|---|---:|---:|---:|")
    for place, values in zip(places, medians(chosen.rounds, "start", places), strict=True):
        first, permutation, peak = values
        print(f"| at {int(place):,} | {first:.2f} | {permutation:.2f} | {peak:.0f} MB |")


def medians(rounds: int, case: str, ways: list[str]) -> list[list[float]]:
    """Measure the ways in turn; return the medians of the numbers that each prints."""
    printed: dict[str, list[list[float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            printed[way].append(run_measurement(case, way))
    return [[median(column) for column in zip(*printed[way], strict=True)] for way in ways]


def run_measurement(case: str, way: str) -> list[float]:
    printed = run_python(__file__, "--measure", case, way)
    return [float(number) for number in printed.split()]


# --- In a process of its own ------------------------------------------------


def measure(case: str, way: str) -> None:
    if case == "start":
        print(*start_at(int(way)))
    elif case == "memory":
        print(*in_memory(way))
    else:
        print(*busy(way, workers=int(case)))


class Busy:
    """Samples that take a fixed time to compute, and are augmented at random."""

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> float:
        end = thread_time() + SAMPLE_TIME
        while thread_time() < end:
            pass
        return index + random.random()


def busy(way: str, workers: int) -> tuple[float, float]:
    from torch.utils.data import DataLoader

    from scaffold_runtime import Loader

    maker: Any = Loader if way == "loader" else DataLoader
    return microseconds(maker(Busy(), batch_size=BATCH, shuffle=True, num_workers=workers))


def in_memory(way: str) -> tuple[float, float]:
    import torch
    from torch.utils.data import DataLoader

    from scaffold_runtime import InMemoryDataset, Loader

    data = InMemoryDataset(torch.randn(SAMPLES, 64))
    if way == "loader":
        return microseconds(Loader(data, BATCH, shuffle=True), epochs=20)
    plain = DataLoader(data, BATCH, shuffle=True, collate_fn=lambda batch: batch)
    return microseconds(plain, epochs=20)


def microseconds(loader: Any, epochs: int = 1) -> tuple[float, float]:
    """Return the time that passed for a batch, and that of all processors, starting included."""
    begun, begun_cpu = perf_counter(), cpu_time()
    for _ in range(epochs):
        for _ in loader:
            pass
    passed, of_processors = perf_counter() - begun, cpu_time() - begun_cpu
    return 1e6 * passed / (epochs * BATCHES), 1e6 * of_processors / (epochs * BATCHES)


def cpu_time() -> float:
    """Return the seconds of this process and of the workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def start_at(position: int) -> tuple[float, float, float]:
    """Return seconds to the first batch and for a permutation, and megabytes at the peak."""
    import torch

    from scaffold_runtime import Loader

    loader = Loader(range(MANY), BATCH, shuffle=True)
    loader.load_state_dict({"epoch": 0, "position": position})
    begun = perf_counter()
    next(iter(loader))
    first = perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    begun = perf_counter()
    torch.randperm(MANY)
    return first, perf_counter() - begun, peak


if __name__ == "__main__":
    main()
