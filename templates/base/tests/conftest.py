"""What all tests share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    """Runs go to a folder of each test's own, and train on one thread."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
