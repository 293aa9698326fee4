"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, content: bytes) -> None:
    """
    Write a file so that a crash or a power cut leaves the old one or the new one.

    Missing parent folders are made.

    Raises:
        OSError: It could not be written; the old file is as it was.
    """
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path, make_room: Callable[[], None] = lambda: None) -> Iterator[BinaryIO]:
    """
    Open a file that gets its name at the end of the block, when all of it is on disk.

    After an error in the block, what had the name before still has it.

    Args:
        path: Where it goes; missing parent folders are made.
        make_room: Called when all of it is on disk, just before it gets its name.

    Raises:
        OSError: It could not be written; `filename` is the path.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        make_folder(path.parent)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            make_room()
            # Only after the flush: the name must never point to half of a file.
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
    except OSError as error:
        raise _named(error, path) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; they, too, outlast a power cut."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


def check_writable(folder: Path) -> None:
    """
    Make a folder and a file in it, which is removed again.

    Raises:
        OSError: That is not possible; `filename` is the folder.
    """
    try:
        make_folder(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=".part") as file:
            file.write(b"writable")
            file.flush()
    except OSError as error:
        raise _named(error, folder) from error


def flush_folder(folder: Path) -> None:
    """Make the renames in a folder outlast a power cut."""
    if os.name == "nt":  # Windows has no handle on a folder to flush.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)


def in_words(error: OSError) -> str:
    """Return what the system says about an error, without its number and the file."""
    return error.strerror.lower() if error.strerror else str(error)


def _named(error: OSError, path: Path) -> OSError:
    """Return the error with the name that people know, instead of a temporary one, or none."""
    return OSError(error.errno, error.strerror or str(error), str(path))
