"""What all tests share."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Runs go to a folder of each test's own, and train on one thread."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """The pictures of a report stay empty: most of a small run is their drawing."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: None)
