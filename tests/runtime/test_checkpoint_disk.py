"""Disks that refuse, and saving in the background: said in one line, never lost."""

from __future__ import annotations

import errno
import logging
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from children import in_child
from torch import nn

from scaffold_runtime import (
    BestCheckpoint,
    Checkpoint,
    Engine,
    Events,
    UserError,
    files,
    read_checkpoint,
)

RUNTIME = Path(__file__).resolve().parents[2] / "runtime"

# --- A full disk ----------------------------------------------------------


def fill_up(folder: Path, background: bool) -> list[str]:
    """Train while the limit for a file's size is lowered and raised; return what was logged."""
    lines = logged_lines()
    engine = Engine(lambda engine, batch: None)
    parts = {"trainer": engine, "model": nn.Linear(100, 100)}
    checkpoint = Checkpoint(folder, parts, background=background)
    checkpoint.attach(engine, every=1)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    @engine.on(Events.ITERATION_STARTED)
    def fill() -> None:
        if checkpoint._background._thread is not None:
            checkpoint._background._thread.join()  # The limit is for the next save.
        limit = 5000 if engine.state.iteration in (3, 4) else hard
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    engine.run([0] * 5)
    return lines


@pytest.mark.parametrize("background", [False, True], ids=["in the loop", "in the background"])
def test_a_full_disk_is_said_in_one_line_and_the_run_goes_on(
    tmp_path: Path, background: bool
) -> None:
    """What was saved stays, nothing half does, and when there is room again, saving goes on."""
    lines = in_child(lambda: fill_up(tmp_path, background))

    line = (
        f"{tmp_path / 'last.pt'} could not be saved: file too large; training goes on, and what "
        "was saved before is kept"
    )
    assert lines == [line] * 2
    assert iterations(tmp_path) == [5, 2]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(
    sys.platform == "win32" or os.getuid() != 0, reason="only root can make a small file system"
)
def test_a_small_file_system_that_is_full_keeps_the_last_good_one(tmp_path: Path) -> None:
    """The real error of a full disk: no space left."""
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "scaffold-test", str(tmp_path)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine does not let tests mount")
    try:
        lines = in_child(lambda: fill_small(tmp_path))
        assert len(lines) == 2
        assert "last.pt could not be saved: no space left on device" in lines[0]
        assert iterations(tmp_path)[:2] == [5, 2]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def fill_small(folder: Path) -> list[str]:
    """Train while another file fills the disk for two iterations."""
    lines = logged_lines()
    engine = Engine(lambda engine, batch: None)
    checkpoint = Checkpoint(folder, {"trainer": engine, "model": nn.Linear(60, 60)})
    other = folder / "other"

    @engine.on(Events.ITERATION_STARTED)
    def fill() -> None:
        if engine.state.iteration == 3:
            other.write_bytes(bytes(130_000))
        if engine.state.iteration == 5:
            other.unlink()

    checkpoint.attach(engine, every=1)
    engine.run([0] * 5)
    assert not list(folder.glob(".*"))
    return lines


def test_asked_to_stop_the_run_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, so that one line can say it."""
    engine = Engine(lambda engine, batch: None)
    Checkpoint(tmp_path, {"trainer": engine}, on_error="stop").attach(engine, every=2)
    fill_the_disk(monkeypatch)

    with pytest.raises(OSError, match="No space left") as error:
        engine.run([0] * 5)
    assert error.value.filename == str(tmp_path / "last.pt")
    assert engine.state.iteration == 2
    assert not list(tmp_path.iterdir())


def test_saving_by_hand_always_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls it wants to know."""
    checkpoint = Checkpoint(tmp_path, {})
    fill_the_disk(monkeypatch)

    with pytest.raises(OSError, match="No space left"):
        checkpoint.save()


