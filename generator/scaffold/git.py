"""Run git on one folder, whatever repository or settings surround the call."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping
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


@functools.lru_cache(maxsize=1)
def version() -> tuple[int, int]:
    """Return which git is installed, as in (2, 39)."""
    numbers = run("version", folder=Path.cwd()).split()[2].split(".")
    return int(numbers[0]), int(numbers[1])


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


def commit(
    tree: str,
    parent: str,
    message: str,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Make a commit that no branch holds; where git knows no author, it is Scaffold's."""
    command = ("commit-tree", tree, "-p", parent, "-m", message)
    try:
        return run(*command, folder=folder, environment=environment).strip()
    except ScaffoldError:
        return run(*command, folder=folder, environment=environment, settings=_NOBODY).strip()


def run(
    *arguments: str,
    folder: Path,
    settings: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    given: str = "",
) -> str:
    """
    Run one git command in a folder and return what it prints.

    Args:
        arguments: The command and its arguments.
        folder: Where to run it.
        settings: What to set for this command, as `name=value`.
        environment: Variables to set, beside the user's that name no repository.
        given: What the command reads.

    Raises:
        ScaffoldError: git is missing, or failed; the message ends with git's own.
    """
    result = attempt(
        *arguments, folder=folder, settings=settings, environment=environment, given=given
    )
    if result.returncode:
        raise failure(result, arguments[0], folder)
    return result.stdout


def attempt(
    *arguments: str,
    folder: Path,
    settings: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run one git command as `run` does, and return how it ended, whatever that is."""
    options = [part for setting in (*_PLAIN, *settings) for part in ("-c", setting)]
    return _call([*options, *arguments], folder, {**_environment(), **(environment or {})}, given)


def failure(result: subprocess.CompletedProcess[str], command: str, folder: Path) -> ScaffoldError:
    """Return the error that tells what git said."""
    reason = result.stderr.strip() or f"exit status {result.returncode}"
    return ScaffoldError(f"git {command} failed in {str(folder)!r}: {reason}")


@functools.lru_cache(maxsize=1)
def _environment() -> dict[str, str]:
    """Return our environment without the variables that tie git to some other repository."""
    local = _call(["rev-parse", "--local-env-vars"], Path.cwd(), dict(os.environ)).stdout.split()
    return {name: value for name, value in os.environ.items() if name not in local}


def _call(
    arguments: list[str], folder: Path, environment: dict[str, str], given: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            input=given.encode("utf-8", "surrogateescape"),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise ScaffoldError("git is not installed; install it, or use --no-git") from None
    # Not as text: names and patches may hold any byte, and line ends of every kind.
    texts = (part.decode("utf-8", "surrogateescape") for part in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, *texts)
