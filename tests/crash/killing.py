"""
Ways for a process to kill itself, chosen by its environment.

    CRASH_AT=17:backward        in iteration 17, when the program reaches this point of it
    CRASH_AT_UPDATE=17          after the 17th update of the weights in this process
    CRASH_AT_SAVE=3             as soon as the third checkpoint of this process is saved
    CRASH_AT_OPERATION=12       before the 12th change of the folder CRASH_FOLDER
    CRASH_AT_OPERATION=12.5     the same, when the first half of it is done, if it is a write
    CRASH_TRACE=file            no kill: write down these operations, and `saved 3` between them

It is always SIGKILL: nothing is flushed, no handler runs, no `finally`.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

CHANGES = {"os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir"}
CHANGES |= {"os.truncate", "os.chmod"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def die() -> None:
    """Kill this process, as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def reach(point: str, iteration: int) -> None:
    """Say that the program has come to this point of an iteration."""
    if os.environ.get("CRASH_AT") == f"{iteration}:{point}":
        die()


def saved(number: int) -> None:
    """Say that so many checkpoints of this process are saved."""
    if trace := os.environ.get("CRASH_TRACE"):
        with Path(trace).open("a") as file:
            file.write(f"saved {number}\n")
    if os.environ.get("CRASH_AT_SAVE") == str(number):
        die()


def arm() -> None:
    """Begin to count updates and file operations, if the environment asks for it."""
    if update := os.environ.get("CRASH_AT_UPDATE"):
        _count_updates(int(update))
    operation, trace = os.environ.get("CRASH_AT_OPERATION"), os.environ.get("CRASH_TRACE")
    if operation or trace:
        folder = os.path.realpath(os.environ["CRASH_FOLDER"])
        _Operations(folder, float(operation or "inf"), trace).watch()


def _count_updates(last: int) -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook

    updates = 0

    def count(*_: object) -> None:
        nonlocal updates
        updates += 1
        if updates == last:
            die()

    register_optimizer_step_post_hook(count)


class _Operations:
    """
    Counts what changes a folder: files opened for writing, written, flushed, renamed, removed.

    Python tells an audit hook of most of them. Of writes and flushes it does not, so
    the functions for them, and the files that `open` returns, are replaced.
    """

    def __init__(self, folder: str, last: float, trace: str | None) -> None:
        self._folder = folder
        self._last = last
        self._count = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._trace = os.open(trace, flags) if trace else None
        self._write = os.write
        self._open = io.open

    def watch(self) -> None:
        """Begin."""
        sys.addaudithook(self._hear)
        os.fsync = self._counted("fsync", os.fsync)
        os.fdatasync = self._counted("fdatasync", os.fdatasync)
        os.ftruncate = self._counted("ftruncate", os.ftruncate)
        os.write = self._write_counted
        io.open = builtins.open = cast(Any, self._open_counted)

    def happens(self, name: str, path: str, half: Callable[[], object] | None = None) -> None:
        """Count an operation on a path, and die if it is the last; `half` does half of it."""
        self._count += 1
        if self._trace is not None:
            halves = "half" if half else "whole"
            line = f"{self._count} {halves} {name} {os.path.relpath(path, self._folder)}\n"
            self._write(self._trace, line.encode())
        if self._count == self._last:
            die()
        if half is not None and self._count + 0.5 == self._last:
            half()
            die()

    def is_ours(self, path: str) -> bool:
        """Say whether a path lies in the folder."""
        return path == self._folder or path.startswith(self._folder + os.sep)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & WRITING:
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike | int) and self.is_ours(real := _real_path(path)):
            self.happens(event, real)

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(file: Any, *arguments: Any) -> Any:
            descriptor = file if isinstance(file, int) else file.fileno()
            if self.is_ours(path := _real_path(descriptor)):
                self.happens(name, path)
            return function(file, *arguments)

        return counted

    def _write_counted(self, descriptor: int, content: Any, /) -> int:
        if self.is_ours(path := _real_path(descriptor)):
            half = bytes(content)[: len(bytes(content)) // 2]
            self.happens("write", path, lambda: self._write(descriptor, half))
        return self._write(descriptor, content)

    def _open_counted(
        self, file: Any, mode: str = "r", buffering: int = -1, *others: Any, **keywords: Any
    ) -> IO[Any]:
        is_path = isinstance(file, str | os.PathLike | int)
        if not (set(mode) & set("wax+") and is_path and self.is_ours(_real_path(file))):
            return self._open(file, mode, buffering, *others, **keywords)
        closefd, opener = keywords.pop("closefd", True), keywords.pop("opener", None)
        plain = mode.replace("b", "").replace("t", "")
        raw = _CountedFile(file, plain, closefd, opener, operations=self)
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, *others, **keywords)


class _CountedFile(io.FileIO):
    """A file whose writes are counted, one for each call of the system."""

    def __init__(self, *how: Any, operations: _Operations) -> None:
        super().__init__(*how)
        self._operations = operations

    def write(self, content: Any, /) -> int:
        half = memoryview(content)[: len(content) // 2]
        path = _real_path(self.fileno())
        self._operations.happens("write", path, lambda: super(_CountedFile, self).write(half))
        return super().write(content)


def _real_path(file: str | os.PathLike[str] | int) -> str:
    if isinstance(file, int):
        try:
            return str(Path(f"/proc/self/fd/{file}").readlink())
        except OSError:
            return ""
    path = Path(os.fspath(file)).absolute()
    return str(path.parent.resolve() / path.name)  # What it is, not what it may point to.
