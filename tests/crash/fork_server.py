"""
A process that has imported torch once, and forks a child for each run.

    fork_server.py MODULE ...

imports the modules, then reads one request a line from its input: JSON with
`arguments` (a program's path and what follows on its command line), `folder`,
`environment`, the files `output` and `errors`, and whether to `sweep`: to kill what is
left of the child's process group when it has ended. It answers with the child's
process id and, in the end, its status. Importing torch takes two seconds, a fork two
hundredths of one; the child is a process of its own, which can be killed like any other.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import random
import runpy
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from crash import driver, killing

# Where modules come from that are neither this server's own nor those of tests.
STANDARD = [
    folder
    for folder in sys.path[1:]
    if folder not in os.environ.get("PYTHONPATH", "").split(os.pathsep)
]


def serve() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(child, child)  # Here and in the child, whoever is first.
        _answer(pid=child)
        _, status = os.waitpid(child, 0)
        if request["sweep"]:
            _sweep(child)
        _answer(status=os.waitstatus_to_exitcode(status))


def _sweep(group: int) -> None:
    """Kill what a killed process left behind: its loader workers."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _answer(**content: Any) -> None:
    print(json.dumps(content), flush=True)


def _become(request: dict[str, Any]) -> None:
    """Run a program in this process, as if Python had been started with it, and exit."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(0, 0)
    _redirect(request["output"], request["errors"])
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # As in a new process: the seed of our parent must not help anyone. Only the order of
    # sets of texts is that of the parent, in all children.
    random.seed()
    np.random.seed()  # noqa: NPY002
    sys.argv = request["arguments"]
    program = Path(sys.argv[0])
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [str(program.parent.resolve()), *filter(None, path), *STANDARD]
    atexit._clear()  # The server's own.
    if os.environ.pop(driver.NO_PICTURES, None):
        _leave_pictures_empty()
    status = _status_of(program)
    for thread in threading.enumerate():  # As the interpreter does at its end.
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()  # Temporary folders are removed, trackers closed, workers let go.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # A regular end would take ten times as long as the run.


def _status_of(program: Path) -> int:
    try:
        killing.arm()
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _leave_pictures_empty() -> None:
    from matplotlib.figure import Figure

    Figure.savefig = lambda *_, **__: None


def _redirect(output: str, errors: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    _answer(ready=True)
    serve()
