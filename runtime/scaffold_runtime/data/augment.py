"""Random changes of batches of images; the loader decides the random numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def shift_at_random(images: Tensor, most: int) -> Tensor:
    """
    Move each image by up to `most` pixels each way; what comes in at the edges is 0.

    Args:
        images: Of shape `(N, C, H, W)`.
        most: Pixels.

    >>> shift_at_random(torch.ones(1, 1, 4, 4), most=0).sum()
    tensor(16.)
    """
    count, _, height, width = images.shape
    padded = functional.pad(images, [most] * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1))
    rows = down + torch.arange(height)
    columns = right + torch.arange(width)
    samples = torch.arange(count)[:, None, None]
    return padded[samples, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
