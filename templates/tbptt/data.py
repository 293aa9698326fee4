"""
The data: text as bytes, split by file, in streams that are read beside each other.

A symbol is a byte, so every text can be read, no prompt has an unknown character, and
bits are those of the very bytes that `xz` is given. The text is the source of modules of
Python's standard library, which differs from one version to the next; `text` in the
settings names other files.
"""

from __future__ import annotations

import math
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from scaffold_runtime import Fingerprint, UserError

if TYPE_CHECKING:
    from train import Settings

SYMBOLS = 256
BEFORE = b"\n"  # What the first byte of a file is predicted from.
NOT_THERE = -100  # The target beyond the end of a file, which losses leave out.
READ_AT_ONCE = 256  # Bytes of each file in one batch of a validation.

# In Python 3.10 to 3.14 all of them are there, change little and hold nothing but ASCII.
TRAIN = """
    argparse bdb codecs compileall configparser difflib email/header http/client http/server
    logging/__init__ logging/handlers mailbox optparse pickle plistlib pprint profile pstats shutil
    smtplib socket socketserver subprocess tarfile trace unittest/case urllib/request weakref
    xmlrpc/client
"""
VALID = "copy filecmp queue sched tracemalloc"
TEST = "cmd csv fileinput json/decoder poplib selectors textwrap timeit"

Batch = tuple[Tensor, Tensor]


class Texts(NamedTuple):
    """The files of each split: their contents by their names."""

    train: dict[str, bytes]
    valid: dict[str, bytes]
    test: dict[str, bytes]

    def __str__(self) -> str:
        train, valid, test = (f"{sum(map(len, split.values())):,}" for split in self)
        sha256 = self.fingerprint.sha256[:16]
        return f"{train} bytes to train on, {valid} to validate, {test} to test; sha256 {sha256}"

    @property
    def fingerprint(self) -> Fingerprint:
        """The checksum of all texts: a model is not trained on, or measured on, other ones."""
        return Fingerprint(
            *(b"".join(split.values()) for split in self),
            message="the text has changed since the run began; use the Python it was started with, "
            "or begin another run with --run",
        )


class Data(NamedTuple):
    """Batches `(symbols, symbols that follow)`, each `(time, streams)`, and their texts."""

    train: list[Batch]
    valid: list[Batch]
    test: list[Batch]
    texts: Texts  # As long as the limits say.
    fingerprint: Fingerprint  # Of the whole texts, whatever the limits.


def make_data(settings: Settings) -> Data:
    """Read the texts; train in parallel streams, measure each file from its first byte."""
    if settings.num_workers:
        raise UserError("--num-workers must be 0: the text is in memory, there is nothing to load")
    whole = read_own_text(settings.text) if settings.text else read_standard_library()
    texts = shorten(whole, settings)
    return Data(
        train=cut_into_streams(
            b"".join(texts.train.values()),
            settings.batch_size,
            settings.tbptt_step * settings.batch_windows,
        ),
        valid=list(read_side_by_side(texts.valid)),
        test=list(read_side_by_side(texts.test)),
        texts=texts,
        fingerprint=whole.fingerprint,
    )


# --- Text -----------------------------------------------------------------


def read_standard_library() -> Texts:
    """Read the modules that are listed above."""
    folder = Path(sysconfig.get_path("stdlib"))
    return Texts(
        *(
            {f"{name}.py": read(folder / f"{name}.py") for name in names.split()}
            for names in (TRAIN, VALID, TEST)
        )
    )


def shorten(texts: Texts, settings: Settings) -> Texts:
    """Leave out what --limit-valid-batches does not measure, and --fast-dev-run does not need."""
    batches = 1 if settings.fast_dev_run else settings.limit_valid_batches
    most = batches * READ_AT_ONCE or None
    for_training = 4 * READ_AT_ONCE if settings.fast_dev_run else None
    return Texts(
        {name: text[:for_training] for name, text in texts.train.items()},
        {name: text[:most] for name, text in texts.valid.items()},
        {name: text[:most] for name, text in texts.test.items()},
    )


def count_windows(batches: list[Batch], iterations: int, step: int) -> int:
    """Return the windows of a run, each of which is an update; it goes round its batches."""
    windows = [math.ceil(len(symbols) / step) for symbols, _ in batches]
    return sum(windows[iteration % len(windows)] for iteration in range(iterations))


def read_own_text(paths: tuple[str, ...]) -> Texts:
    """
    Read files of one's own: of each the first 80 % are trained on, 10 % validated, 10 % tested.

    Raises:
        UserError: One cannot be read, or there is too little text in it.
    """
    texts = Texts({}, {}, {})
    for path in paths:
        text = read(Path(path))
        if len(text) < 1000:
            raise UserError(f"{path} has {len(text)} bytes, too few to split; give longer files")
        tenth = len(text) // 10
        texts.train[path] = text[: -2 * tenth]
        texts.valid[path] = text[-2 * tenth : -tenth]
        texts.test[path] = text[-tenth:]
    return texts


def read(path: Path) -> bytes:
    """Return a file's bytes, with the line ends of Unix."""
    try:
        return path.read_bytes().replace(b"\r\n", b"\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{path} cannot be read: {reason}; name text files of your own with --text"
        ) from None


# --- Batches --------------------------------------------------------------


def cut_into_streams(text: bytes, streams: int, length: int) -> list[Batch]:
    """
    Divide a text into streams of one length, and these into batches, one after the other.

    Stream s of a batch goes on where stream s of the batch before ended, so its hidden
    state can be carried on. The last batch is shorter, and fewer bytes than there are
    streams are left out.

    Args:
        text: Of all files.
        streams: How many are read beside each other.
        length: Bytes of each stream in a batch.
    """
    if len(text) <= streams:
        raise UserError(f"{len(text)} bytes are too few for a batch_size of {streams}")
    symbols = to_symbols(text)
    steps = (len(symbols) - 1) // streams
    x, y = (part[: steps * streams].view(streams, steps).t() for part in (symbols, symbols[1:]))
    return list(zip(x.split(length), y.split(length), strict=True))


def read_side_by_side(files: Mapping[str, bytes]) -> Iterator[Batch]:
    """Give batches in which each file is a stream of its own, from its first byte to its last."""
    streams = [to_symbols(BEFORE + text) for text in files.values()]
    padded = nn.utils.rnn.pad_sequence(streams, padding_value=NOT_THERE)
    x, y = padded[:-1].clamp(min=0), padded[1:]
    return zip(x.split(READ_AT_ONCE), y.split(READ_AT_ONCE), strict=True)


def to_symbols(text: bytes) -> Tensor:
    """Return a text as class indices."""
    return torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
