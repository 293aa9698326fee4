"""
Train every mode over several seeds, and compare the student with itself alone.

    python compare.py                          # 20 runs, about four minutes
    python compare.py --seeds 3 --modes together
    python compare.py --run few --labels 50    # another comparison, by other settings

What is finished is kept: stopped and called again, it goes on where it stopped, and with
more seeds it trains only those that are missing. All settings of train.py can be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import mean, stdev
from typing import TYPE_CHECKING

import train
from modes import ONLY_WITH, Mode, is_used
from results import read_test_numbers
from scaffold_runtime import UserError, launch, plain_settings, write_report
from scaffold_runtime.files import write_whole
from scaffold_runtime.run_settings import CHANGEABLE, RUNS
from scaffold_runtime.settings import Size, read_settings, refuse_unused

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = list[dict[str, float]]  # What the runs of a mode reached, seed after seed.
Table = list[tuple[str, ...]]
COLORS = {"together": "#2563eb", "frozen": "#d97706", "mutual": "#0f766e"}
# These two may change while a run goes on, but would make runs unlike each other.
SAME = [name for name in CHANGEABLE if name not in ("max_epochs", "validate_every")]


@dataclass(frozen=True)
class Settings(train.Settings):  # The mode is given by modes, and seed is the first.
    run: str = "comparison"  # Results go to runs/<run>, its runs to runs/<run>-<mode>-<seed>.
    seeds: Size = 5  # Runs of each mode, of as many seeds.
    modes: tuple[Mode, ...] = ("together", "frozen", "mutual")  # Beside alone.


def main(settings: Settings) -> None:
    """Train what is missing; print the table, and write it with a figure."""
    if settings.resume or settings.evaluate:
        raise UserError("compare.py goes on by itself, and evaluates: leave out the option")
    if settings.mode != Settings.mode:
        raise UserError(f"compare.py runs several modes: give --modes {settings.mode}, not --mode")
    modes: list[Mode] = ["alone", *(mode for mode in settings.modes if mode != "alone")]
    for name, (_, fitting) in ONLY_WITH.items():
        if not any(is_used(name, mode) for mode in modes):
            refuse_unused(settings, {name: ("modes", fitting)})
    if settings.fast_dev_run:
        for mode in modes:
            train.main(_settings_of(settings, mode, settings.seed))
        return
    seeds = range(settings.seed, settings.seed + settings.seeds)
    runs = [(mode, _settings_of(settings, mode, seed)) for seed in seeds for mode in modes]
    for _, run in runs:  # Before anything is trained.
        _check_that_it_is_the_same(run)
    reached: dict[str, Numbers] = {mode: [] for mode in modes}
    for mode, run in runs:
        reached[mode].append(_numbers_of(run))
    print(_write(settings, reached, seeds))


def summarize(reached: Mapping[str, Numbers]) -> Table:
    """
    Return rows of means and standard deviations over the seeds.

    A difference is that to the student alone of the same seed, which has the same data,
    first weights, order of labelled images and number of updates.
    """
    rows: Table = [("mode", "student", "- alone", "seeds better", "teacher")]
    alone = accuracies(reached["alone"], "student")
    for mode, numbers in reached.items():
        student = accuracies(numbers, "student")
        gains = [one - other for one, other in zip(student, alone, strict=True)]
        difference = "" if mode == "alone" else _spread(gains, "+")
        better = "" if mode == "alone" else f"{sum(gain > 0 for gain in gains)} of {len(gains)}"
        teacher = _spread(accuracies(numbers, "teacher")) if mode != "alone" else ""
        rows.append((mode, _spread(student), difference, better, teacher))
    return rows


def list_seeds(reached: Mapping[str, Numbers], seeds: Sequence[int]) -> Table:
    """Return rows of the student's test accuracy, one for each seed, with the differences."""
    others = [mode for mode in reached if mode != "alone"]
    rows: Table = [("seed", "alone", *(text for mode in others for text in (mode, "- alone")))]
    for index, seed in enumerate(seeds):
        alone = reached["alone"][index]["student_accuracy"]
        row = [str(seed), f"{alone:.4f}"]
        for mode in others:
            student = reached[mode][index]["student_accuracy"]
            row += [f"{student:.4f}", f"{student - alone:+.4f}"]
        rows.append(tuple(row))
    return rows


