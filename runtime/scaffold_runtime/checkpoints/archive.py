"""Checkpoints as files: an archive of torch's, followed by a digest of its bytes."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from scaffold_runtime.checkpoints.contents import check_readable
from scaffold_runtime.errors import CheckpointError
from scaffold_runtime.files import whole_file

DIGEST_SIZE = hashlib.sha256().digest_size


def write_checkpoint(
    path: Path, content: Mapping[str, Any], make_room: Callable[[], None] = lambda: None
) -> None:
    """
    Write tensors and plain values, followed by a digest of the bytes.

    The digest stands behind the end of the archive, where `torch.load` does not
    look, so the file can also be read without this module. `make_room` is called
    when all of it is on disk, just before it gets its name.

    Raises:
        TypeError: There is something else in it, which could not be read again.
        OSError: It could not be written; what had the name before still has it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "state.pt"
    >>> write_checkpoint(path, {"weights": torch.ones(2)})
    >>> torch.load(path, weights_only=True)
    {'weights': tensor([1., 1.])}
    """
    check_readable(content := dict(content))
    with whole_file(path, make_room) as file:
        digesting = _DigestingFile(file)
        torch.save(content, digesting)  # type: ignore[arg-type]  # All that it calls is there.
        digesting.finish()


def read_checkpoint(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """
    Read what `write_checkpoint` wrote; code in the file is never run.

    Raises:
        OSError: There is no such file, or it may not be read.
        CheckpointError: The file is damaged, or holds more than tensors and plain values.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "state.pt"
    >>> write_checkpoint(path, {"epoch": 3})
    >>> read_checkpoint(path)
    {'epoch': 3}
    """
    with path.open("rb") as file:
        archive = file.read(max(0, os.fstat(file.fileno()).st_size - DIGEST_SIZE))
        digest = file.read()
    if hashlib.sha256(archive).digest() != digest:
        raise CheckpointError(f"{path} is damaged: its bytes do not match its digest")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What is odd is said below, in one line.
            loaded: Any = torch.load(io.BytesIO(archive), map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):  # No fault of the file's.
        raise
    except Exception as error:  # Whatever a strange file makes torch trip over.
        raise CheckpointError(f"{path} is no checkpoint of ours: {_reason(error)}") from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} is no checkpoint of ours: it holds no dictionary")
    return loaded


class _DigestingFile:
    """
    What `torch.save` writes to: the bytes go to the file and into the digest at once.

    Neither holds up other threads, which filling a buffer first would do, and no
    memory is needed. Torch makes another error of one that is raised in `write`,
    so the first one is kept until torch is done.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._error: OSError | None = None

    def write(self, data: memoryview) -> int:
        if self._error is None:
            try:
                self._file.write(data)
                self._digest.update(data)
            except OSError as error:
                self._error = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: `finish` is what counts."""

    def finish(self) -> None:
        """Write the digest, or raise what went wrong."""
        if self._error is not None:
            raise self._error
        self._file.write(self._digest.digest())


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):  # Torch would advise to run the code.
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        return "it holds code or objects" + (f" ({name[1]})" if name else "")
    return (str(error).splitlines() or [type(error).__name__])[0].strip()
