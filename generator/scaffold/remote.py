"""
Read a git repository somewhere else, without trusting it.

Nothing is checked out: commits are fetched into a repository of our own, without
hooks, filters or settings of theirs, and their files are read out of it.
"""

from __future__ import annotations

import atexit
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scaffold import git
from scaffold.errors import ScaffoldError

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PROTOCOLS = ("file", "git", "http", "https", "ssh")
_KINDS = {"100644": "file", "100755": "program", "120000": "a link", "160000": "a submodule"}
# Nobody is asked for a password, and a server that says nothing is given up.
_UNATTENDED = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GCM_INTERACTIVE": "never",
    "GIT_ALLOW_PROTOCOL": ":".join(_PROTOCOLS),
}
_IMPATIENT = ("http.lowSpeedLimit=100", "http.lowSpeedTime=20")
_SSH = "ssh -oBatchMode=yes -oConnectTimeout=20"


def is_address(text: str) -> bool:
    """Say whether a text is the address of a repository rather than the path of a folder."""
    before, colon, _ = text.partition(":")
    return bool(colon) and "/" not in before


def check_address(text: str) -> None:
    """Refuse addresses that make git run a program, or hold a password."""
    scheme, is_url, rest = text.partition("://")
    if not text.isprintable() or text.startswith("-") or rest.startswith("-"):
        raise ScaffoldError(f"{text!r} is no address of a repository")
    if re.match(r"[A-Za-z0-9+.-]*::", text) or (is_url and scheme not in _PROTOCOLS):
        known = ", ".join(_PROTOCOLS)
        raise ScaffoldError(f"{text!r} is no address that is read from; there are: {known}")
    who = rest.partition("/")[0].rpartition("@")[0]
    if ":" in who or (who and scheme.startswith("http")):  # A token goes for a name.
        without = f"{scheme}://{rest.removeprefix(f'{who}@')}"
        raise ScaffoldError(
            f"the address {without!r} was given with a name or password, which would be written "
            "into the project; leave it out, git's credential helper knows it"
        )
    if not is_url and text.rpartition("@")[2].startswith("-"):
        raise ScaffoldError(f"{text!r} is no address of a repository")


@dataclass(frozen=True)
class Repository:
    """A repository at an address or path."""

    address: str

    @cached_property
    def refs(self) -> dict[str, str]:
        """Its HEAD and tags, each with the commit that it stands for."""
        listed = self._talk("ls-remote", "--", self.address, "HEAD", "refs/tags/*")
        refs = {}
        for line in listed.splitlines():
            commit, _, ref = line.partition("\t")
            refs[ref.removesuffix("^{}")] = commit  # What a tag stands for comes after it.
        return refs

    @property
    def head(self) -> str:
        """Its last commit."""
        if "HEAD" not in self.refs:
            raise ScaffoldError(f"the repository {self.address!r} has no commit")
        return self.refs["HEAD"]

    def fetch(self, *refs: str) -> None:
        """Fetch what refs of this repository stand for, without what was before."""
        missing = [ref for ref in refs if not self.has(self.refs[ref])]
        if missing:
            self._fetch("--depth=1", "--", self.address, *missing)
        for ref in missing:
            if not self.has(self.refs[ref]):
                raise ScaffoldError(f"{ref} of {self.address!r} moved just now; try again")

    def fetch_commit(self, commit: str) -> None:
        """Fetch a commit, wherever it is in the repository."""
        if self.has(commit):
            return
        try:
            self._fetch("--depth=1", "--", self.address, commit)
        except ScaffoldError:  # Some servers give only what a name stands for.
            self._fetch("--", self.address, "+refs/*:refs/fetched/*")
        if not self.has(commit):
            raise ScaffoldError(f"the repository {self.address!r} has no commit {commit} any more")

    def has(self, commit: str) -> bool:
        """Say whether a commit was fetched."""
        return self.attempt("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0

    def _fetch(self, *arguments: str) -> None:
        options = ("--quiet", "--no-tags", "--no-recurse-submodules")
        self._talk("fetch", *options, *arguments, GIT_DIR=str(self._fetched))

    def attempt(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run git on what was fetched."""
        where = {"GIT_DIR": str(self._fetched)}
        return git.attempt(*arguments, folder=self.folder, environment=where, given=given)

    @cached_property
    def folder(self) -> Path:
        """A folder of ours, which lasts as long as this process."""
        folder = Path(tempfile.mkdtemp(prefix="scaffold-")).resolve()
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def _fetched(self) -> Path:
        form = "sha256" if len(self.head) == 64 else "sha1"
        command = ("init", "--bare", "--quiet", "--template=", f"--object-format={form}")
        git.run(*command, "fetched", folder=self.folder)
        return self.folder / "fetched"

    def _talk(self, *arguments: str, **where: str) -> str:
        """Run a command that talks to the other repository."""
        environment = {**_UNATTENDED, "GIT_CEILING_DIRECTORIES": str(self.folder.parent), **where}
        own_ssh = {"GIT_SSH", "GIT_SSH_COMMAND"} & os.environ.keys()
        setting = ("config", "core.sshCommand")
        if not own_ssh and git.attempt(*setting, folder=self.folder).returncode:
            environment["GIT_SSH_COMMAND"] = _SSH
        done = git.attempt(
            *arguments, folder=self.folder, settings=_IMPATIENT, environment=environment
        )
        if done.returncode:
            reason = done.stderr.strip() or f"git {arguments[0]} ended with {done.returncode}"
            raise ScaffoldError(f"cannot read the repository {self.address!r}: {reason}")
        return done.stdout


@dataclass(frozen=True)
class Commit:
    """The files of one commit, or of a folder in it."""

    repository: Repository
    commit: str
    prefix: str = ""  # Of the folder: empty, or ends with a slash.

    def kinds(self) -> Mapping[str, str]:
        return {path: kind for path, (kind, _) in self._entries.items()}

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        wanted = {path: self._entries[path][1] for path in paths}
        given = "".join(f"{blob}\n" for blob in wanted.values())
        done = self.repository.attempt("cat-file", "--batch", given=given)
        stream = io.BytesIO(done.stdout.encode("utf-8", "surrogateescape"))
        contents = {}
        for path in wanted:
            size = int(stream.readline().split()[2])
            contents[path] = stream.read(size)
            stream.readline()
        return contents

    @cached_property
    def _entries(self) -> dict[str, tuple[str, str]]:
        """Say what each path is, and which blob."""
        done = self.repository.attempt("ls-tree", "-r", "-z", "--full-tree", self.commit)
        found = {}
        for line in done.stdout.split("\0")[:-1]:
            entry, _, path = line.partition("\t")
            mode, _, blob = entry.split()
            if path.startswith(self.prefix):
                found[path.removeprefix(self.prefix)] = (_KINDS.get(mode, "file"), blob)
        return found