def accuracies(numbers: Numbers, model: str) -> list[float]:
    """Return the test accuracies of a model, seed after seed."""
    return [each[f"{model}_accuracy"] for each in numbers]


# --- Runs -----------------------------------------------------------------


def _settings_of(settings: Settings, mode: Mode, seed: int) -> train.Settings:
    names = [field.name for field in fields(train.Settings) if is_used(field.name, mode)]
    shared = {name: getattr(settings, name) for name in names}
    run = f"{settings.run}-{mode}-{seed}"
    return train.Settings(**{**shared, "run": run, "mode": mode, "seed": seed})


def _check_that_it_is_the_same(run: train.Settings) -> None:
    config = RUNS / run.run / "config.yaml"
    if run.overwrite or not config.exists():
        return
    before = asdict(read_settings(train.Settings, config))
    for name, value in asdict(run).items():
        if name not in SAME and is_used(name, run.mode) and before[name] != value:
            raise UserError(
                f"{name} is {before[name]} in {config}, not {value}: begin another comparison "
                "with --run, or this one again with --overwrite"
            )


def _numbers_of(run: train.Settings) -> dict[str, float]:
    """Return what a run reached: read, if it is finished; else it is trained, or trained on."""
    finished = None if run.overwrite else read_test_numbers(RUNS / run.run)
    if finished is not None:
        return finished
    print(f"--- {run.run}", flush=True)
    goes_on = not run.overwrite and (RUNS / run.run / "log.txt").exists()
    return train.main(replace(run, resume=goes_on))


# --- Results --------------------------------------------------------------


def _write(settings: Settings, reached: Mapping[str, Numbers], seeds: Sequence[int]) -> str:
    """Write table, figure and page; return what is to be printed."""
    folder = RUNS / settings.run
    summary, by_seed = summarize(reached), list_seeds(reached, seeds)
    text = "\n".join([*_lines(summary), "", *_lines(by_seed)]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "table.md", text.encode())
    means = {
        f"{mode}: student": f"{mean(accuracies(numbers, 'student')):.4f}"
        for mode, numbers in reached.items()
    }
    page = write_report(
        folder,
        f"Comparison {settings.run}",
        f"Test accuracy with {settings.labels} labels; {len(seeds)} seeds.",
        means,
        {"comparison": ("Each line is one seed.", plot_comparison(reached))},
        plain_settings(settings),
        {
            "modes": ("Mean and standard deviation over the seeds.", summary),
            "seeds": ("The student's test accuracy, and the same minus alone.", by_seed),
        },
    )
    return f"{text}\ntable: {folder / 'table.md'}\nreport: {page}"


def plot_comparison(reached: Mapping[str, Numbers]) -> Figure:
    """Plot the student's accuracy alone and with help, in a panel for each mode."""
    from matplotlib.figure import Figure

    others = [mode for mode in reached if mode != "alone"]
    figure = Figure(figsize=(1.2 + 2.2 * max(len(others), 1), 3.6), layout="constrained")
    panels = figure.subplots(1, max(len(others), 1), sharey=True, squeeze=False)[0]
    alone = accuracies(reached["alone"], "student")
    for axes, mode in zip(panels, others, strict=False):
        student, color = accuracies(reached[mode], "student"), COLORS[mode]
        for pair in zip(alone, student, strict=True):
            axes.plot((0, 1), pair, "o-", color=color, alpha=0.45, markersize=4)
        axes.plot((0, 1), (mean(alone), mean(student)), "o-", color=color, linewidth=3)
        axes.set_xticks((0, 1), ("alone", mode))
        axes.set(xlim=(-0.3, 1.3), title=f"{mean(student) - mean(alone):+.3f}")
        axes.grid(axis="y", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("test accuracy of the student")
    return figure


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Return mean and standard deviation, as text."""
    spread = f"{stdev(values):.4f}" if len(values) > 1 else "?"
    return f"{mean(values):{sign}.4f} ± {spread}"


def _lines(rows: Table) -> list[str]:
    """Return the rows as a table in Markdown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]


if __name__ == "__main__":
    launch(main, Settings)
