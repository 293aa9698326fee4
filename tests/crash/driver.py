"""Run programs, kill them, resume them, and compare what came of them with an unbroken run."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

TESTS = Path(__file__).resolve().parents[1]
RUNTIME = TESTS.parent / "runtime"
PROGRAM = TESTS / "crash" / "program.py"
LIMIT = 60.0  # Seconds after which a process hangs.
HANGS = -999  # The status of one that does.
STARTER = (
    "import runpy, sys; from pathlib import Path; from crash import killing; killing.arm(); "
    "del sys.argv[0]; sys.path.insert(0, str(Path(sys.argv[0]).parent.resolve())); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


@dataclass(frozen=True)
class Kill:
    """When a process is killed: by itself, as its environment says, or after some seconds."""

    environment: Mapping[str, str] = field(default_factory=dict)
    after: float | None = None
    options: Sequence[str] = ()  # More options for the process that is killed.

    @classmethod
    def at(cls, iteration: int, point: str = "backward", *options: str) -> Kill:
        """At a point of an iteration: start, backward, step, end, validate."""
        return cls({"CRASH_AT": f"{iteration}:{point}"}, options=options)

    @classmethod
    def at_save(cls, number: int = 1) -> Kill:
        """As soon as so many checkpoints are saved."""
        return cls({"CRASH_AT_SAVE": str(number)})

    @classmethod
    def at_operation(cls, number: float, folder: Path) -> Kill:
        """Before a change of a folder; with .5, in the middle of it."""
        environment = {"CRASH_AT_OPERATION": f"{number:g}", "CRASH_FOLDER": str(folder)}
        return cls(environment)


NO_KILL = Kill()


class Processes:
    """New processes of Python, each in a process group of its own."""

    def __init__(self, *path: Path) -> None:
        """
        Args:
            path: Folders to import from, besides those of the tests.
        """
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CRASH")}
        folders = [*map(str, path), str(RUNTIME), str(TESTS)]
        self.environment = clean | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(folders),
            "PYTHONWARNINGS": "error",
        }

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        kill: Kill = NO_KILL,
        output: str = "output",
        sweep: bool = True,
    ) -> int:
        """
        Run a program to its end, or to the kill, and return its status, or `HANGS`.

        Args:
            arguments: The program's path, and its arguments.
            folder: Where it runs, and where its output goes.
            kill: When it is killed.
            output: The name of the file for what it prints.
            sweep: Kill the loader workers that are left, too.
        """
        with (folder / output).open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", STARTER, *arguments],
                cwd=folder,
                env=self.environment | dict(kill.environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            status = process.wait(kill.after or LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait() if kill.after else HANGS
        if sweep:
            _kill_group(process.pid)
        return status


NO_PICTURES = "TESTS_NO_PICTURES"  # In a fork's environment: its figures are saved empty.
# What projects import beside torch and their own modules.
LIBRARIES = ("matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image", "tyro", "yaml")


class ForkServer(Processes):
    """Processes that are forks of one that has imported torch: see fork_server.py."""

    def __init__(
        self,
        *path: Path,
        preload: Iterable[str] = ("crash.program",),
        environment: Mapping[str, str] | None = None,
        limit: float = LIMIT,
    ) -> None:
        """
        Args:
            path: Folders to import from, besides those of the tests.
            preload: Modules that are imported once.
            environment: Of the forks; by default that of `Processes`.
            limit: Seconds after which a process hangs.
        """
        super().__init__(*path)
        of_tests = {"PYTHONPATH": self.environment["PYTHONPATH"]}
        self.environment = self.environment if environment is None else dict(environment)
        self._limit = limit
        server = TESTS / "crash" / "fork_server.py"
        # The second is imported by the first step of any optimizer.
        modules = ["torch", "torch._dynamo", *preload]
        self._server = subprocess.Popen(
            [sys.executable, str(server), *modules],
            env=self.environment | of_tests,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        kill: Kill = NO_KILL,
        output: str = "output",
        sweep: bool = True,
        errors: str | None = None,
    ) -> int:
        """Do the same in a fork; `output`, and `errors` if those go elsewhere, are paths."""
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": self.environment | dict(kill.environment),
            "output": str(folder / output),
            "errors": str(folder / (errors or output)),
            "sweep": sweep,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        child = self._read()["pid"]
        if select.select([self._server.stdout], [], [], kill.after or self._limit)[0]:
            return self._read()["status"]
        _kill_group(child)
        status = self._read()["status"]
        return status if kill.after else HANGS

    def completed(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, and return how it ended and what it printed."""
        with tempfile.TemporaryDirectory() as said:
            output, errors = Path(said, "output"), Path(said, "errors")
            now = Kill(environment)
            status = self.run(arguments, folder, now, str(output), errors=str(errors))
            assert status != HANGS, errors.read_text("utf-8")
            texts = output.read_text("utf-8"), errors.read_text("utf-8")
        return subprocess.CompletedProcess(arguments, status, *texts)

    def _read(self) -> dict[str, int]:
        assert self._server.stdout is not None
        answer: dict[str, int] = json.loads(self._server.stdout.readline())
        return answer


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@dataclass
class Outcome:
    """A run that is complete: its folder, and how often it was killed on the way."""

    folder: Path
    kills: int = 0

    @property
    def output(self) -> str:
        """What its processes printed."""
        file = self.folder / "output"
        return file.read_text() if file.exists() else ""


class Failed(AssertionError):
    """A run did not go on, or lost what it had said was saved."""


def run(
    processes: Processes,
    folder: Path,
    options: Sequence[str] = (),
    kills: Iterable[Kill] = (),
    resume: Sequence[str] = (),
    sweep: bool = True,
    between: Callable[[], object] = lambda: None,
) -> Outcome:
    """
    Run the program of the crash tests through these kills until it is complete.

    Args:
        processes: What it runs in.
        folder: Its own, made here.
        options: Of all its processes.
        kills: One for each process but the last.
        resume: More options for the process after the last kill.
        sweep: Kill the loader workers of a killed process, too.
        between: Called after each kill.

    Raises:
        Failed: A process ended by itself, and not with success; or one went on
            from before the newest state that was saved.
    """
    folder.mkdir(parents=True)
    outcome = Outcome(folder)
    again: list[str] = []
    for kill in kills:
        arguments = [str(PROGRAM), str(folder), *options, *again, *kill.options]
        status = processes.run(arguments, folder, kill, sweep=sweep)
        if status == 0:  # It was complete before the kill.
            break
        _check_status(status, -signal.SIGKILL, outcome)
        outcome.kills += 1
        between()
        again = ["--resume"]
    if not (folder / "final.pt").exists():
        arguments = [str(PROGRAM), str(folder), *options, *again, *resume]
        _check_status(processes.run(arguments, folder), 0, outcome)
    return outcome


def _check_status(status: int, expected: int, outcome: Outcome) -> None:
    if status != expected:
        raise Failed(f"status {status}, not {expected}, in {outcome.folder}:\n{outcome.output}")
