"""Who may import whom, and where a template's files may lie."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from scaffold import releases, render

# From above to below: a module imports what stands to its right, and any leaf.
LAYERS = (
    *("cli", "checks", "combinations", "project", "reports", "rows"),
    *("updates", "plans", "render"),
    *("landing", "workshop", "moving", "obstacles", "merge", "conflicts", "trees", "scratch"),
    *("sources", "states", "commits", "trust", "remote", "forms", "releases", "archive"),
)
BELOW = {
    "cli": {"exits"},
    "answers": {"rewrite"},
    "checks": {"faults", "programs"},
    "programs": {"answers", "archive"},
    "project": {"place"},
    "sources": {"migrations"},
    "migrations": {"archive"},
    "repository": {"git", "quote"},
}
LEAVES = {"errors", "answers", "questions", "quote", "git", "repository", "signals"}
ABROAD = {"torch", "scaffold_runtime", "click"}


def test_modules_import_only_what_lies_below_them(repository: Path) -> None:
    """The tool reads one way down: command, verbs, rendering, releases."""
    for module, imported in imports(repository).items():
        lower = {*LAYERS[LAYERS.index(module) + 1 :], *LEAVES} if module in LAYERS else {"errors"}
        allowed = lower | BELOW.get(module, set())
        assert {name for package, name in imported if package == "scaffold"} - {""} <= allowed, (
            module
        )


def test_the_tool_knows_neither_torch_nor_the_runtime(repository: Path) -> None:
    """Torch, the runtime and Click are never imported by the tool."""
    for module, imported in imports(repository).items():
        assert {package for package, _ in imported} & ABROAD == set(), module


def test_a_path_lies_in_one_place_only(repository: Path) -> None:
    """No file of base, runtime and any template has the path of another."""
    release = releases.Release("0.0.0", releases.working_tree(repository))
    for template in render.templates(release):
        assert render.project_files(release, template)


def test_python_files_of_templates_hold_no_jinja(repository: Path) -> None:
    """What is Python in a template is Python: parsed as it lies there, and never rendered."""
    for path, file in releases.working_tree(repository).items():
        assert not path.endswith(".py.jinja")
        assert not {"{", "}"} & set(path)
        if path.endswith(".py"):
            ast.parse(file.content)


def test_every_question_has_help_and_there_are_at_most_six(repository: Path) -> None:
    """A question says what it is about, and nobody is asked more than six."""
    release = releases.Release("0.0.0", releases.working_tree(repository))
    questions = render.questions(release)
    assert all(question["help"] and "default" in question for question in questions.values())
    for template in render.templates(release):
        assert len(render.ask(release, template, {}, "my-project")) <= 6


def imports(repository: Path) -> dict[str, set[tuple[str, str]]]:
    """Return by module what it imports, as pairs of a package and a module of it."""
    found: dict[str, set[tuple[str, str]]] = {}
    for path in (repository / "generator" / "scaffold").glob("*.py"):
        pairs = found.setdefault(path.stem, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == "scaffold":
                names = [f"scaffold.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            pairs |= {tuple((f"{name}.").split(".")[:2]) for name in names}  # type: ignore[misc]
    return {module: {p for p in pairs if p[1] != "__version__"} for module, pairs in found.items()}


def test_the_readme_has_each_module_once(repository: Path) -> None:
    """Whoever looks for the place of a change finds one line about it."""
    tree = (repository / "README.md").read_text(encoding="utf-8").partition("## The tree")[2]
    lines = tree.partition("generator/scaffold/")[2].partition("runtime/scaffold_runtime/")[0]
    named = re.findall(r"(\w+\.py)", lines)
    modules = [path.name for path in (repository / "generator/scaffold").glob("[a-z]*.py")]
    assert sorted(named) == sorted(modules)
