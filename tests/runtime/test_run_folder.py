"""The folder of a run: when it is made, kept, refused and removed."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from scaffold_runtime import (
    BestCheckpoint,
    Checkpoint,
    Engine,
    Events,
    Loader,
    Run,
    RunSettings,
    State,
    UserError,
    choose_device,
    read_checkpoint,
    read_json_lines,
    start_run,
)
from scaffold_runtime.run_folder import find_run


@dataclass(frozen=True)
class Settings(RunSettings):
    run: str = "mine"
    device: str = "cpu"
    log_every: int = 2


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of this test's own; afterwards nothing is reported to its runs."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    reports = logging.getLogger("scaffold_runtime")
    reports.handlers.clear()
    reports.setLevel(logging.NOTSET)


# --- Beginning ------------------------------------------------------------


def test_a_run_begins_with_a_seed_and_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Random numbers are those of the seed, and the first line says when and how it began."""
    run = start_run(Settings(seed=5))
    drawn = (random.random(), torch.rand(()).item())
    random.seed(5)
    torch.manual_seed(5)

    assert drawn == (random.random(), torch.rand(()).item())
    assert (run.name, run.folder, run.device) == ("mine", Path("runs/mine"), torch.device("cpu"))
    assert (run.train_length, run.valid_length) == (None, None)
    assert (run.folder / "log.txt").read_text() == capsys.readouterr().out
    assert f"(torch {torch.__version__}, cpu)" in run.header


def test_the_settings_are_written_when_training_starts() -> None:
    """A run that fails before, or is refused, keeps those it had."""
    run, engine = start_run(Settings(seed=5)), Engine(lambda engine, batch: None)
    run.follow(engine, [])
    assert not (run.folder / "config.yaml").exists()
    engine.run([0])

    written = yaml.safe_load((run.folder / "config.yaml").read_text())
    expected = {"run": "mine", "seed": 5, "device": "cpu", "log_every": 2, "save_every": "epoch"}
    assert {name: written[name] for name in expected} == expected
    assert not set(written) & {"resume", "overwrite", "evaluate", "fast_dev_run", "max_time"}


def test_metrics_are_logged_as_often_as_the_settings_say() -> None:
    """Every second iteration of five, under the split "train"."""
    run, engine = start_run(Settings()), Engine(lambda engine, batch: None)
    engine.state.metrics["loss"] = 0.5
    run.follow(engine, ["loss"])
    engine.run(range(5))

    assert read_json_lines(run.logger.path) == [
        {"split": "train", "epoch": 1, "iteration": iteration, "loss": 0.5} for iteration in (2, 4)
    ]


def test_an_epochs_metrics_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """On the terminal and in log.txt; in metrics.jsonl one for each split."""
    run = start_run(Settings())
    capsys.readouterr()
    state = State(epoch=3, max_epochs=12, iteration=30)
    run.log_epoch(state, train={"loss": torch.tensor(0.5)}, valid={"loss": 0.25, "accuracy": 1.0})
    line = "epoch  3/12  |  train loss 0.5000  |  valid loss 0.2500, accuracy 1.0000\n"

    assert capsys.readouterr().out == line
    assert (run.folder / "log.txt").read_text().endswith(line)
    assert [logged["split"] for logged in read_json_lines(run.logger.path)] == ["train", "valid"]


# --- What is there already ------------------------------------------------


def test_a_run_is_not_overwritten_by_chance() -> None:
    """The name is refused with the three ways to go on, and nothing changes."""
    folder = finished_run().folder
    before = contents(folder)

    with pytest.raises(UserError, match=r"exists: choose another name with --run, go on with"):
        start_run(Settings())
    assert contents(folder) == before


def test_an_empty_folder_is_no_run() -> None:
    """It is used."""
    Path("runs/mine").mkdir(parents=True)

    assert start_run(Settings()).folder.exists()


def test_overwriting_begins_with_an_empty_folder() -> None:
    """Nothing of the older run is left to be mistaken for a result of this one."""
    folder = finished_run().folder
    start_run(Settings(overwrite=True))

    assert list(contents(folder)) == ["log.txt"]


def test_overwriting_removes_only_what_a_run_has_made() -> None:
    """A folder that is something else is refused and left alone."""
    precious = Path("runs/mine/thesis.tex")
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")

    with pytest.raises(UserError, match="is not the folder of a run, so it is not overwritten"):
        start_run(Settings(overwrite=True))
    assert precious.read_text() == "years of work"


def test_overwriting_what_is_not_there_is_beginning() -> None:
    """There is nothing to remove."""
    assert start_run(Settings(overwrite=True)).folder.exists()


