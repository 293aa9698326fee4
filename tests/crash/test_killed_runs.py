"""A killed run resumes to the last bit: training programs, killed for real and compared."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from crash import comparison, driver
from crash.conftest import Unbroken
from crash.driver import PROGRAM, Kill, Processes

EVERYTHING = ("--accumulate", "4", "--ema", "--scheduler", "cosine", "--bf16", "--best", "3")
CASES: dict[str, tuple[str, ...]] = {
    "each epoch": ("--save-every", "1ep"),
    "inside epochs": ("--save-every", "7"),
    "on the ends of epochs": ("--save-every", "13"),
    "on every other end": ("--save-every", "26"),
    "saved before all other handlers": ("--save-first", "--ema", "--save-every", "7"),
    "saved first in each epoch": ("--save-first", "--save-every", "1ep"),
    "two workers": ("--workers", "2", "--save-every", "7"),
    "four workers": ("--workers", "4", "--save-every", "7"),
    "accumulated gradients": ("--accumulate", "4", "--save-every", "7"),
    "accumulated, saved at the ends": ("--accumulate", "4", "--save-every", "13"),
    "averaged weights": ("--ema", "--save-every", "7"),
    "cosine": ("--scheduler", "cosine", "--save-every", "7"),
    "plateau": ("--scheduler", "plateau", "--save-every", "7"),
    "bfloat16": ("--bf16", "--save-every", "7"),
    "the best three": ("--best", "3", "--save-every", "7"),
    "the best three, rarely saved": ("--best", "3", "--save-every", "3ep"),
    "in the background": ("--background", "--ema", "--save-every", "3"),
    "everything": (*EVERYTHING, "--save-every", "7"),
}
ITERATIONS = 65  # Of a run of five epochs.
POINTS = ("start", "backward", "step", "end")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_run_killed_anywhere_ends_as_if_it_had_been_left_alone(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, case: str
) -> None:
    """Killed in three iterations, at any point of them, it ends with the same bits."""
    chance = random.Random(case)
    iterations = sorted(chance.sample(range(8, ITERATIONS + 1), 3))
    kills = [Kill.at(iteration, chance.choice(POINTS)) for iteration in iterations]

    killed = driver.run(processes, tmp_path / "killed", CASES[case], kills)

    assert killed.kills == 3
    assert comparison.differences(unbroken(*CASES[case]), killed.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_any_time_ends_the_same(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, seed: int
) -> None:
    """Killed from outside, whatever it is doing, it ends with the same bits."""
    options = (*EVERYTHING, "--save-every", "2")
    times = random.Random(seed)
    kills = [Kill(after=times.uniform(0.01, 0.15)) for _ in range(4)]

    killed = driver.run(processes, tmp_path / "killed", options, kills)

    assert comparison.differences(unbroken(*options), killed.folder) == []


@pytest.mark.slow
def test_a_run_killed_after_every_step_ends_the_same(
    processes: Processes, unbroken: Unbroken, tmp_path: Path
) -> None:
    """Each step in a process of its own, which is killed as soon as the step is saved."""
    options = (*EVERYTHING, "--save-every", "1", "--max-epochs", "2")
    kills = [Kill.at_save()] * 26

    killed = driver.run(processes, tmp_path / "killed", options, kills)

    assert killed.kills == 26
    assert comparison.differences(unbroken(*options), killed.folder) == []


@pytest.mark.slow
def test_a_run_resumed_five_times_ends_the_same(
    processes: Processes, unbroken: Unbroken, tmp_path: Path
) -> None:
    """Five kills, the last two with nothing saved in between, change nothing."""
    options = ("--ema", "--scheduler", "plateau", "--save-every", "7", "--best", "3")
    kills = [Kill.at(iteration) for iteration in (10, 23, 40, 52, 53)]

    killed = driver.run(processes, tmp_path / "killed", options, kills)

    assert killed.kills == 5
    assert comparison.differences(unbroken(*options), killed.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "workers", [(0, 2, 4), (4, 0, 2), (2, 4, 0)], ids=lambda each: "-".join(map(str, each))
)
def test_the_number_of_workers_may_change_between_runs(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, workers: tuple[int, ...]
) -> None:
    """A run that goes on with another number of loader workers, or none, ends the same."""
    first, second, third = (("--workers", str(number)) for number in workers)
    kills = [Kill.at(17, "start", *first), Kill.at(38, "step", *second)]

    killed = driver.run(processes, tmp_path / "killed", ("--save-every", "7"), kills, resume=third)

    assert killed.kills == 2
    assert comparison.differences(unbroken("--save-every", "7"), killed.folder) == []


@pytest.mark.slow
def test_workers_that_outlive_a_killed_run_are_in_nobodys_way(
    processes: Processes, unbroken: Unbroken, tmp_path: Path
) -> None:
    """A run goes on at once, while the workers of the killed process are still there."""
    options = ("--workers", "2", "--save-every", "7")

    killed = driver.run(processes, tmp_path / "killed", options, [Kill.at(30)], sweep=False)

    assert comparison.differences(unbroken(*options), killed.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["save", "validate"])
@pytest.mark.parametrize("interval", ["13", "26"])
def test_a_checkpoint_of_an_epochs_last_batch_goes_on_with_its_end(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, interval: str, point: str
) -> None:
    """Saved after the last batch, killed before the end of the epoch: it is made up for."""
    options = ("--save-every", interval, "--ema", "--scheduler", "plateau", "--best", "3")
    kill = Kill.at_save() if point == "save" else Kill.at(int(interval), "validate")

    killed = driver.run(processes, tmp_path / "killed", options, [kill])

    assert killed.kills == 1
    assert comparison.differences(unbroken(*options), killed.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("iteration", [14, 15, 16, 17, 39])
def test_a_window_of_gradients_is_cut_anywhere(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, iteration: int
) -> None:
    """Saved with 1, 2, 3 or 4 of 4 batches accumulated, or in an epoch's short last window."""
    options = ("--accumulate", "4", "--save-every", str(iteration))

    killed = driver.run(processes, tmp_path / "killed", options, [Kill.at_save()])

    assert killed.kills == 1
    assert comparison.differences(unbroken(*options), killed.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("save_every", ["7", "1ep", "13"])
def test_a_completed_run_goes_on_as_a_longer_one(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, save_every: str
) -> None:
    """Three epochs, and two more later, are five; killed in the later ones, too."""
    options = ("--ema", "--scheduler", "cosine", "--best", "3", "--save-every", save_every)
    shorter = driver.run(processes, tmp_path / "killed", (*options, "--max-epochs", "3"))
    longer = [str(PROGRAM), str(shorter.folder), *options, "--resume"]

    statuses = [
        processes.run(longer, shorter.folder, Kill.at(50)),
        processes.run(longer, shorter.folder),
    ]

    assert statuses == [-signal.SIGKILL, 0], shorter.output
    assert comparison.differences(unbroken(*options), shorter.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "decided", "saved"])
def test_a_run_that_ends_early_ends_where_it_would_have(
    processes: Processes, unbroken: Unbroken, tmp_path: Path, when: str
) -> None:
    """Early stopping counts on, and what it has decided stands, also when killed just then."""
    options = ("--patience", "1", "--max-epochs", "40")
    last = comparison.last_iteration(unbroken(*options))
    kill = {
        "before": Kill.at(last - 5),
        "decided": Kill.at(last, "validate"),
        "saved": Kill.at_save(last // 13),
    }

    killed = driver.run(processes, tmp_path / "killed", options, [kill[when]])

    assert last < 40 * 13
    assert killed.kills == 1
    assert comparison.differences(unbroken(*options), killed.folder) == []


@pytest.mark.slow
def test_processes_that_share_nothing_end_the_same(unbroken: Unbroken, tmp_path: Path) -> None:
    """Processes that Python starts anew, killed by themselves and from outside."""
    options = (*EVERYTHING, "--save-every", "7")
    kills = [Kill.at(30), Kill(after=2.5)]

    killed = driver.run(Processes(), tmp_path / "killed", options, kills)

    assert killed.kills >= 2
    assert comparison.differences(unbroken(*options), killed.folder) == []
