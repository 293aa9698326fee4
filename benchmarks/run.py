"""
Run every framework on every case in turn, and print the medians as a table.

    make bench                              # all of it, some minutes
    python benchmarks/run.py --rounds 3 noop

Each measurement is a process of its own on one thread, and the frameworks take
turns, so that a machine that is slow for a while is slow for all of them.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

from measure import ITERATIONS, cases

HERE = Path(__file__).resolve().parent
TITLES = {
    "noop": "no-op step, one handler with every=100",
    "ten_filters": "the same, and ten handlers that are never due",
    "mlp": "MLP 64-256-10, batch 64, with bar, loss, log, checkpoint",
    "evaluate": "accuracy, loss and confusion matrix of 64 x 10 scores",
}
NAMES = (
    "from scaffold_runtime import BestCheckpoint, Engine, Events, RunSettings, launch; "
    "from scaffold_runtime import EarlyStopping, TerminateOnNan, Accuracy, Loss, RunningAverage; "
    "from scaffold_runtime import report_classification, start_run, cosine_with_warm_up; "
    "from scaffold_runtime import create_supervised_evaluator, restore_best, to_device; "
    "from scaffold_runtime import InMemoryDataset, Loader"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("cases", nargs="*", choices=[*ITERATIONS, []], help="by default all")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()

    print(about_the_machine(), end="\n\n")
    print("| microseconds of CPU time per iteration | framework | median | above bare |")
    print("|---|---|---:|---:|")
    for case in chosen.cases or ITERATIONS:
        frameworks = [framework for name, framework in cases() if name == case]
        times: dict[str, list[float]] = {framework: [] for framework in frameworks}
        for _ in range(chosen.rounds):
            for framework in frameworks:
                times[framework].append(measure(framework, case))
        bare = median(times.get("bare", [0.0]))
        for framework in frameworks:
            time = median(times[framework])
            above = f"{time - bare:.2f} ({time / bare - 1:+.1%})" if bare else ""
            print(f"| {TITLES[case]} | {framework} | {time:.2f} | {above} |", flush=True)
    print(
        f"\nabove `import torch`: {import_time('import scaffold_runtime'):.0f} ms for the runtime,"
    )
    print(f"{import_time(NAMES):.0f} ms with the names that the supervised project imports")


def measure(framework: str, case: str) -> float:
    """Return the microseconds of one iteration."""
    printed = run_python(str(HERE / "measure.py"), framework, case)
    return 1e6 * float(printed.splitlines()[-1])


def import_time(statement: str) -> float:
    """Return by how many milliseconds a statement makes an import longer than torch alone."""
    code = f"import torch; from time import process_time as t; b = t(); {statement}; print(t() - b)"
    return 1e3 * median(float(run_python("-c", code)) for _ in range(7))


def run_python(*arguments: str) -> str:
    """Run Python on one thread with the runtime to import, and return what it prints."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE.parent / "runtime"),
    }
    ended = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{ended.stderr}")
    return ended.stdout


def about_the_machine() -> str:
    packages = ("torch", "pytorch-ignite", "lightning", "torchmetrics")
    installed = {each.name for each in importlib.metadata.distributions()}
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in packages if name in installed
    )
    return f"Python {platform.python_version()}, {versions}; {os.cpu_count()} cores, one used."


if __name__ == "__main__":
    main()