def test_a_full_disk_does_not_end_the_run_when_a_best_model_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The same line, unless asked to stop; the best of before is still the best."""
    engine = Engine(lambda engine, batch: None)
    best = BestCheckpoint(tmp_path, {"model": nn.Linear(1, 1)}, engine)
    stopping = BestCheckpoint(tmp_path, {"model": nn.Linear(1, 1)}, engine, on_error="stop")
    assert best.offer(0.5)
    with monkeypatch.context() as patch:
        fill_the_disk(patch)
        assert not best.offer(0.7)
        with pytest.raises(OSError, match="No space left"):
            stopping.offer(0.7)

    assert "score=0.7000_iteration=0.pt could not be saved: no space left on" in caplog.text
    assert len(caplog.records) == 1
    assert best.score == 0.5
    assert best.offer(0.6)


@pytest.mark.parametrize("make", [Checkpoint, BestCheckpoint])
def test_an_unknown_way_to_take_errors_is_refused(tmp_path: Path, make: Any) -> None:
    """When it is made, not when the disk is full."""
    more = () if make is Checkpoint else (Engine(lambda engine, batch: None),)
    with pytest.raises(ValueError, match="on_error must be 'continue' or 'stop', not 'ignore'"):
        make(tmp_path, {}, *more, on_error="ignore")


# --- A folder that cannot be written --------------------------------------


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    """In one line; neither a handler nor a step has run."""
    tmp_path.chmod(0o555)

    def train() -> tuple[str, int]:
        os.chdir(tmp_path)  # Those above are private.
        if os.getuid() == 0:
            os.setuid(65534)
        engine = Engine(lambda engine, batch: None)
        Checkpoint(Path("checkpoints"), {"trainer": engine}).attach(engine)
        with pytest.raises(UserError) as error:
            engine.run([0])
        return str(error.value), engine.state.iteration

    message, iteration = in_child(train)
    assert message == (
        "checkpoints cannot be saved in checkpoints: permission denied; "
        "make room there, or choose another folder"
    )
    assert iteration == 0


def test_a_file_in_the_place_of_the_folder_is_refused_as_well(tmp_path: Path) -> None:
    """Whatever the reason is, it is said."""
    (tmp_path / "checkpoints").touch()

    with pytest.raises(UserError, match=r"cannot be saved in .*checkpoints: file exists"):
        Checkpoint(tmp_path / "checkpoints", {}).check_writable()


def test_a_run_that_begins_anew_removes_what_killed_ones_left(tmp_path: Path) -> None:
    """Half files of saves, in the folder of the checkpoints."""
    (tmp_path / ".last.pt.abcd.part").write_bytes(b"half")
    engine = Engine(lambda engine, batch: None)
    Checkpoint(tmp_path, {"trainer": engine}).attach(engine)
    engine.run([0])

    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


def test_what_was_attached_is_detached_together(tmp_path: Path) -> None:
    """Nothing is saved, and nothing is asked of the folder."""
    engine = Engine(lambda engine, batch: None)
    Checkpoint(tmp_path / "file" / "below", {"trainer": engine}).attach(engine).remove()
    (tmp_path / "file").touch()

    assert engine.run([0]).iteration == 1


# --- In the background ----------------------------------------------------


def test_in_the_background_the_state_is_that_of_the_call(tmp_path: Path) -> None:
    """What the loop does to the weights meanwhile is not in the file."""
    model = nn.Linear(300, 300)
    checkpoint = Checkpoint(tmp_path, {"model": model}, background=True)
    for value in range(4):
        nn.init.constant_(model.weight, value)
        checkpoint.save()
    nn.init.constant_(model.weight, -1.0)
    checkpoint.wait()

    for name, value in (("last.pt", 3), ("last-1.pt", 2)):
        assert read_checkpoint(tmp_path / name)["parts"]["model"]["weight"].eq(value).all()


def test_the_file_is_the_same_as_one_written_in_the_loop(tmp_path: Path) -> None:
    """Byte for byte."""
    parts = {"model": nn.Linear(30, 30), "trainer": Engine(lambda engine, batch: None)}
    one = Checkpoint(tmp_path / "one", parts, settings={"lr": 0.1})
    other = Checkpoint(tmp_path / "other", parts, settings={"lr": 0.1}, background=True)
    contents = [one.save().read_bytes()]
    path = other.save()
    other.wait()

    assert [path.read_bytes()] == contents


def test_the_loop_goes_on_while_a_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next save waits for the one before, and so does the end of the run."""
    release = hold_the_disk(monkeypatch)
    engine = Engine(lambda engine, batch: None)
    Checkpoint(tmp_path, {"trainer": engine}, background=True).attach(engine, every=3)
    reached: list[int] = []

    @engine.on(Events.ITERATION_COMPLETED)
    def note() -> None:
        reached.append(engine.state.iteration)
        if engine.state.iteration == 5:
            assert not (tmp_path / "last.pt").exists()
            release.set()

    engine.run([0] * 8)
    assert reached == list(range(1, 9))
    assert iterations(tmp_path) == [6, 3]


@pytest.mark.parametrize("ending", ["terminate", "interrupt", "exception", "completed"])
def test_the_end_of_a_run_reports_what_failed_in_the_background(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ending: str,
) -> None:
    """However it ends; in one line, once."""
    engine = Engine(lambda engine, batch: None)
    Checkpoint(tmp_path, {"trainer": engine}, background=True).attach(engine, every=2)

    @engine.on(Events.ITERATION_COMPLETED)
    def end() -> None:
        if engine.state.iteration == 3 and ending == "exception":
            raise RuntimeError("a step went wrong")
        if engine.state.iteration == 3 and ending != "completed":
            getattr(engine, ending)()

    fill_the_disk(monkeypatch)
    try:
        engine.run([0] * 3)
    except RuntimeError:
        assert ending == "exception"

    (record,) = caplog.records
    assert "last.pt could not be saved: no space left on device" in record.getMessage()


