"""The state of a run: when it is saved, which parts it has, and how they come back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import torch

from scaffold_runtime.checkpoints.contents import CpuCopier, check_readable
from scaffold_runtime.checkpoints.generations import Generations
from scaffold_runtime.checkpoints.parts import check_parts, load_parts, states_of
from scaffold_runtime.checkpoints.saving import (
    Background,
    OnError,
    check_on_error,
    survive_disk_errors,
)
from scaffold_runtime.engine import Engine
from scaffold_runtime.errors import CheckpointError, UserError
from scaffold_runtime.events import Events
from scaffold_runtime.files import check_writable, in_words, remove_leftovers
from scaffold_runtime.intervals import Interval, parse_interval
from scaffold_runtime.listeners import RemovableEventHandle
from scaffold_runtime.seeding import random_state, set_random_state

logger = logging.getLogger(__name__)


class Checkpoint:
    """
    Save all parts of a run together, and put them back.

    The newest state is `last.pt`, the ones before it are `last-1.pt` and so on. The
    random state of Python, NumPy and torch is always part of it. Attached, it saves
    every few iterations, epochs or minutes; as a handler, whenever its event happens:

    >>> import tempfile
    >>> import torch
    >>> engine, model = Engine(lambda engine, batch: None), torch.nn.Linear(2, 1)
    >>> folder = Path(tempfile.mkdtemp())
    >>> checkpoint = Checkpoint(folder, {"trainer": engine, "model": model})
    >>> handle = checkpoint.attach(engine, every="2ep")
    >>> state = engine.run([1, 2, 3], max_epochs=4)
    >>> sorted(path.name for path in folder.iterdir())
    ['last-1.pt', 'last.pt']
    """

    def __init__(
        self,
        folder: Path,
        to_save: Mapping[str, Any],
        n_saved: int = 2,
        *,
        background: bool = False,
        on_error: OnError = "continue",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Args:
            folder: Where the files go; it is made when needed.
            to_save: The parts, each under its name: models, optimizers, schedulers,
                engines and whatever else has a `state_dict` and a `load_state_dict`.
            n_saved: How many states are kept, at least 2: while the newest is
                written, the one before must stay.
            background: Only copy the state in the loop, and write it in a thread.
                The copy takes as much of the CPU's memory as the state itself.
            on_error: When, as a handler, it cannot save: "continue" says so in one
                line of the log and lets the run go on, "stop" raises.
            settings: Plain values that are written into each file, to be looked up.

        Raises:
            TypeError: A part has no state to save.
            ValueError: `n_saved` is below 2, or there is no such `on_error`.
        """
        self._folder = Path(folder)
        self._generations = Generations(self._folder, n_saved)
        self._parts = check_parts(to_save)
        self._on_error = check_on_error(on_error)
        self._settings = dict(settings or {})
        self._copier = CpuCopier() if background else None
        self._background = Background(f"saving in {folder}")
        self._attached_to: ref[Engine] | None = None

    # --- Around the run ---------------------------------------------------

    def __call__(self) -> None:
        """
        Save, as a handler: after all handlers of the event, so that the state is whole.

        That is so of the engine it is attached to, or that runs and is among the parts;
        without one, it is saved at once.
        """
        engines = [part for part in self._parts.values() if isinstance(part, Engine)]
        attached = self._attached_to() if self._attached_to is not None else None
        for trainer in [attached, *engines]:
            if trainer is not None and trainer.is_running:
                trainer.call_afterwards(self.save_or_report)
                return
        self.save_or_report()

    def save_or_report(self) -> None:
        """Save now; what the disk refuses is reported, unless `on_error` is "stop"."""
        self._finish()
        with survive_disk_errors(self._on_error):
            self.save()

    def attach(self, engine: Engine, every: str | int | Interval = "epoch") -> RemovableEventHandle:
        """
        Save every so often: `1000` iterations, `"2ep"`, `"10min"`; see `parse_interval`.

        A run in a folder that cannot be written is refused when it starts, and it
        does not end before all is written.

        Raises:
            IntervalError: That is no interval.
        """
        self._attached_to = ref(engine)
        handle = engine.add_event_handler(parse_interval(every).event(), self)
        ends = Events.COMPLETED | Events.TERMINATE | Events.INTERRUPT | Events.EXCEPTION_RAISED
        for others in (
            engine.add_event_handler(Events.STARTED, self.check_writable),
            engine.add_event_handler(ends, self._finish_afterwards),
        ):
            handle._attached += others._attached
        return handle

    def check_writable(self) -> None:
        """
        Make sure before a run that its states can be saved, and tidy up after a killed one.

        Raises:
            UserError: The folder cannot be written.
        """
        self._finish()
        try:
            check_writable(self._folder)
            remove_leftovers(self._folder)
        except OSError as error:
            raise UserError(
                f"checkpoints cannot be saved in {self._folder}: {in_words(error)}; "
                "make room there, or choose another folder"
            ) from None

    def _finish_afterwards(self, engine: Engine, *error: BaseException) -> None:
        engine.call_afterwards(self._finish)

    def _finish(self) -> None:
        with survive_disk_errors(self._on_error):
            self.wait()

    # --- Saving -----------------------------------------------------------

    def save(self) -> Path:
        """
        Write the state of all parts and return the file's path.

        In the background, the file is there after `wait`; an error of the save
        before is raised here.

        Raises:
            TypeError: A part's state holds more than tensors and plain values.
            OSError: It could not be written; the files of before are still there.
        """
        self.wait()
        content = self._content()
        if self._copier is None:
            self._generations.write(content)
        else:
            check_readable(content)
            write = partial(self._generations.write, self._copier.copy(content))
            self._background.begin(write)
        return self._generations.newest

    def wait(self) -> None:
        """
        Wait until what is saved in the background is on disk.

        Raises:
            OSError: It could not be written; the files of before are still there.
        """
        self._background.wait()

    def _content(self) -> dict[str, Any]:
        from scaffold_runtime import __version__

        states = states_of(self._parts)
        engines = {name: part for name, part in self._parts.items() if isinstance(part, Engine)}
        if any(engine.is_running for engine in engines.values()):
            for name, engine in engines.items():  # An evaluator begins again when it is run.
                states["parts"][name]["is_idle"] = not engine.is_running
        return {
            **states,
            "random_state": random_state(),
            "settings": self._settings,
            "runtime": __version__,
            "threads": torch.get_num_threads(),
        }

    # --- Restoring --------------------------------------------------------

    def restore(self) -> Path:
        """
        Put every part back as it was when the newest good file was written.

        The file must hold exactly the parts this checkpoint was given: a run that
        resumes with half of its state would go on, and be wrong, without a word.
        A damaged file is moved aside and named in a warning, and the one before it
        is used.

        Returns:
            The path of the file that was used.

        Raises:
            NothingSavedError: Nothing was saved yet; the message names the folder.
            CheckpointError: No file is good, or the parts differ; the message
                names the first differences. Then nothing is loaded.
            OSError: A file may not be read; none is moved.
        """
        self.wait()
        remove_leftovers(self._folder)
        path, content = self._generations.read_newest()
        if "random_state" not in content:
            raise CheckpointError(f"{path} does not fit: it holds no state of a run")
        load_parts(path, content, self._parts)
        set_random_state(content["random_state"])
        _compare_threads(content.get("threads"))
        return path


def _compare_threads(before: int | None) -> None:
    if before not in (None, torch.get_num_threads()):
        logger.warning(
            "the run had %d threads before and has %d now, so sums may be rounded otherwise; "
            "OMP_NUM_THREADS=%d makes it repeat exactly",
            before,
            torch.get_num_threads(),
            before,
        )