def test_a_run_killed_before_its_first_checkpoint_begins_at_the_beginning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Though a best one is there; its lines are gone. A checkpoint that is there is taken up."""
    epochs = []
    for _ in range(2):
        run, engine = start_run(Settings(resume=bool(epochs))), Engine(lambda engine, batch: None)
        checkpoint = run.save(engine, {"trainer": engine})
        run.follow(engine, [])
        if not epochs:
            run = start_run(Settings(resume=True))
            BestCheckpoint(run.checkpoints, {"trainer": engine}, engine).offer(0.5)
            run.logger.path.write_text('{"split": "train", "epoch": 1}\n')  # Of what was lost.
            run.resume(checkpoint)
            assert "no checkpoint was saved yet" in capsys.readouterr().out
            assert read_json_lines(run.logger.path) == []
        else:
            run.resume(checkpoint)
        engine.add_event_handler(
            Events.EPOCH_STARTED, lambda engine: epochs.append(engine.state.epoch)
        )
        engine.run([0], max_epochs=2 + len(epochs) // 2)

    assert epochs == [1, 2, 3]


def test_a_run_without_its_settings_is_not_gone_on_with() -> None:
    """Others would be taken for those it was begun with."""
    run = finished_run()
    (run.checkpoints / "last.pt").parent.mkdir(exist_ok=True)
    (run.checkpoints / "last.pt").touch()
    (run.folder / "config.yaml").unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"has no config\.yaml"):
        start_run(Settings(resume=True))


@pytest.mark.parametrize("asked", [{"resume": True}, {"evaluate": "test"}])
def test_nothing_can_be_gone_on_with_or_evaluated(asked: dict[str, Any]) -> None:
    """Without a run, or without a checkpoint to evaluate, one line says what to do."""
    verb = next(iter(asked))
    with pytest.raises(UserError, match=f"nothing to {verb}: there is no runs.mine; start it"):
        start_run(Settings(**asked))
    assert not Path("runs").exists()

    start_run(Settings())
    if verb == "evaluate":
        with pytest.raises(UserError, match=r"nothing to evaluate: nothing was saved in runs.mine"):
            start_run(Settings(**asked))


def test_a_resumed_run_keeps_what_is_there() -> None:
    """Its lines are added to the log."""
    folder = finished_run().folder
    before = contents(folder)
    start_run(Settings(resume=True))
    after = contents(folder)

    assert after.pop("log.txt").startswith(before.pop("log.txt"))
    assert after == before


def test_evaluating_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What it says is shown and not logged."""
    folder = finished_run().folder
    before = contents(folder)
    capsys.readouterr()
    start_run(Settings(evaluate="test")).say("accuracy 1")

    assert contents(folder) == before
    assert capsys.readouterr().out == "accuracy 1\n"


def test_what_excludes_each_other_is_refused() -> None:
    """Nobody's run is removed because two things were asked at once."""
    folder = finished_run().folder
    with pytest.raises(UserError, match="--resume and --overwrite exclude each other"):
        start_run(Settings(resume=True, overwrite=True))
    assert len(contents(folder)) > 1


@pytest.mark.parametrize(
    "wrong", [{"save_every": "often"}, {"save_every": "0"}, {"max_time": "2ep"}]
)
def test_intervals_are_checked_before_a_folder_is_made(
    wrong: dict[str, Any], working_directory: Path
) -> None:
    """So that the same name can be used again when they are right."""
    with pytest.raises(UserError, match=wrong.get("save_every", wrong.get("max_time"))):
        start_run(Settings(**wrong))

    assert not (working_directory / "runs").exists()


def test_a_file_in_the_way_is_named() -> None:
    """One line, no traceback."""
    Path("runs").mkdir()
    Path("runs/mine").touch()

    with pytest.raises(UserError, match=r"runs.mine is a file; choose another name"):
        start_run(Settings())


# --- Names ----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "../up", "a/b", "a\\b", "/root", "C:", "a\nb", "a\0b", "a*", "<a>"],
)
def test_a_name_that_would_be_another_place_is_refused(name: str, working_directory: Path) -> None:
    """Nothing is made anywhere, and nothing looked for."""
    with pytest.raises(UserError, match="cannot be the name of a run"):
        start_run(Settings(run=name))
    with pytest.raises(UserError, match="cannot be the name of a run"):
        find_run(name)
    assert list(working_directory.iterdir()) == []


@pytest.mark.parametrize("name", ["first", "lr 0.1", "größer", "a-b_c.d"])
def test_other_names_are_names(name: str) -> None:
    """The folder is called like the run."""
    assert start_run(Settings(run=name)).folder == Path("runs", name)


def test_where_nothing_was_trained_the_command_is_said() -> None:
    """A run that is asked for there has to be made first."""
    with pytest.raises(UserError, match=r"no run 'mine' here; .* python train.py --run mine"):
        find_run("mine")


