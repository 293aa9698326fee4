"""The image sets that are published as four IDX files: MNIST and Fashion-MNIST."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from scaffold_runtime.data.downloads import fetch
from scaffold_runtime.data.idx import read_idx
from scaffold_runtime.errors import UserError


class Published(NamedTuple):
    """What four files hold, those to train with first."""

    images: Tensor  # Of shape `(N, H, W)`, values from 0 to 1.
    labels: Tensor  # Of shape `(N,)`.
    class_names: list[str]
    for_test: int  # How many of them, at the end, are published to test with.


def read_published(name: str, folder: Path) -> Published:
    """
    Read a set out of this folder, after a download if it is not there yet.

    The environment variable `SCAFFOLD_MIRROR` may name another address, which has a
    folder for each set: `http://our.server/data` with `/mnist/train-images-idx3-ubyte.gz`.

    Raises:
        UserError: The files cannot be had, or are damaged.
    """
    source = SOURCES[name]
    mirror = os.environ.get("SCAFFOLD_MIRROR")
    addresses = [f"{mirror.rstrip('/')}/{name}"] if mirror else source.addresses
    values = []
    for file, sha256 in source.sha256.items():
        fetch(folder / file, [f"{address}/{file}" for address in addresses], sha256)
        values.append(read_idx(folder / file, dimensions=3 if "images" in file else 1))
    images, labels, test_images, test_labels = values
    for some, their in ((images, labels), (test_images, test_labels)):
        if len(some) != len(their) or int(their.max()) >= len(source.class_names):
            raise UserError(f"images and labels in {folder} do not fit each other")
    return Published(
        torch.cat([images, test_images]).float() / 255,
        torch.cat([labels, test_labels]).long(),
        source.class_names,
        len(test_labels),
    )


class Source(NamedTuple):
    """Where four IDX files are published, and what they hold."""

    addresses: list[str]
    sha256: Mapping[str, str]  # By file: images and labels to train, images and labels to test.
    class_names: list[str]


# The addresses are those of the authors, or of well-kept copies where the authors'
# gives no files any more; the checksums are those of the authors' files.
SOURCES = {
    "mnist": Source(
        [
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ],
        {
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
        [str(digit) for digit in range(10)],
    ),
    "fashion-mnist": Source(
        [
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ],
        {
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
        [
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ],
    ),
}
