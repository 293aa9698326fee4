"""The pages for people who come from Ignite or Lightning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchmetrics.classification import MulticlassF1Score

import scaffold_runtime

PAGES = Path(__file__).resolve().parents[2] / "runtime"
NAMES = ["from-ignite.md", "from-lightning.md"]
AFTERWARDS = (
    "trainer.run(train_data, max_epochs=trainer.state.epoch + 3)\nevaluator.run(valid_data)"
)
BATCHES = [(torch.randn(4, 2), torch.tensor([0, 1, 0, 1])) for _ in range(3)]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_says_to_write_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block, each cell of a last column that is code alone, and the engines made of them."""
    monkeypatch.chdir(tmp_path)
    surroundings = start()
    try:
        for line, code in snippets(PAGES / name):
            run(f"{name}, line {line}", code, surroundings)
        run("a run afterwards", AFTERWARDS, surroundings)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)
        surroundings["logger"].close()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_something_to_run(name: str) -> None:
    """The test above finds blocks and cells."""
    found = [code for _, code in snippets(PAGES / name)]

    assert len(found) > 25
    assert any("\n" in code for code in found)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_leads_to_the_page(name: str) -> None:
    """Both pages are linked from the runtime's README, and their links lead somewhere."""
    assert f"]({name})" in (PAGES / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (PAGES / name).read_text("utf-8")):
        assert (PAGES / target).exists(), target


def snippets(page: Path) -> Iterator[tuple[int, str]]:
    """Return what a page says to write, with the numbers of its lines."""
    block: list[str] | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line == "```python":
            block = []
        elif line == "```" and block is not None:
            yield number - len(block), "\n".join(block)
            block = None
        elif block is not None:
            block.append(line)
        elif cell := re.search(r"\| `([^`]+)` \|$", line):
            yield number, cell[1]


def run(place: str, code: str, surroundings: dict[str, Any]) -> None:
    """Run a snippet; say where it stands if it fails."""
    try:
        exec(compile(code, place, "exec"), surroundings)
    except Exception as error:
        pytest.fail(f"{place}: {code}\n{type(error).__name__}: {error}")


def start() -> dict[str, Any]:
    """Return what the pages take for granted: a model, engines, data and imports."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = scaffold_runtime.create_supervised_trainer(model, optimizer, F.cross_entropy)
    metrics = {
        "accuracy": scaffold_runtime.Accuracy(),
        "nll": scaffold_runtime.Loss(F.cross_entropy),
    }
    evaluator = scaffold_runtime.create_supervised_evaluator(model, metrics)
    evaluator.run(BATCHES)
    everything = {name: getattr(scaffold_runtime, name) for name in scaffold_runtime.__all__}
    return everything | {
        "F": F,
        "LambdaLR": torch.optim.lr_scheduler.LambdaLR,
        "MulticlassF1Score": MulticlassF1Score,
        "Path": Path,
        "ReduceLROnPlateau": torch.optim.lr_scheduler.ReduceLROnPlateau,
        "StepLR": torch.optim.lr_scheduler.StepLR,
        "batch": BATCHES[0],
        "dataset": scaffold_runtime.InMemoryDataset(torch.zeros(8, 2)),
        "device": torch.device("cpu"),
        "evaluator": evaluator,
        "logging": __import__("logging"),
        "model": model,
        "optimizer": optimizer,
        "stopping": scaffold_runtime.EarlyStopping(3, lambda engine: 0.5, trainer),
        "to_save": {"trainer": trainer, "model": model, "optimizer": optimizer},
        "torch": torch,
        "train_data": BATCHES,
        "train_step": lambda engine, batch: None,
        "trainer": trainer,
        "valid_data": BATCHES,
    }