def test_the_next_save_reports_what_failed_and_saves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a handler."""
    checkpoint = Checkpoint(tmp_path, {}, background=True)
    with monkeypatch.context() as patch:
        fill_the_disk(patch)
        checkpoint()
        checkpoint._background._thread.join()  # type: ignore[union-attr]
    assert not caplog.records
    checkpoint()
    checkpoint.wait()

    assert len(caplog.records) == 1
    assert (tmp_path / "last.pt").exists()


@pytest.mark.parametrize("action", ["wait", "save", "restore"])
def test_called_by_hand_the_next_action_raises_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Once."""
    checkpoint = Checkpoint(tmp_path, {}, background=True)
    checkpoint.save()
    checkpoint.wait()
    with monkeypatch.context() as patch:
        fill_the_disk(patch)
        checkpoint.save()
        with pytest.raises(OSError, match="No space left"):
            getattr(checkpoint, action)()

    getattr(checkpoint, action)()
    checkpoint.wait()


def test_asked_to_stop_a_failure_in_the_background_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next save."""
    engine = Engine(lambda engine, batch: None)
    parts = {"trainer": engine}
    Checkpoint(tmp_path, parts, background=True, on_error="stop").attach(engine, every=2)
    fill_the_disk(monkeypatch)

    with pytest.raises(OSError, match="No space left"):
        engine.run([0] * 9)
    assert engine.state.iteration == 4


PROGRAM = """
import os, sys, time
from pathlib import Path
from scaffold_runtime import Checkpoint
fsync = os.fsync
def slow(descriptor):
    time.sleep(0.5)
    if sys.argv[2:]:
        raise OSError(28, "No space left on device")
    fsync(descriptor)
os.fsync = slow
Checkpoint(Path(sys.argv[1]), {}, background=True).save()
raise SystemExit(7)
"""


@pytest.mark.parametrize("failing", [False, True])
def test_a_process_ends_only_when_all_is_written_or_reported(tmp_path: Path, failing: bool) -> None:
    """Also one that never asks again."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *["failing"] * failing]
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)

    assert ended.returncode == 7
    assert (tmp_path / "last.pt").exists() is not failing
    assert not list(tmp_path.glob(".*"))
    reported = f"saving in {tmp_path} failed: [Errno 28] No space left on device: "
    assert ended.stderr == (f"{reported}'{tmp_path / 'last.pt'}'\n" if failing else "")


def test_a_mistake_in_a_part_is_no_disk_error(tmp_path: Path) -> None:
    """It is raised in the loop, whatever is to be done about disks."""
    shared = torch.zeros(4)

    class Part:
        def state_dict(self) -> Any:
            return [shared, shared.view(torch.int32)]  # Torch refuses to write this.

        def load_state_dict(self, state_dict: Any) -> None: ...

    engine = Engine(lambda engine, batch: None)
    Checkpoint(tmp_path, {"part": Part()}, background=True).attach(engine, every=1)
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        engine.run([0] * 3)
    assert not list(tmp_path.iterdir())


# --- What else is in the file ---------------------------------------------


def test_settings_and_version_are_in_the_file(tmp_path: Path) -> None:
    """To be looked up later."""
    import scaffold_runtime

    path = Checkpoint(tmp_path, {}, settings={"lr": 0.1, "run": "first"}).save()
    content = read_checkpoint(path)

    assert content["settings"] == {"lr": 0.1, "run": "first"}
    assert content["runtime"] == scaffold_runtime.__version__


# --- Helpers --------------------------------------------------------------


def iterations(folder: Path) -> list[int]:
    """Return the iterations of the files in a folder, the newest first."""
    saved = (read_checkpoint(path)["parts"]["trainer"] for path in folder.glob("*.pt"))
    return sorted((trainer["iteration"] for trainer in saved), reverse=True)


def logged_lines() -> list[str]:
    """Return a list that fills with what is logged."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logging.getLogger("scaffold_runtime").addHandler(Handler())
    return lines


def fill_the_disk(patch: pytest.MonkeyPatch) -> None:
    """Let every file fail when it is flushed."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(os, "fsync", fail)


def hold_the_disk(patch: pytest.MonkeyPatch) -> threading.Event:
    """Let every file wait, in other threads than this one, until the event is set."""
    release, fsync = threading.Event(), os.fsync

    def wait(descriptor: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            assert release.wait(timeout=20)
        fsync(descriptor)

    patch.setattr(files.os, "fsync", wait)
    return release
