"""Who imports whom in the runtime, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "runtime" / "scaffold_runtime"

# From above to below: a module imports only what stands in a lower row.
LAYERS = [
    {"program", "report"},
    {"run"},
    {"handlers", "metrics", "loggers", "checkpoints", "data", "trainers", "tbptt"},
    {"updates"},
    {"engine"},
    {"course"},
    {"dispatcher"},
    {"listeners", "intervals"},
    {"events", "state", "stream"},
    {"figures", "page", "settings", "run_folder", "device", "schedules"},
    {"run_settings", "lock", "earlier"},
    {"ranges", "errors", "files", "seeding"},
]
# Beside each other in a row, but one makes use of the other.
BESIDE = {("trainers", "metrics"), ("tbptt", "trainers"), ("handlers", "checkpoints")}
OPTIONAL = ["tqdm", "yaml", "tyro", "matplotlib"]


def test_nothing_runs_back_up() -> None:
    """Handlers, metrics, checkpoints and data know the engine; the engine knows none of them."""
    rows = {module: row for row, modules in enumerate(LAYERS) for module in modules}
    for importing, imported in imports():
        assert rows[importing] < rows[imported] or (importing, imported) in BESIDE, (
            f"{importing} imports {imported}"
        )


def test_every_module_has_its_place() -> None:
    """Modules and places are the same, so that a new one is thought about."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    modules |= {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}

    assert modules == set().union(*LAYERS)


@pytest.mark.parametrize("name", OPTIONAL)
def test_the_runtime_is_imported_without_what_is_optional(name: str) -> None:
    """Nothing but torch is needed, and what is only shown or read is imported when it is."""
    program = (
        "import sys\n"
        f"sys.modules[{name!r}] = None\n"  # Importing it would raise.
        "import scaffold_runtime\n"
        "scaffold_runtime.Engine(lambda engine, batch: None).run([0])\n"
        f"print([name for name in sys.modules if name.startswith({name + '.'!r})])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "[]\n", "")


def test_names_are_imported_when_they_are_asked_for() -> None:
    """Importing the package loads none of its modules; a wrong name is refused as always."""
    program = (
        "import sys, scaffold_runtime\n"
        "print([name for name in sys.modules if name.startswith('scaffold_runtime.')])\n"
        "print(scaffold_runtime.launch.__name__, 'Engine' in dir(scaffold_runtime))\n"
        "scaffold_runtime.Motor"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True
    )

    assert ended.stdout == "[]\nlaunch True\n"
    assert ended.stderr.endswith("module 'scaffold_runtime' has no attribute 'Motor'\n")


def imports() -> set[tuple[str, str]]:
    """Return what imports what when it is imported itself, by the names of the modules."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        importing = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in at_import(ast.parse(path.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.ImportFrom) and node.module:
                package, _, imported = node.module.partition(".")
                imported = imported.partition(".")[0]
                if package == "scaffold_runtime" and imported != importing:
                    found.add((importing, imported))
    return {pair for pair in found if pair[0] != "__init__"}


def at_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of a module that run, leaving out what only type checkers read."""
    return [node for node in body if not isinstance(node, ast.If)]