def test_a_run_is_found_by_its_name() -> None:
    """Another name is refused with those there are."""
    folder = finished_run().folder

    assert find_run("mine") == folder
    with pytest.raises(UserError, match="there is no run 'other' here; there are: mine"):
        find_run("other")


# --- Trying out -----------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # Within MLflow.
def test_a_fast_dev_run_writes_nothing_here(working_directory: Path) -> None:
    """It is limited to one batch, its folder lies elsewhere, and no tracker hears of it."""
    run = start_run(Settings(fast_dev_run=True, log_to=("mlflow",)))
    engine = Engine(lambda engine, batch: None)
    run.follow(engine, [])
    run.log_epoch(engine.state, train={"loss": 1.0})
    Checkpoint(run.checkpoints, {}).save()

    assert (run.train_length, run.valid_length) == (1, 1)
    assert list(working_directory.iterdir()) == []
    assert working_directory not in run.folder.resolve().parents


def test_a_fast_dev_run_has_one_epoch_of_each_kind() -> None:
    """Those of a project's own, which are named `..._epochs`, are shortened like `max_epochs`."""

    @dataclass(frozen=True)
    class Own(RunSettings):
        max_epochs: int = 40
        teacher_epochs: int = 30
        width: int = 8

    settings = start_run(Own(fast_dev_run=True)).settings

    assert (settings.max_epochs, settings.teacher_epochs, settings.width) == (1, 1, 8)


def test_a_fast_dev_run_finds_out_that_a_tracker_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what the run that it tries out would say."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)

    with pytest.raises(UserError, match="tensorboard is not installed; get it with"):
        start_run(Settings(fast_dev_run=True, log_to=("tensorboard",)))


def test_a_fast_dev_run_does_not_mind_a_run_of_its_name() -> None:
    """The run is not touched."""
    folder = finished_run().folder
    before = contents(folder)
    start_run(Settings(fast_dev_run=True))

    assert contents(folder) == before


# --- Devices --------------------------------------------------------------


def test_the_device_is_the_best_or_the_one_that_is_named() -> None:
    """CUDA before MPS before the CPU."""
    best = "cuda" if torch.cuda.is_available() else None
    best = best or ("mps" if torch.backends.mps.is_available() else "cpu")

    assert choose_device().type == best
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "", "cpu cpu"])
def test_a_device_that_is_not_there_is_refused(name: str, working_directory: Path) -> None:
    """Before a folder is made."""
    with pytest.raises(UserError, match=f"there is no device '{name}' here; try --device auto"):
        start_run(Settings(device=name))
    assert list(working_directory.iterdir()) == []


# --- Helpers --------------------------------------------------------------


def finished_run() -> Run:
    """Make a run with settings, metrics and a checkpoint."""
    run, engine = start_run(Settings()), Engine(lambda engine, batch: None)
    run.follow(engine, [])
    engine.run(range(4))
    Checkpoint(run.checkpoints, {"trainer": engine}).save()
    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, without the lock."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# --- Saving, reporting, one process at a time -------------------------------


def test_a_second_process_is_refused(working_directory: Path) -> None:
    """While one process writes a run, also when it only waits; and its files stay as they are."""
    run = start_run(Settings())
    (run.folder / "config.yaml").write_text("seed: 0\n")
    before = contents(run.folder)
    program = (
        "from scaffold_runtime import RunSettings, UserError, start_run\n"
        "try:\n    start_run(RunSettings(run='mine', overwrite=True))\n"
        "except UserError as error:\n    print(error)\n"
    )
    runtime = Path(__file__).resolve().parents[2] / "runtime"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(runtime)},
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"runs/mine is being written by another process ({os.getpid()})" in ended.stdout
    assert contents(run.folder) == before


def test_a_run_is_saved_as_often_as_the_settings_say_and_at_its_end() -> None:
    """Every third iteration of five is the third; the end is saved, too."""
    run, engine = start_run(Settings(save_every="3")), Engine(lambda engine, batch: None)
    saved = []
    run.save(engine, {"trainer": engine})

    @engine.on(Events.ITERATION_COMPLETED)
    def look() -> None:
        if (newest := run.checkpoints / "last.pt").exists():
            saved.append(read_checkpoint(newest)["parts"]["trainer"]["iteration"])

    engine.run(range(5))
    assert saved == [3, 3]
    assert read_checkpoint(run.checkpoints / "last.pt")["parts"]["trainer"]["iteration"] == 5
    assert read_checkpoint(run.checkpoints / "last.pt")["settings"]["save_every"] == "3"


def test_what_the_runtime_reports_is_said_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """As lines like all others, those that are no good news with what they are."""
    run = start_run(Settings())
    logging.getLogger("scaffold_runtime.checkpoints.checkpoint").warning("%s is damaged", "last.pt")
    logging.getLogger("scaffold_runtime.handlers").info("the run ends")

    said = capsys.readouterr().out.splitlines()[1:]
    assert said == ["warning: last.pt is damaged", "the run ends"]
    assert (run.folder / "log.txt").read_text().splitlines()[1:] == said


