"""Signals to a process that trains: what it saves, and how it leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaffold_runtime import Engine, Events, SaveOnSignal, read_checkpoint

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"
PROGRAM = """
import sys, time
from dataclasses import dataclass
import torch
from scaffold_runtime import Engine, Events, InMemoryDataset, Loader, RunSettings, launch, start_run

@dataclass(frozen=True)
class Settings(RunSettings):
    log_every: int = 1000
    validation: bool = False

def main(settings):
    run = start_run(settings)
    trainer = Engine(lambda engine, batch: time.sleep(0.02))
    checkpoint = run.save(trainer, {"trainer": trainer})
    run.follow(trainer, [])

    @trainer.on(Events.ITERATION_COMPLETED)
    def show():
        if not settings.validation:
            print("at", trainer.state.iteration, flush=True)

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate():
        if settings.validation:
            print("at", trainer.state.iteration, flush=True)
            time.sleep(0.3)
            print("validated", flush=True)

    if settings.resume:
        checkpoint.restore()
    data = Loader(InMemoryDataset(torch.arange(10)), 1, num_workers=settings.num_workers)
    trainer.run(data, max_epochs=300)

launch(main, Settings)
"""


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of this test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_iteration_at_hand_and_stops(number: signal.Signals) -> None:
    """The exit status is 128 + its number, and one line says how to go on, which works."""
    process = start("--save-every", "1000")
    reached = wait_for_iteration(process, 3)
    process.send_signal(number)
    said, complaint = process.communicate(timeout=30)
    last = max([reached, *map(int, re.findall(r"at (\d+)", said))])

    assert process.returncode == 128 + number
    assert saved_iteration() == last
    assert f"stopped by {number.name}" in complaint
    assert "--run first --resume" in complaint
    assert "Traceback" not in complaint

    going_on = start("--resume")
    assert wait_for_iteration(going_on, 1) == last + 1
    end(going_on)


def test_a_signal_during_validation_saves_after_it() -> None:
    """So that a resumed run has the epoch's results, and does not validate it twice."""
    process = start("--validation", "--save-every", "1000")
    reached = wait_for_iteration(process, 10)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)

    assert (process.returncode, reached, said) == (143, 10, "validated\n")
    assert (
        read_checkpoint(Path("runs/first/checkpoints/last.pt"))["parts"]["trainer"]["epoch_start"]
        is None
    )


def test_a_second_signal_stops_at_once() -> None:
    """Without waiting for the end of a validation, and without saving."""
    process = start("--validation", "--save-every", "1000")
    wait_for_iteration(process, 10)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, complaint = process.communicate(timeout=30)

    assert (process.returncode, said) == (130, "")
    assert "Traceback" not in complaint
    assert not Path("runs/first/checkpoints/last.pt").exists()


def test_sigusr1_saves_and_the_run_goes_on() -> None:
    """As a cluster asks for before a time limit."""
    process = start("--save-every", "1000")
    reached = wait_for_iteration(process, 3)
    process.send_signal(signal.SIGUSR1)
    later = wait_for_iteration(process, reached + 5)
    saved = saved_iteration()
    end(process)

    assert reached <= saved <= later


def test_a_run_stops_when_its_time_is_over() -> None:
    """It is saved, and its exit status is that of an alarm; the next start has the time anew."""
    process = start("--save-every", "1000", "--max-time", "0.5s")
    _, complaint = process.communicate(timeout=30)

    assert process.returncode == 128 + signal.SIGALRM
    assert "stopped by its max_time" in complaint
    assert saved_iteration() > 0

    going_on = start("--resume")
    time.sleep(1)
    wait_for_iteration(going_on, saved_iteration() + 40)
    end(going_on)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_loading_processes_live_through_what_all_processes_are_sent(
    number: signal.Signals,
) -> None:
    """A cluster, and Ctrl-C, signal the whole group: the run still ends its iteration and saves."""
    process = start("--num-workers", "2", "--save-every", "1000")
    reached = wait_for_iteration(process, 3)
    os.killpg(process.pid, number)
    if number is signal.SIGUSR1:
        wait_for_iteration(process, reached + 15)  # Beyond the batches that were at hand.
        end(process)
    _, complaint = process.communicate(timeout=30)

    assert process.returncode == (143 if number is signal.SIGUSR1 else 128 + number)
    assert saved_iteration() >= reached
    assert "Traceback" not in complaint


def test_after_the_run_signals_mean_what_they_meant_before() -> None:
    """Whether it is completed, left by an exception, or was never begun."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    engine = Engine(lambda engine, batch: 1 // batch)
    SaveOnSignal(lambda: None, max_time="1h").attach(engine)
    engine.run([1])
    with pytest.raises(ZeroDivisionError):
        engine.run([0])

    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_called_afterwards_sees_what_all_handlers_have_done() -> None:
    """Also when a handler that comes first asks for it; then once, and not for the next event."""
    engine = Engine(lambda engine, batch: None)
    seen = []

    @engine.on(Events.ITERATION_COMPLETED(once=2))
    def ask() -> None:
        engine.call_afterwards(lambda: seen.append(engine.state.handled))

    @engine.on(Events.ITERATION_COMPLETED)
    def handle() -> None:
        engine.state.handled = engine.state.iteration

    engine.run(range(4))
    assert seen == [2]


def test_what_a_step_asks_for_is_called_after_its_iteration() -> None:
    """Also when no handler is due then; an engine that does not run calls at once."""
    seen = []

    def step(engine: Engine, batch: int) -> None:
        if batch == 1:
            engine.call_afterwards(lambda: seen.append(engine.state_dict()["iteration"]))

    engine = Engine(step)
    engine.run(range(4))
    engine.call_afterwards(lambda: seen.append("now"))
    assert seen == [2, "now"]


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the program, as the leader of a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": str(RUNTIME)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_iteration(process: subprocess.Popen[str], iteration: int) -> int:
    """Read what the program says until it has reached an iteration, and return that."""
    assert process.stdout is not None
    assert process.stderr is not None
    for line in process.stdout:
        found = re.fullmatch(r"at (\d+)\n", line)
        if found and int(found[1]) >= iteration:
            return int(found[1])
    raise AssertionError(process.stderr.read())


def saved_iteration() -> int:
    """Return the iteration of the newest checkpoint."""
    content = read_checkpoint(Path("runs/first/checkpoints/last.pt"))
    return int(content["parts"]["trainer"]["iteration"])


def end(process: subprocess.Popen[str]) -> None:
    """Let the program end."""
    process.terminate()
    process.communicate(timeout=30)
