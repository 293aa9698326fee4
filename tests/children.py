"""Processes of a test's own: forked, so that they begin where it stands, and may be killed."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from scaffold_runtime.checkpoints import archive


def in_child(work: Callable[[], Any]) -> Any:
    """Do the work in a child process and return what it returned; its error is raised here."""
    reading, writing = os.pipe()
    child = _fork()
    if not child:
        try:
            outcome = True, work()
        except BaseException as error:
            outcome = False, error
        os.write(writing, pickle.dumps(outcome))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        done, value = pickle.load(file)
    os.waitpid(child, 0)
    if not done:
        raise value
    return value


def is_killed_at(nth: int, folder: Path, work: Callable[[], Any], writes: bool = True) -> bool:
    """Do the work in a child that is killed just before its n-th operation on a folder's files."""
    child = _fork()
    if not child:
        try:
            with pytest.MonkeyPatch.context() as patch:
                _die_at(nth, folder, patch, writes)
                work()
        finally:
            os._exit(1 if sys.exc_info()[0] else 0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed before it was killed"
    return os.WIFSIGNALED(status)


def _die_at(nth: int, folder: Path, patch: pytest.MonkeyPatch, writes: bool) -> None:
    numbers = count(1)

    def before_operation() -> None:
        if next(numbers) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(
            str(folder)
        ):
            before_operation()

    fsync = os.fsync
    patch.setattr(os, "fsync", lambda descriptor: (before_operation(), fsync(descriptor)))
    if writes:
        _write_in_halves(patch, before_operation)
    sys.addaudithook(watch)


def _write_in_halves(patch: pytest.MonkeyPatch, before_operation: Callable[[], None]) -> None:
    write = archive._DigestingFile.write

    def halves(file: archive._DigestingFile, data: memoryview) -> int:
        middle = len(data) // 2 if len(data) > 100 else 0
        for part in (data[:middle], data[middle:]) if middle else (data,):
            before_operation()
            write(file, part)
            file._file.flush()
        return len(data)

    patch.setattr(archive._DigestingFile, "write", halves)


def _fork() -> int:
    with warnings.catch_warnings():  # Of other threads, which do not matter to the child.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
