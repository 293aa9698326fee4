"""Pictures of drawn signs, as a data set of signs has them; and moving images about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scaffold_runtime import UserError
from scaffold_runtime.data import read_drawing, shift_at_random


def draw(path: Path, paper: int, ink: int) -> Path:
    """Draw an upright bar of 40 x 8 pixels, far off the middle of a picture."""
    pixels = np.full((100, 60), paper, np.uint8)
    pixels[5:45, 4:12] = ink
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255)])
def test_a_drawing_is_ink_on_nothing_in_the_middle(tmp_path: Path, paper: int, ink: int) -> None:
    """Dark on light or light on dark; it fills the height and keeps its proportions."""
    drawing = read_drawing(draw(tmp_path / "bar.png", paper, ink), size=10)

    assert drawing.shape == (1, 10, 10)
    assert drawing[0, :, 4:6].min() == 1.0
    assert drawing.sum() == 20.0


def test_a_margin_stays_empty(tmp_path: Path) -> None:
    """As in data whose signs do not touch the edge."""
    drawing = read_drawing(draw(tmp_path / "bar.png", 255, 0), size=14, margin=2)

    assert drawing[0, 2:-2, 6:8].min() == 1.0
    assert drawing.sum() == 20.0


def test_an_empty_page_is_refused(tmp_path: Path) -> None:
    """There is nothing to crop to."""
    with pytest.raises(UserError, match=r"bar.png shows nothing: it is of one colour"):
        read_drawing(draw(tmp_path / "bar.png", 255, 255), size=8)


def test_images_are_moved_each_by_itself_and_by_as_much_as_asked() -> None:
    """A dot in the middle comes to all of nine places, and nothing else is in the image."""
    images = torch.zeros(500, 1, 5, 5)
    images[:, :, 2, 2] = 1.0

    moved = shift_at_random(images, most=1)

    places = {tuple(place) for place in moved.nonzero()[:, 2:].tolist()}
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    assert moved.sum(dim=(1, 2, 3)).eq(1).all()
