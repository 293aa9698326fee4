"""What other programs say of a rendered project: pytest and ruff."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from scaffold import archive
from scaffold.answers import RECORD
from scaffold.errors import ScaffoldError

_NO_TESTS = 5  # What pytest exits with where there are none.
_SHOWN = 5  # Lines of what a program complains of.
_WIDE = "200"  # Columns, so that pytest does not cut the reasons.


@dataclass
class Tests:
    """Run the tests of projects, once for those that are alike."""

    wanted: bool
    seen: dict[frozenset[tuple[str, str]], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.wanted and find_spec("pytest") is None:
            raise ScaffoldError("pytest is not installed here; install it, or use --no-tests")

    def run(self, folder: Path, files: Mapping[str, bytes]) -> tuple[list[str], str]:
        """
        Return what failed, and what can be said if nothing did.

        Args:
            folder: Where the project is.
            files: What it consists of; the record is no matter of tests.
        """
        if not self.wanted:
            return [], "tests left out"
        project = frozenset(
            (path, archive.sha256_of(text)) for path, text in files.items() if path != RECORD
        )
        if project in self.seen:
            return [f"{line}, as above" for line in self.seen[project][:1]], "tests as above"
        begun = time.monotonic()
        status, lines = _run(
            folder, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        )
        self.seen[project] = [] if status in (0, _NO_TESTS) else _failures(lines)
        passed = f"tests passed in {time.monotonic() - begun:.1f} s"
        return self.seen[project], "no tests" if status == _NO_TESTS else passed


def lint(project: Path, lent: str = "") -> list[str]:
    """
    Return what ruff has to say, where it is installed and the project has rules for it.

    Args:
        project: Its folder.
        lent: A folder in it that is not the template's own: the rules are not for that.
    """
    ruff = [sys.executable, "-m", "ruff"] if find_spec("ruff") else [shutil.which("ruff") or ""]
    if not _has_rules(project) or ruff == [""]:
        return []
    left_out = [f"--extend-exclude={lent}"] if lent else []
    found = []
    for command in (["format", "--check"], ["check", "--output-format=concise"]):
        status, lines = _run(project, [*ruff, *command, *left_out, "--no-cache", "."])
        found += [f"ruff {command[0]}: {line}" for line in lines[:_SHOWN]] if status else []
    return found


def _failures(lines: list[str]) -> list[str]:
    """Take from what pytest printed which tests failed, and why."""
    named = [line for line in lines if line.startswith(("FAILED", "ERROR"))][:_SHOWN]
    reasons = [line for line in lines if line.startswith("E  ")][:_SHOWN]
    return [f"tests: {line}" for line in [*named, *reasons] or lines[-_SHOWN:] or ["they failed"]]


def _has_rules(project: Path) -> bool:
    if any((project / name).exists() for name in ("ruff.toml", ".ruff.toml")):
        return True
    settings = project / "pyproject.toml"
    return settings.exists() and b"[tool.ruff" in settings.read_bytes()


def _run(folder: Path, command: list[str]) -> tuple[int, list[str]]:
    """Run a program in a folder as if nothing was set; return its status and its lines."""
    own = ("PYTHON", "PYTEST", "RUFF")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": _WIDE},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode, [line for line in done.stdout.splitlines() if line.strip()]
