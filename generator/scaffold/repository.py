"""The git repository that a project lies in: found, and fit for an update or refused."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scaffold import git, quote
from scaffold.errors import ScaffoldError

# What lies in git's folder while something is going on, what that is, and how it ends.
_AT_WORK = {
    "rebase-merge": ("a rebase", "git rebase --continue or --abort"),
    "rebase-apply": ("a rebase or `git am`", "git rebase --abort or git am --abort"),
    "MERGE_HEAD": ("a merge", "git merge --continue or --abort"),
    "CHERRY_PICK_HEAD": ("a cherry-pick", "git cherry-pick --continue or --abort"),
    "REVERT_HEAD": ("a revert", "git revert --continue or --abort"),
    "sequencer": ("a cherry-pick or revert", "git cherry-pick --abort or git revert --abort"),
    "BISECT_LOG": ("a bisection", "git bisect reset"),
}
_SHOWN = 5  # Files that a message names.


@dataclass(frozen=True)
class Repository:
    """Where a project lies in a repository, and the repository's last commit."""

    project: Path
    top: Path  # Of the working tree.
    prefix: str  # From there to the project: empty, or ends with a slash.
    folder: Path  # What git keeps of this working tree: `.git`.
    common: Path  # What all working trees of the repository share; mostly the same.
    head: str  # The last commit.


def around(project: Path) -> Repository:
    """
    Find the repository that a project lies in.

    Raises:
        ScaffoldError: There is none, or no commit, or a form of it that we cannot handle.
    """
    shown = f"project {str(project)!r}"
    if not git.is_there():
        raise ScaffoldError("git is not installed; an update needs it")
    if git.repository_around(project) is None:
        start = "git init && git add --all && git commit -m 'Start'"
        raise ScaffoldError(f"{shown} lies in no git repository; make it one: {start}")
    asked = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir", "--show-prefix")
    # The name of a folder may end with a blank: only the line breaks are git's.
    found = git.run("rev-parse", *asked, folder=project).removesuffix("\n").split("\n")
    if len(found) != len(asked):
        raise ScaffoldError(
            f"the path of {shown} or of its repository holds a line break; rename it"
        )
    top, folder, common, prefix = found
    if (project / common / "reftable").exists():
        raise ScaffoldError(f"{shown} lies in a repository with reftable, which is not supported")
    head = git.attempt("rev-parse", "--verify", "--quiet", "HEAD^{commit}", folder=project)
    if head.returncode:
        raise ScaffoldError(f"{shown} has no commit yet; commit it, so that nothing can be lost")
    return Repository(
        project,
        Path(top),
        prefix,
        Path(folder),
        (project / common).resolve(),
        head.stdout.strip(),
    )


def refuse_if_at_work(repository: Repository) -> None:
    """Refuse to go on while a merge or the like waits for its end."""
    for name, (what, end) in _AT_WORK.items():
        if (repository.folder / name).exists():
            raise ScaffoldError(f"{what} is in progress here; end it first: {end}")


def refuse_if_locked(repository: Repository) -> None:
    """Refuse to go on while another git command is at work, or one that was killed seems to be."""
    if found := shown_locks(repository):
        raise ScaffoldError(
            f"another git command is at work here, or was killed: there is {found}; "
            "wait for it, or remove what is left of it"
        )


def refuse_if_changed(repository: Repository) -> None:
    """Refuse a working tree or an index that differs from the last commit, and name the files."""
    if found := changed(repository):
        named = listed([shown(repository, path) for path in found])
        raise ScaffoldError(
            f"there are changes that are not committed: {named}; commit or stash them first"
        )


def shown_locks(repository: Repository) -> str:
    """Name the files by which git keeps others from changing the index or the branch, or none."""
    branch = git.attempt("symbolic-ref", "--quiet", "HEAD", folder=repository.top).stdout.strip()
    places = [repository.folder / "index", repository.folder / "HEAD"]
    places += [repository.common / branch] if branch else []
    found = (place.with_name(f"{place.name}.lock") for place in places)
    return ", ".join(quote.shell(str(lock)) for lock in found if os.path.lexists(lock))


def changed(repository: Repository) -> list[str]:
    """Name the files, by path in the repository, that differ from the last commit."""
    options = ("--porcelain", "-z", "--no-renames", "--untracked-files=no")
    asked = ("status", *options, f"--ignore-submodules={_overlooked(repository)}")
    status = git.run("--no-optional-locks", *asked, folder=repository.top)
    return [entry[3:] for entry in status.split("\0") if entry]


def differing(repository: Repository, entries: Iterable[str]) -> set[str]:
    """
    Name the files whose contents are not those of some entries, whatever the user's index says.

    Args:
        repository: Where they lie.
        entries: As `git update-index --index-info -z` reads them.
    """
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}

        def run(*arguments: str, given: str = "") -> str:
            plain = ("core.splitIndex=false", "core.untrackedCache=false")
            return git.attempt(
                *arguments, folder=repository.top, settings=plain, environment=index, given=given
            ).stdout

        run("update-index", "-z", "--index-info", given="".join(entries))
        run("update-index", "-q", "--refresh")
        submodules = f"--ignore-submodules={_overlooked(repository)}"
        found = run("diff-files", "--name-only", "-z", submodules).split("\0")[:-1]
    return {path for path in found if os.path.lexists(repository.top / path)}


def shown(repository: Repository, path: str) -> str:
    """Return a path in the repository as it is seen from the project."""
    return os.path.relpath(repository.top / path, repository.project)


def listed(files: list[str]) -> str:
    """Name files in a sentence, the first few of many."""
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return ", ".join(files[:_SHOWN]) + more


def _overlooked(repository: Repository) -> str:
    """Return which changes in submodules do not matter: those that no reset of ours touches."""
    if not (repository.top / ".gitmodules").exists():
        return "dirty"
    asked = ("config", "--type=bool", "submodule.recurse")
    recurses = git.attempt(*asked, folder=repository.top).stdout.strip() == "true"
    return "untracked" if recurses else "dirty"
