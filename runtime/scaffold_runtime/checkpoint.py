"""The state of a run on disk: written whole, verified when read."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import CheckpointError, NothingSavedError
from scaffold_runtime.files import remove_leftovers, write_whole
from scaffold_runtime.intervals import Interval, parse_interval
from scaffold_runtime.listeners import RemovableEventHandle
from scaffold_runtime.seeding import random_state, set_random_state

logger = logging.getLogger(__name__)

DIGEST_SIZE = hashlib.sha256().digest_size


@runtime_checkable
class Stateful(Protocol):
    """Anything with a state to save: models, optimizers, schedulers, engines, handlers."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


class Checkpoint:
    """
    Save all parts of a run together, and put them back.

    The newest state is `last.pt`, the ones before it are `last-1.pt` and so on. The
    random state of Python, NumPy and torch is always part of it. Attached, it saves
    every few iterations, epochs or minutes; as a handler, whenever its event happens:

    >>> import tempfile
    >>> from scaffold_runtime import Engine
    >>> engine, model = Engine(lambda engine, batch: None), torch.nn.Linear(2, 1)
    >>> folder = Path(tempfile.mkdtemp())
    >>> checkpoint = Checkpoint(folder, {"trainer": engine, "model": model})
    >>> handle = checkpoint.attach(engine, every="2ep")
    >>> state = engine.run([1, 2, 3], max_epochs=4)
    >>> sorted(path.name for path in folder.iterdir())
    ['last-1.pt', 'last.pt']
    """

    def __init__(self, folder: Path, to_save: Mapping[str, Any], n_saved: int = 2) -> None:
        """
        Args:
            folder: Where the files go; it is made when needed.
            to_save: The parts, each under its name: models, optimizers, schedulers,
                engines and whatever else has a `state_dict` and a `load_state_dict`.
            n_saved: How many states are kept, at least 2: while the newest is
                written, the one before must stay.

        Raises:
            TypeError: A part has no state to save.
            ValueError: `n_saved` is below 2.
        """
        for name, part in to_save.items():
            if not isinstance(part, Stateful):
                raise TypeError(f"{name} cannot be saved: {type(part).__name__} has no state_dict")
        if n_saved < 2:
            raise ValueError(f"n_saved must be at least 2, not {n_saved}")
        self._folder = Path(folder)
        self._parts = dict(to_save)
        self._paths = [
            self._folder / (f"last-{age}.pt" if age else "last.pt") for age in range(n_saved)
        ]
        self._damaged: set[Path] = set()

    def __call__(self) -> None:
        """Save, as a handler."""
        self.save()

    def attach(self, engine: Engine, every: str | int | Interval = "epoch") -> RemovableEventHandle:
        """
        Save every so often: `1000` iterations, `"2ep"`, `"10min"`; see `parse_interval`.

        Raises:
            IntervalError: That is no interval.
        """
        return engine.add_event_handler(parse_interval(every).event(), self)

    def save(self) -> Path:
        """
        Write the state of all parts and return the file's path.

        Raises:
            OSError: It could not be written; the files of before are still there.
        """
        content = {
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "random_state": random_state(),
        }
        write_checkpoint(self._paths[0], content, make_room=self._age_the_others)
        self._damaged.clear()
        return self._paths[0]

    def restore(self) -> Path:
        """
        Put every part back as it was when the newest good file was written.

        The file must hold exactly the parts this checkpoint was given: a run that
        resumes with half of its state would go on, and be wrong, without a word.
        A damaged file is named in a warning, and the one before it is used.

        Returns:
            The path of the file that was used.

        Raises:
            NothingSavedError: Nothing was saved yet; the message names the folder.
            CheckpointError: No file is good, or the parts differ; the message
                lists those only in the file and those only here.
        """
        remove_leftovers(self._folder)
        path, content = self._newest_good_file()
        load_parts(path, content, self._parts)
        set_random_state(content["random_state"])
        return path

    def _age_the_others(self) -> None:
        for older, newer in zip(self._paths[:0:-1], self._paths[-2::-1], strict=True):
            # A damaged one must not take the place of the good one before it.
            if newer.exists() and newer not in self._damaged:
                newer.replace(older)

    def _newest_good_file(self) -> tuple[Path, dict[str, Any]]:
        existing = [path for path in self._paths if path.exists()]
        if not existing:
            raise NothingSavedError(f"nothing was saved in {self._folder} yet")
        for path in existing:
            try:
                return path, read_checkpoint(path)
            except CheckpointError as error:
                self._damaged.add(path)
                logger.warning("%s; it is passed over", error)
        raise CheckpointError(
            f"none of {', '.join(path.name for path in existing)} in {self._folder} is good; "
            "begin again, or put an older copy back"
        )


def write_checkpoint(
    path: Path, content: Mapping[str, Any], make_room: Callable[[], None] = lambda: None
) -> None:
    """
    Write tensors and plain values, followed by a digest of the bytes.

    The digest stands behind the end of the archive, where `torch.load` does not
    look, so the file can also be read without this module. `make_room` is called
    when all of it is on disk, just before it gets its name.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    archive = buffer.getvalue()
    write_whole(path, archive + hashlib.sha256(archive).digest(), make_room)


def read_checkpoint(path: Path, device: str | torch.device = "cpu") -> dict[str, Any]:
    """
    Read what `write_checkpoint` wrote; code in the file is never run.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, or holds more than tensors and plain values.
    """
    content = path.read_bytes()
    archive, digest = content[:-DIGEST_SIZE], content[-DIGEST_SIZE:]
    if hashlib.sha256(archive).digest() != digest:
        raise CheckpointError(f"{path} is damaged: its bytes do not match its digest")
    try:
        loaded: Any = torch.load(io.BytesIO(archive), map_location=device, weights_only=True)
    except Exception as error:  # Whatever a strange file makes torch trip over.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is no checkpoint of ours: {reason}") from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path} is no checkpoint of ours: it holds no dictionary")
    return loaded


def load_parts(path: Path, content: Mapping[str, Any], parts: Mapping[str, Stateful]) -> None:
    """
    Load the parts of a checkpoint that was read from a path.

    Raises:
        CheckpointError: It holds other parts, or they do not fit; the message
            names the differences.
    """
    saved = content.get("parts", {})
    if saved.keys() != parts.keys():
        raise CheckpointError(
            f"{path} does not fit: only in the file: {_missing(saved, parts)}; "
            f"only here: {_missing(parts, saved)}"
        )
    for name, part in parts.items():
        try:
            part.load_state_dict(saved[name])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reasons = [line.strip() for line in str(error).splitlines() if line.strip()]
            message = f"{path} does not fit the {name} here: {' '.join(reasons[:3])}"
            raise CheckpointError(message) from None


def _missing(some: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    return ", ".join(sorted(some.keys() - others.keys())) or "nothing"
