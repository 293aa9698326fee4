"""Files of published data sets: fetched once, checked, and kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.request import urlopen

from scaffold_runtime.errors import UserError
from scaffold_runtime.files import whole_file

BLOCK = 1 << 16  # Bytes from one movement of the progress bar to the next.
PATIENCE = 30  # Seconds to wait for a server that says nothing.


def cache_folder(name: str | None = None) -> Path:
    """
    Return the folder of this name; by default `scaffold` in the user's cache folder.

    >>> cache_folder("data/downloaded").as_posix()
    'data/downloaded'
    """
    if name:
        return Path(name).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scaffold"


def fetch(path: Path, urls: Sequence[str], sha256: str) -> None:
    """
    Download a file from the first of these addresses that has it, unless it is there.

    The file appears whole and checked, or not at all.

    Args:
        path: Where it goes.
        urls: Where it is published.
        sha256: Its checksum, in hexadecimal digits.

    Raises:
        UserError: No address has it, or what lies there or came is another file.
    """
    if path.exists():
        _check(path, sha256)
        return
    failures = []
    for url in urls:
        try:
            _download(url, path, sha256)
        except _Failure as failure:
            failures.append(f"{url} ({failure})")
        else:
            return
    raise UserError(
        f"{path.name} could not be downloaded from {' or '.join(failures)}; "
        f"put the file into {path.parent} by hand, or try again"
    )


class _Failure(Exception):
    """An address does not give the file."""


def _download(url: str, path: Path, sha256: str) -> None:
    try:
        response = urlopen(url, timeout=PATIENCE)
    except (OSError, HTTPException, ValueError) as error:
        raise _Failure(_in_words(error)) from None
    with response, whole_file(path) as file:
        _copy(response, file, path.name, sha256)


def _copy(response: HTTPResponse, file: BinaryIO, name: str, sha256: str) -> None:
    from tqdm import tqdm

    size = int(response.headers.get("Content-Length") or 0)
    digest, received = hashlib.sha256(), 0
    hidden = not sys.stderr.isatty()
    with tqdm(
        desc=name, total=size or None, unit="B", unit_scale=True, leave=False, disable=hidden
    ) as bar:
        while block := _read(response):
            file.write(block)
            digest.update(block)
            received += len(block)
            bar.update(len(block))
    if received < size:
        raise _Failure(f"ended after {received} of {size} bytes")
    if digest.hexdigest() != sha256:
        raise _Failure(f"is another file: its sha256 is {digest.hexdigest()}, not {sha256}")


def _read(response: HTTPResponse) -> bytes:
    # Here, and not around the block: an error of the disk is another thing.
    try:
        return response.read(BLOCK)
    except (OSError, HTTPException) as error:
        raise _Failure(_in_words(error)) from None


def _check(path: Path, sha256: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise UserError(
            f"{path} is damaged: its sha256 is {found}, not {sha256}; remove it, and it is "
            "downloaded again"
        )


def _in_words(error: Exception) -> str:
    """Return why an address gave nothing, in one line."""
    reason = getattr(error, "reason", None) or error
    strerror = getattr(reason, "strerror", None)
    return " ".join(str(strerror or reason or type(error).__name__).split()).lower()
