"""Parts of a run to save and restore, and their states to compare."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from scaffold_runtime import Engine


def make_parts(seed: int = 0) -> dict[str, Any]:
    """Make everything that a training run has."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    engine = Engine(lambda engine, batch: None)
    return {"model": model, "optimizer": optimizer, "scheduler": scheduler, "trainer": engine}


def train(parts: dict[str, Any], steps: int) -> None:
    """Train on random inputs."""
    for _ in range(steps):
        parts["optimizer"].zero_grad()
        parts["model"](torch.randn(4, 3)).square().mean().backward()
        parts["optimizer"].step()
        parts["scheduler"].step()
    parts["trainer"].run([0], max_epochs=parts["trainer"].state.epoch + steps)


def states(parts: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of all states."""
    return {name: copy(part.state_dict()) for name, part in parts.items()}


def copy(value: Any) -> Any:
    """Copy nested states with their tensors."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copy(item) for key, item in value.items()}
    return [copy(item) for item in value] if isinstance(value, list | tuple) else value


def plain(value: Any) -> Any:
    """Make lists of the tensors in nested states, to be compared by `==`."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def assert_equal(one: Any, other: Any) -> None:
    """Compare nested states, tensors bit for bit."""
    torch.testing.assert_close(one, other, rtol=0, atol=0)
