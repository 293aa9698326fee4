"""Pictures in folders, one folder for each class, that are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from scaffold_runtime.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}

Shape = tuple[int, int, int]  # Channels, height, width.


class FoundFiles(NamedTuple):
    """The pictures of a folder, split by split."""

    paths: list[Path]
    labels: list[int]
    class_names: list[str]
    counts: dict[str, int]  # By "train", "valid" and "test"; or by "all", to be split.


def find_image_files(folder: Path) -> FoundFiles:
    """
    List the pictures of a folder that has a folder for each class, in alphabetical order.

    The class folders may lie in `train`, `test` and, if there is one, `valid`.

    Raises:
        UserError: There are fewer than two classes, or splits that differ in them.
    """
    splits = {name: folder / name for name in ("train", "valid", "test")}
    splits = {name: path for name, path in splits.items() if path.is_dir()}
    if "train" not in splits:
        splits = {"all": folder}
    elif "test" not in splits:
        raise UserError(f"{folder} has a folder train, and must have a folder test beside it")
    class_names = _subfolders(next(iter(splits.values())))
    if len(class_names) < 2:
        listed = ", ".join(class_names) or "none"
        raise UserError(f"{folder} needs a folder for each of two classes or more, not {listed}")
    found = FoundFiles([], [], class_names, {})
    for split, place in splits.items():
        if unknown := set(_subfolders(place)) - set(class_names):
            raise UserError(f"{place} has a class that is not in train: {min(unknown)}")
        pictures = [
            (path, label)
            for label, name in enumerate(class_names)
            for path in _pictures(place / name)
        ]
        if not pictures:
            raise UserError(
                f"{place} has no pictures in its folders: {', '.join(sorted(SUFFIXES))}"
            )
        found.paths.extend(path for path, _ in pictures)
        found.labels.extend(label for _, label in pictures)
        found.counts[split] = len(pictures)
    return found


class ImageFiles:
    """Picture files as a sequence of images: `files[indices]` reads these, `(B, C, H, W)`."""

    def __init__(self, paths: Sequence[Path], shape: Shape) -> None:
        self.paths = list(paths)
        self.shape = shape

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Sequence[int] | Tensor) -> Tensor:
        chosen = torch.as_tensor(indices).tolist()
        return torch.stack([read_picture(self.paths[index], self.shape) for index in chosen])

    def select(self, indices: Tensor) -> ImageFiles:
        """Return these of the files, unread."""
        return ImageFiles([self.paths[index] for index in indices.tolist()], self.shape)


def open_image_files(paths: Sequence[Path], image_size: int | None, grey: bool) -> ImageFiles:
    """
    Look at the header of each file, and leave the rest of it for later.

    Args:
        paths: The files.
        image_size: Height and width in pixels; None is what the files have, all alike.
        grey: One channel instead of red, green and blue.

    Raises:
        UserError: A file is no picture, or they differ in size and no size is given.
    """
    sizes = [_with_picture(path, lambda image: image.size) for path in paths]
    for path, size in zip(paths, sizes, strict=True):
        if image_size is None and size != sizes[0]:
            raise UserError(
                f"pictures of different sizes need --image-size, 32 for example: {paths[0]} has "
                f"{_times(sizes[0])} pixels, {path} {_times(size)}"
            )
    width, height = sizes[0] if image_size is None else (image_size, image_size)
    return ImageFiles(paths, (1 if grey else 3, height, width))


def read_picture(path: Path, shape: Shape | None = None) -> Tensor:
    """
    Return a picture `(C, H, W)` with values from 0 to 1.

    It is scaled, and cropped to its middle if it has other proportions than this
    shape; by default it is as large as it is, and in colour. What is transparent
    shows white.

    Raises:
        UserError: It cannot be read.
    """

    def scale(image: Image) -> Tensor:
        from PIL import ImageOps

        image = _opaque(ImageOps.exif_transpose(image))
        channels, height, width = shape or (3, image.height, image.width)
        image = ImageOps.fit(image.convert("L" if channels == 1 else "RGB"), (width, height))
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return pixels.reshape(height, width, channels).movedim(-1, 0).float() / 255

    tensor: Tensor = _with_picture(path, scale)
    return tensor


def read_drawing(path: Path, size: int, margin: int = 0) -> Tensor:
    """
    Return a picture of one drawn sign as `(1, size, size)`: ink is 1, and paper 0.

    Dark ink on light paper is turned round. It is cropped to the ink, keeps its
    proportions, and is averaged down.

    Args:
        path: The file.
        size: Pixels of height and width.
        margin: How many of them stay empty on each side.

    Raises:
        UserError: It cannot be read, or shows nothing.
    """
    grey = read_picture(path).mean(dim=0)
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = 1 - grey if border.mean() > 0.5 else grey
    if ink.max() - ink.min() < 0.1:
        raise UserError(f"{path} shows nothing: it is of one colour")
    rows, columns = (ink > 0.5 * ink.max()).nonzero(as_tuple=True)
    cropped = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    missing = cropped.shape[0] - cropped.shape[1]
    sides = [max(missing, 0) // 2, (max(missing, 0) + 1) // 2]
    ends = [max(-missing, 0) // 2, (max(-missing, 0) + 1) // 2]
    square = functional.pad(cropped, sides + ends)
    small = functional.adaptive_avg_pool2d(square[None], size - 2 * margin)
    return functional.pad(small, [margin] * 4)


def _with_picture(path: Path, function: Callable[[Image], Any]) -> Any:
    """Open a picture and call the function with it; its errors tell of the file, too."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise UserError(
            "Pillow reads pictures, and is not installed: `python -m pip install pillow`"
        ) from None
    try:
        with Image.open(path) as image:
            return function(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "it is no picture" if isinstance(error, UnidentifiedImageError) else error
        raise UserError(f"{path} cannot be read as a picture: {_one_line(reason)}") from None


def _opaque(image: Image) -> Image:
    from PIL import Image as Pillow

    if image.mode.startswith("I"):  # 16 bits, which `convert` would cut off at 255.
        return image.point(lambda value: value / 256).convert("L")
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image)


def _subfolders(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if _is_seen(path) and path.is_dir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read as a folder: {_one_line(error)}") from None


def _pictures(folder: Path) -> list[Path]:
    found = folder.rglob("*") if folder.is_dir() else []
    return sorted(path for path in found if _is_seen(path) and path.suffix.lower() in SUFFIXES)


def _is_seen(path: Path) -> bool:
    return not path.name.startswith(".")


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _one_line(reason: object) -> str:
    strerror = getattr(reason, "strerror", None)
    return " ".join(str(strerror or reason).split()).lower()
