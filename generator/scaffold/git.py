"""Run git on one folder, whatever repository or settings surround the call."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

from scaffold.errors import ScaffoldError

# What a user may have set that would get in the way of a commit of ours: hooks, signing,
# line endings taken for mistakes, programs that go on in the background.
_PLAIN = (
    "core.hooksPath=/dev/null",
    "commit.gpgSign=false",
    "core.safecrlf=false",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
)
_NOBODY = ("user.name=Scaffold", "user.email=scaffold@localhost")


def is_there() -> bool:
    """Say whether git is installed."""
    return shutil.which("git") is not None


def repository_around(folder: Path) -> Path | None:
    """Return the nearest folder, from this one upwards, that is a repository's top."""
    return next((up for up in (folder, *folder.parents) if os.path.lexists(up / ".git")), None)


def start_repository(folder: Path, message: str) -> None:
    """
    Make a folder a repository whose first commit holds every file in it.

    The initial branch and the author are those of the user's settings; where
    git knows no author, the commit is Scaffold's.
    """
    run("init", "--quiet", folder=folder)
    # By force: a user's own list of ignored files does not decide what a project consists of.
    run("add", "--all", "--force", folder=folder)
    commit = ("commit", "--quiet", "--message", message)
    try:
        run(*commit, folder=folder)
    except ScaffoldError:
        run(*commit, folder=folder, settings=_NOBODY)


def run(*arguments: str, folder: Path, settings: tuple[str, ...] = ()) -> str:
    """
    Run one git command in a folder and return what it prints.

    Raises:
        ScaffoldError: git is missing, or failed; the message ends with git's own.
    """
    options = [part for setting in (*_PLAIN, *settings) for part in ("-c", setting)]
    result = _call([*options, *arguments], folder, _environment())
    if result.returncode:
        reason = result.stderr.strip() or f"exit status {result.returncode}"
        raise ScaffoldError(f"git {arguments[0]} failed in {str(folder)!r}: {reason}")
    return result.stdout


@functools.lru_cache(maxsize=1)
def _environment() -> dict[str, str]:
    """Return our environment without the variables that tie git to some other repository."""
    local = _call(["rev-parse", "--local-env-vars"], Path.cwd(), dict(os.environ)).stdout.split()
    return {name: value for name, value in os.environ.items() if name not in local}


def _call(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        raise ScaffoldError("git is not installed; install it, or use --no-git") from None
