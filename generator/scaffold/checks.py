"""
Check a folder of templates: render each with every combination of answers.

This is for whoever edits templates. It executes the tests of what it renders.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaffold import answers, combinations, faults, programs, render, sources
from scaffold.answers import Record
from scaffold.combinations import Combination
from scaffold.errors import ScaffoldError
from scaffold.programs import Tests
from scaffold.releases import Release


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


def check(
    path: Path,
    template: str | None = None,
    *,
    tests: bool = True,
    trust: bool = False,
    keep: bool = False,
) -> Iterator[Outcome]:
    """
    Render the templates of a folder, as it lies, and check what comes of it.

    Args:
        path: The folder.
        template: The only one to check; by default all.
        tests: Run the tests of the rendered projects.
        trust: The templates may run programs.
        keep: Leave the projects that fail, and say where.

    Raises:
        ScaffoldError: It is no folder of templates, or there is no such template.
    """
    asked = Tests(tests)
    if not path.is_dir():
        wrong = "is a file" if path.exists() else "does not exist"
        raise ScaffoldError(f"{str(path)!r} {wrong}; give the folder that the templates lie in")
    source = sources.as_it_lies(path, trusted=trust)
    source.versions()  # Refuses what is no folder of templates.
    try:
        release = source.newest()
    except ScaffoldError as error:
        yield Outcome(str(path), (str(error),))
        return
    named = render.templates(release) if template is None else [_named(release, template)]
    if not named:
        raise ScaffoldError(f"there is no template in {str(path)!r}: none has a template.yml")
    if not render.is_strict(release):
        wrong = "a misspelt name is rendered as nothing; set undefined to jinja2.StrictUndefined"
        yield Outcome("copier.yml", (f"{wrong} in _envops",))
    for name in named:
        yield from check_template(release, name, asked, keep=keep)


def check_template(
    release: Release, name: str, tests: Tests, *, keep: bool = False
) -> Iterator[Outcome]:
    """Render one template of a release with every combination of answers, and check that."""
    try:
        tried = list(combinations.of(release, name))
    except ScaffoldError as error:
        yield Outcome(name, (str(error),))
        return
    seen = []
    for combination in tried:
        what = f"{name}  {combination.label}"
        try:
            replies = render.ask(release, name, combination.given, f"my-{name}")
            if replies in seen:  # A question that is not asked makes no difference.
                continue
            seen.append(replies)
            yield _outcome(_Made(release, name, replies), what, combination, tests, keep=keep)
        except ScaffoldError as error:
            yield Outcome(what, (str(error),))


def _named(release: Release, template: str) -> str:
    return render.template(release, template).name


@dataclass(frozen=True)
class _Made:
    """What is made of one combination of answers."""

    release: Release
    template: str
    replies: Mapping[str, Any]

    def render(self, folder: Path) -> None:
        folder.mkdir()
        render.render(self.release, self.template, self.replies, folder)
        answers.write(Record(self.template, self.release.version, self.replies), folder)

    def faults(self, files: Mapping[str, bytes], *, plain: bool) -> list[str]:
        sources = render.project_files(self.release, self.template)
        rendered = {render.rendered_path(path) for path in sources if path.endswith(".jinja")}
        words = render.words(self.release)
        return list(faults.find(files, rendered if plain else set(), words))


def _outcome(
    made: _Made, what: str, combination: Combination, tests: Tests, *, keep: bool
) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="scaffold-"))
    found: list[str] = []
    try:
        project = folder / f"my-{made.template}"
        made.render(project)
        files = faults.read(project)
        made.render(folder / "again")
        found += made.faults(files, plain=combination.plain)
        found += _differences(files, faults.read(folder / "again"))
        found += programs.lint(project, lent=render.RUNTIME if made.release.runtime else "")
        failed, passed = ([], "") if found else tests.run(project, files)
        found += failed
        kept = [f"kept in {project}"] if found and keep else []
        return Outcome(what, (*found, *kept), f"{len(files)} files, {passed}")
    finally:
        if not (found and keep):
            shutil.rmtree(folder, ignore_errors=True)


def _differences(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    paths = sorted(one.keys() | other.keys())
    return [
        f"{path}: rendered twice, it differs" for path in paths if one.get(path) != other.get(path)
    ]
