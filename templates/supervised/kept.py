"""What a best checkpoint keeps of the data, so that its model predicts where the data is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from data import CLASS_NAMES, IMAGE_SHAPE, Data, make_data
from scaffold_runtime import ImageSet, TableSet, restore_best
from scaffold_runtime.data.published import SOURCES

if TYPE_CHECKING:
    from train import Settings

OWN = ("csv", "image-folder")  # Data sets that lie in no project and in no archive.


class KnownData(NamedTuple):
    """Stands for `Data` where it is not: samples with names and shapes, but without a row."""

    samples: ImageSet | TableSet


def know_data(settings: Settings, checkpoints: Path) -> KnownData | Data:
    """Return what is known of a run's data without it; where that is too little, the data."""
    size = settings.image_size
    if settings.dataset == "digits":
        shape = (IMAGE_SHAPE[0], size, size) if size else IMAGE_SHAPE
        return KnownData(_images(shape, CLASS_NAMES))
    if settings.dataset in SOURCES:
        return KnownData(
            _images((1, size or 28, size or 28), SOURCES[settings.dataset].class_names)
        )
    if settings.dataset in OWN:
        kept = KeptData()
        restore_best(checkpoints, {"model": _Unread(), "data": kept})
        if kept.samples is not None:
            return KnownData(kept.samples)
    return make_data(settings)  # Before release 0.6 a checksum was all that was kept.


class KeptData:
    """
    A part of a best checkpoint: the checksum of the samples, and what a model must know of them.

    With samples, those that have changed since are refused; without, they are made as far as
    they are known.
    """

    def __init__(self, samples: ImageSet | TableSet | None = None) -> None:
        self.samples = samples
        self._fingerprint = None if samples is None else samples.fingerprint

    def state_dict(self) -> dict[str, Any]:
        """Return the checksum, and what is known."""
        if self.samples is None or self._fingerprint is None:
            return {}
        return {**self._fingerprint.state_dict(), **known_of(self.samples)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Compare the samples with what was saved, or make them of it."""
        if self._fingerprint is not None:
            self._fingerprint.load_state_dict(saved)
        elif "columns" in saved:
            self.samples = _KnownTable(saved)
        elif "shape" in saved:
            self.samples = _images(tuple(saved["shape"]), saved["class_names"])


def known_of(samples: ImageSet | TableSet) -> dict[str, Any]:
    """Return the shape of the samples, their names, and of a table how it is standardised."""
    known = {"shape": list(samples.shape), "class_names": samples.class_names}
    if isinstance(samples, TableSet):
        known |= {"columns": samples.columns, "of_rows": samples._of_rows}
        known |= {} if samples.class_names else {"of_targets": samples._of_targets}
    return known


class _KnownTable(TableSet):
    """A table without a row."""

    def __init__(self, saved: Mapping[str, Any]) -> None:
        self.columns, self.class_names = saved["columns"], saved["class_names"]
        self.shape = (len(self.columns),)
        self._of_rows = saved["of_rows"]
        if not self.class_names:
            self._of_targets = saved["of_targets"]


class _Unread:
    """Takes the place of a model that cannot be made yet."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        pass


def _images(shape: tuple[int, ...], class_names: list[str]) -> ImageSet:
    return ImageSet(torch.empty(0, *shape), torch.empty(0), class_names, splits={})