def test_killed_while_overwriting_a_run_can_be_overwritten_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What tells that the folder is a run's goes last."""
    run = finished_run()
    monkeypatch.setattr(Path, "unlink", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start_run(Settings(overwrite=True))
    monkeypatch.undo()
    monkeypatch.chdir(run.folder.resolve().parents[1])

    start_run(Settings(overwrite=True))
    assert list(contents(run.folder)) == ["log.txt"]


def interrupt(*_: object, **__: object) -> None:
    """Do as a kill does."""
    raise KeyboardInterrupt


# --- Less, the same, elsewhere --------------------------------------------


@dataclass(frozen=True)
class LongSettings(Settings):
    max_epochs: int = 5


def test_a_limit_shortens_epochs_and_validations() -> None:
    """Zero is all; another number is what `Engine.run` and schedules get."""
    run = start_run(LongSettings(limit_train_batches=3, limit_valid_batches=2))
    assert (run.train_length, run.valid_length, run.total_iterations(range(10))) == (3, 2, 15)

    run = start_run(LongSettings(run="all"))
    assert (run.train_length, run.valid_length, run.total_iterations(range(10))) == (None, None, 50)


def test_overfitting_trains_on_the_first_batches_alone() -> None:
    """What is shuffled or augmented anew each epoch stays as it was drawn at first."""
    run, seen = start_run(LongSettings(overfit_batches=2)), []
    engine = Engine(lambda engine, batch: seen.append(batch))
    loader = Loader(torch.arange(100), batch_size=1, shuffle=True)

    batches = run.batches(loader)
    engine.run(batches, max_epochs=3)

    assert run.total_iterations(batches) == 10
    assert len(seen) == 6
    assert seen[:2] == seen[2:4] == seen[4:]


def test_deterministic_asks_torch_for_algorithms_that_repeat() -> None:
    """Those that do not are refused by torch from then on."""
    try:
        start_run(Settings(deterministic=True))
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        del os.environ["CUBLAS_WORKSPACE_CONFIG"]


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # Within MLflow.
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("csv", "runs/mine/metrics.csv"),
        ("tensorboard", "runs/mine/tensorboard/events*"),
        ("mlflow", "runs/mlflow.db"),
        ("wandb", "runs/mine/wandb/offline-run-*/*.wandb"),
    ],
)
def test_metrics_go_where_the_settings_say_as_well(
    name: Any, written: str, working_directory: Path
) -> None:
    """Beside metrics.jsonl, to one or several others; each ends with the run."""
    run, engine = start_run(Settings(log_to=(name,))), Engine(lambda engine, batch: None)
    engine.state.metrics["loss"] = 0.5
    run.follow(engine, ["loss"])
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: run.log_epoch(engine.state, valid={"accuracy": 0.25})
    )
    engine.run(range(4))
    run.finish(engine.state, "test", {"accuracy": 0.5})

    assert len(read_json_lines(run.logger.path)) == 4
    assert list(working_directory.glob(written))


def test_a_table_of_metrics_goes_on_with_the_run() -> None:
    """Rows that came after the checkpoint are cut off, and written again when the run goes on."""
    for resume in (False, True):
        run = start_run(Settings(log_to=("csv",), save_every="2", resume=resume))
        engine = Engine(lambda engine, batch: None)
        engine.state.metrics["loss"] = 0.5
        run.follow(engine, ["loss"])
        checkpoint = run.save(engine, {"trainer": engine})
        if resume:
            run.resume(checkpoint)
        else:
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=5), fail)
        with contextlib.suppress(ZeroDivisionError):
            engine.run(range(8))

    rows = (run.folder / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[2] for row in rows] == ["iteration", "2", "4", "6", "8"]


def fail() -> None:
    """Fail as a step might."""
    raise ZeroDivisionError


def test_a_run_that_is_over_says_so_when_it_is_resumed(capsys: pytest.CaptureFixture[str]) -> None:
    """With more epochs it goes on instead; with fewer the trainer refuses, and it alone speaks."""
    for max_epochs, done in [(2, False), (2, True), (1, False), (3, False)]:
        settings = LongSettings(max_epochs=max_epochs, resume=Path("runs/mine").exists())
        run, engine = start_run(settings), Engine(lambda engine, batch: None)
        checkpoint = run.save(engine, {"trainer": engine})
        run.follow(engine, [])
        if settings.resume:
            run.resume(checkpoint)
        assert ("epochs are done" in capsys.readouterr().out) == done
        refused = pytest.raises(ValueError, match="but the run has reached 2")
        with refused if max_epochs == 1 else contextlib.nullcontext():
            engine.run([0], max_epochs)
