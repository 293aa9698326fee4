"""
Kill and resume runs of random kinds, at random moments, many times.

    long_run.py --kills 500              # with a new seed, which is printed
    long_run.py --kills 500 --seed 7     # the same runs and kills again
    long_run.py --seed 7 --only 31       # only the 31st run of these

Kills after a time hit another place each time; all others can be repeated exactly.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from crash import comparison, driver, projects
from crash.driver import Kill

from scaffold import project, releases

POINTS = ("start", "backward", "step", "end")
ONE_OF_THE_PROJECT = 10  # In so many runs.
FLAGS = ("--ema", "--bf16", "--save-first", "--background")
MOST = 5  # Kills of a run.


def main() -> int:
    """Kill, resume and compare until there were enough kills; return the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    print(f"{asked.kills} kills, seed {asked.seed}", flush=True)
    begun, kills, failures, number = time.monotonic(), Counter[str](), 0, asked.only or 0
    with tempfile.TemporaryDirectory() as folder, Trial(Path(folder)) as trial:
        while kills.total() < asked.kills and number <= (asked.only or sys.maxsize):
            found = trial.run(number, random.Random(f"{asked.seed}:{number}"), kills)
            if found:
                failures += 1
                repeat = f"--seed {asked.seed} --only {number}"
                print(f"run {number} FAILED ({repeat}): {trial.about}", *found, sep="\n    ")
            number += 1
            if number % 20 == 0:
                print(f"{number} runs, {kills.total()} kills, {failures} failures", flush=True)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(kills.items()))
    print(
        f"{number - (asked.only or 0)} runs, {kills.total()} kills ({kinds}), {failures} failures, "
        f"{time.monotonic() - begun:.0f} s, seed {asked.seed}"
    )
    return 1 if failures else 0


class Trial:
    """Runs of the program and of a project, each beside one that was left alone."""

    def __init__(self, folder: Path) -> None:
        self.about = ""
        self._folder = folder
        self._project = make_project(folder)
        self._program = driver.ForkServer()
        self._projects = driver.ForkServer(self._project, preload=projects.PRELOAD)

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *error: object) -> None:
        self._program.__exit__(None, None, None)
        self._projects.__exit__(None, None, None)

    def run(self, number: int, chance: random.Random, kills: Counter[str]) -> list[str]:
        """Make a run and kill it; add to the kills, and return what was wrong in the end."""
        of_project = number % ONE_OF_THE_PROJECT == ONE_OF_THE_PROJECT - 1
        try:
            return (self._run_project if of_project else self._run_program)(number, chance, kills)
        except driver.Failed as failure:
            return str(failure).splitlines()

    def _run_program(self, number: int, chance: random.Random, kills: Counter[str]) -> list[str]:
        unbroken, killed = (self._folder / f"{number}-{name}" for name in ("unbroken", "killed"))
        options, workers = random_options(chance)
        planned = [
            random_kill(chance, killed / "run", ("--workers", chance.choice(workers)))
            for _ in range(chance.randint(1, MOST))
        ]
        self.about = f"{' '.join(options)}; {'; '.join(map(shown, planned))}"
        driver.run(self._program, unbroken, options)
        resume = ("--workers", chance.choice(workers))
        outcome = driver.run(self._program, killed, options, planned, resume)
        kills.update(kind(kill) for kill in planned[: outcome.kills])
        return comparison.differences(unbroken, killed)

    def _run_project(self, number: int, chance: random.Random, kills: Counter[str]) -> list[str]:
        options = random_settings(self._project, chance)
        unbroken, killed = f"{number}-unbroken", f"{number}-killed"
        folder = self._project / "runs" / killed
        planned = [random_kill(chance, folder) for _ in range(chance.randint(1, MOST))]
        self.about = f"train.py {' '.join(options)}; {'; '.join(map(shown, planned))}"
        projects.train(self._projects, self._project, unbroken, options)
        count = projects.train(self._projects, self._project, killed, options, planned)
        kills.update(f"{kind(kill)} of a project" for kill in planned[:count])
        return projects.differences(self._project, unbroken, killed)


def random_options(chance: random.Random) -> tuple[list[str], list[str]]:
    """Return options of the program, and numbers of workers for its processes."""
    options = ["--seed", str(chance.randrange(1000)), "--max-epochs", str(chance.randint(2, 5))]
    options += ["--save-every", chance.choice(["1", "2", "7", "13", "26", "1ep", "2ep"])]
    options += ["--accumulate", chance.choice(["1", "1", "3", "4"])]
    options += ["--best", chance.choice(["1", "3"]), "--patience", chance.choice(["1", "100"])]
    options += chance.choice([[], ["--scheduler", "cosine"], ["--scheduler", "plateau"]])
    options += [option for option in FLAGS if chance.random() < 0.3]
    return options, chance.choice([["0"], ["0"], ["2"], ["0", "2", "4"]])


def random_settings(folder: Path, chance: random.Random) -> list[str]:
    """Return settings of the project, as far as it has them."""
    wanted = [
        {"seed": str(chance.randrange(1000))},
        {"model": chance.choice(["cnn", "mlp"])},
        {"save_every": chance.choice(["7", "17", "1ep"])},
        {"num_workers": chance.choice(["0", "2"])},
        {"save_in_background": chance.choice(["True", ""])},
    ]
    settings: dict[str, str] = {}
    for setting in wanted:
        if all(setting.values()) and projects.command_line(folder, setting):
            settings |= setting
    return projects.command_line(folder, settings) or []


def random_kill(chance: random.Random, folder: Path, options: Sequence[str] | None = None) -> Kill:
    """Return a kill of any kind, of a project's run or, with options, of one of the program."""
    kinds: list[Mapping[str, str]] = [
        {"CRASH_AT_UPDATE": str(chance.randint(1, 20))},
        Kill.at_operation(chance.randint(2, 160) / 2, folder).environment,
        {},
    ]
    if options is not None:  # A project does not say where it is.
        kinds.append({"CRASH_AT": f"{chance.randint(1, 65)}:{chance.choice(POINTS)}"})
        kinds.append({"CRASH_AT_SAVE": str(chance.randint(1, 4))})
    environment = chance.choice(kinds)
    after = None if environment else chance.uniform(0.0, 0.15 if options else 0.8)
    return Kill(environment, after, options or ())


def kind(kill: Kill) -> str:
    """Return what kind of kill it is."""
    names = {"CRASH_AT": "in iterations", "CRASH_AT_UPDATE": "after updates"}
    names |= {"CRASH_AT_SAVE": "after saves", "CRASH_AT_OPERATION": "in writes"}
    return names.get(next(iter(kill.environment), ""), "at any time")


def shown(kill: Kill) -> str:
    """Return a kill as text."""
    values = [f"{name}={value}" for name, value in kill.environment.items()]
    return " ".join([*(values or [f"after {kill.after:.3f} s"]), *kill.options])


def make_project(folder: Path) -> Path:
    """Render a supervised project from the templates as they stand."""
    history = folder / "history"
    history.mkdir()
    release = releases.Release("0.0.1", releases.working_tree(driver.TESTS.parent))
    releases.write(release, history)
    return project.create(
        str(folder / "project"),
        "supervised",
        [],
        defaults=True,
        repository=False,
        history=history,
    ).folder


if __name__ == "__main__":
    sys.exit(main())
