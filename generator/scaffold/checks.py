"""
Check a folder of templates: render each with every combination of answers.

This is for whoever edits templates. It executes the tests of what it renders.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaffold import answers, contents, render, sources
from scaffold.answers import Record
from scaffold.errors import ScaffoldError
from scaffold.releases import Release

# Whatever could end a literal, a line or a template; and what a name may be at worst.
_HOSTILE = ("""It's "{{ 7 * 7 }}" {% if %} {# \\ #} $(x) `x` <b> é""", "It_s.A-9")
_NO_TESTS = 5  # What pytest exits with where there are none.
_SHOWN = 5  # Lines of what a program complains of.


@dataclass(frozen=True)
class Outcome:
    """What came of one combination of answers."""

    what: str  # The template and the answers.
    faults: tuple[str, ...]
    passed: str = ""  # What was done, if nothing is wrong.

    def __str__(self) -> str:
        if not self.faults:
            return f"{self.what}: ok, {self.passed}"
        return "\n".join([f"{self.what}: FAILED", *(f"    {fault}" for fault in self.faults)])


@dataclass
class _Tests:
    """Run the tests of each distinct set of files once."""

    wanted: bool
    seen: set[frozenset[str]] = field(default_factory=set)

    def run(self, folder: Path, paths: frozenset[str]) -> tuple[list[str], str]:
        """Return what failed, and what can be said if nothing did."""
        if not self.wanted:
            return [], "tests left out"
        if paths in self.seen:
            return [], "tests as above"
        self.seen.add(paths)
        begun = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        status, lines = _run(folder, command)
        if status == _NO_TESTS:
            return [], "no tests"
        if status:
            named = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
            return [f"tests: {line}" for line in (named or lines[-1:])[:_SHOWN]], ""
        return [], f"tests passed in {time.monotonic() - begun:.1f} s"


def check(
    path: Path, template: str | None = None, *, tests: bool = True, trust: bool = False
) -> Iterator[Outcome]:
    """
    Render the templates of a folder, as it lies, and check what comes of it.

    Args:
        path: The folder.
        template: The only one to check; by default all.
        tests: Run the tests of the rendered projects.
        trust: The templates may run programs.

    Raises:
        ScaffoldError: It is no folder of templates, or there is no such template.
    """
    if tests and find_spec("pytest") is None:
        raise ScaffoldError("pytest is not installed here; install it, or use --no-tests")
    if not path.is_dir():
        raise ScaffoldError(f"there is no folder {str(path)!r}")
    source = sources.as_it_lies(path, trusted=trust)
    source.versions()  # Refuses what is no folder of templates.
    try:
        release = source.newest()
    except ScaffoldError as error:
        yield Outcome(str(path), (str(error),))
        return
    named = [render.template(release, template).name] if template else render.templates(release)
    if not named:
        raise ScaffoldError(f"there is no template in {str(path)!r}: none has a template.yml")
    for name in named:
        yield from _check_template(release, name, _Tests(tests))


def _check_template(release: Release, name: str, tests: _Tests) -> Iterator[Outcome]:
    try:
        combinations = list(_combinations(release, name))
    except ScaffoldError as error:
        yield Outcome(name, (str(error),))
        return
    seen = []
    for number, (label, given, plain) in enumerate(combinations):
        what = f"{name}  {label}"
        try:
            replies = render.ask(release, name, given, f"my-{name}")
            if replies in seen:  # A question that is not asked makes no difference.
                continue
            seen.append(replies)
            with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
                made = _Made(release, name, replies, Path(folder))
                yield made.outcome(what, tests, plain=plain, twice=number == 0)
        except ScaffoldError as error:
            yield Outcome(what, (str(error),))


def _combinations(release: Release, name: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Give all answers that there are to choose from, with plain texts and with hostile ones."""
    asked = render.questions(release)
    options = {question: _options(about) for question, about in asked.items()}
    options = {question: values for question, values in options.items() if values}
    texts = [q for q, about in asked.items() if about["type"] == "str" and q not in options]
    hostile = {q: text for q in texts if (text := _usable(release, name, q)) is not None}
    for values in itertools.product(*options.values()):
        chosen = dict(zip(options, values, strict=True))
        label = [f"{question}={_shown(value)}" for question, value in chosen.items()]
        yield " ".join([*label, "plain texts"]), chosen, True
        if hostile:
            yield " ".join([*label, "hostile texts"]), chosen | hostile, False


def _options(about: Mapping[str, Any]) -> list[Any]:
    """Return the answers to choose from; none for a text, or where only a render knows them."""
    choices = about.get("choices")
    if isinstance(choices, Mapping):
        choices = [c.get("value") if isinstance(c, Mapping) else c for c in choices.values()]
    if isinstance(choices, list):
        return [choice[1] if isinstance(choice, list) else choice for choice in choices]
    return [True, False] if about["type"] == "bool" and not choices else []


def _usable(release: Release, name: str, question: str) -> str | None:
    """Return the most hostile text that a question takes: to refuse one is right, too."""
    taken = render.reserved_names(release, name)
    for text in _HOSTILE:
        try:
            answers.check({question: text}, taken)
            render.ask(release, name, {question: text}, f"my-{name}")
        except ScaffoldError:
            continue
        return text
    return None


def _shown(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class _Made:
    """A project made of one combination of answers."""

    release: Release
    template: str
    replies: Mapping[str, Any]
    folder: Path

    def outcome(self, what: str, tests: _Tests, *, plain: bool, twice: bool) -> Outcome:
        project = self.folder / "project"
        self._render(project)
        files = contents.read(project)
        sources = render.project_files(self.release, self.template)
        rendered = {render.rendered_path(path) for path in sources if path.endswith(".jinja")}
        words = render.words(self.release)
        faults = list(contents.faults(files, rendered if plain else set(), words))
        if twice:
            self._render(self.folder / "again")
            faults += _differences(files, contents.read(self.folder / "again"))
        faults += _lint(project)
        failed, passed = ([], "") if faults else tests.run(project, frozenset(files))
        return Outcome(what, (*faults, *failed), f"{len(files)} files, {passed}")

    def _render(self, folder: Path) -> None:
        folder.mkdir()
        render.render(self.release, self.template, self.replies, folder)
        answers.write(Record(self.template, self.release.version, self.replies), folder)


def _differences(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    paths = sorted(one.keys() | other.keys())
    return [
        f"{path}: rendered twice, it differs" for path in paths if one.get(path) != other.get(path)
    ]


def _lint(project: Path) -> list[str]:
    """Return what ruff has to say, where it is installed and the project has rules for it."""
    ruff = [sys.executable, "-m", "ruff"] if find_spec("ruff") else [shutil.which("ruff") or ""]
    if not _has_rules(project) or ruff == [""]:
        return []
    found = []
    for command in (["format", "--check"], ["check", "--output-format=concise"]):
        status, lines = _run(project, [*ruff, *command, "--no-cache", "."])
        found += [f"ruff {command[0]}: {line}" for line in lines[:_SHOWN]] if status else []
    return found


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
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode, [line for line in done.stdout.splitlines() if line.strip()]
