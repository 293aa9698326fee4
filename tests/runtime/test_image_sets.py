"""Image sets: downloaded, checked, and read; pictures in folders; who is in which split."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from scaffold_runtime import Loader, UserError, read_image_set
from scaffold_runtime.data.downloads import cache_folder
from scaffold_runtime.data.published import SOURCES, Source
from scaffold_runtime.data.splits import choose_fold, split_samples

DIGITS = Path(__file__).resolve().parents[2] / "templates" / "supervised" / "data"
FILES = list(SOURCES["mnist"].sha256)
TRAIN_IMAGES = torch.arange(12 * 28 * 28).reshape(12, 28, 28).to(torch.uint8)
TEST_IMAGES = TRAIN_IMAGES[:3].flip(0)
TRAIN_LABELS, TEST_LABELS = torch.arange(12) % 10, torch.tensor([9, 8, 7])


# --- Sets that are downloaded ---------------------------------------------


def test_a_published_set_is_downloaded_once(
    tmp_path: Path, mirror: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its images and labels are those of the four files, which are asked for one time."""
    images = read_image_set("mnist", tmp_path / "cache")
    again = read_image_set("mnist", tmp_path / "cache")

    assert asked == [f"/mnist/{file}" for file in FILES]
    assert images.shape == (1, 28, 28)
    assert torch.equal(images.images[:12, 0], TRAIN_IMAGES / 255)
    assert torch.equal(images.images[12:, 0], TEST_IMAGES / 255)
    assert torch.equal(images.labels, torch.cat([TRAIN_LABELS, TEST_LABELS]))
    assert torch.equal(again.images, images.images)


def test_the_published_test_split_tests(tmp_path: Path, mirror: Path) -> None:
    """A sixth of what is published to train with validates, another with another seed."""
    splits = read_image_set("mnist", tmp_path, seed=0).splits
    others = read_image_set("mnist", tmp_path, seed=1).splits

    assert splits["test"].tolist() == [12, 13, 14]
    assert (len(splits["train"]), len(splits["valid"])) == (10, 2)
    assert sorted(torch.cat([splits["train"], splits["valid"]]).tolist()) == list(range(12))
    assert not torch.equal(splits["train"], others["train"])


def test_another_file_is_refused_and_not_kept(tmp_path: Path, mirror: Path) -> None:
    """With a wrong checksum the message names the address and both sums, and nothing stays."""
    (mirror / "mnist" / FILES[0]).write_bytes(b"another file")

    with pytest.raises(UserError, match=rf"/mnist/{FILES[0]} \(is another file: its sha256 is"):
        read_image_set("mnist", tmp_path / "cache")

    assert list((tmp_path / "cache").rglob("*.gz")) == []
    assert list((tmp_path / "cache").rglob("*.part")) == []


def test_a_truncated_download_is_refused_and_not_kept(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the server says more bytes than it sends, the message says how many came."""
    end_headers = Quiet.end_headers

    def promise_more(handler: Quiet) -> None:
        buffer = handler._headers_buffer  # type: ignore[attr-defined]
        lengths = [index for index, line in enumerate(buffer) if b"Content-Length" in line]
        buffer[lengths[0]] = b"Content-Length: 1000000\r\n"
        end_headers(handler)

    monkeypatch.setattr(Quiet, "end_headers", promise_more)
    size = (mirror / "mnist" / FILES[0]).stat().st_size

    with pytest.raises(UserError, match=rf"ended after {size} of 1000000 bytes"):
        read_image_set("mnist", tmp_path / "cache")

    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_without_a_network_the_address_and_the_folder_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what could not be had, from where, and where to put it by hand."""
    monkeypatch.setenv("SCAFFOLD_MIRROR", "http://127.0.0.1:9")

    with pytest.raises(UserError) as refused:
        read_image_set("fashion-mnist", tmp_path)

    assert str(refused.value) == (
        f"{FILES[0]} could not be downloaded from http://127.0.0.1:9/fashion-mnist/{FILES[0]} "
        f"(connection refused); put the file into {tmp_path / 'fashion-mnist'} by hand, "
        "or try again"
    )


def test_files_put_there_by_hand_are_read(tmp_path: Path, mirror: Path, asked: list[str]) -> None:
    """Nothing is downloaded that is there."""
    (mirror / "mnist").rename(tmp_path / "mnist")

    assert len(read_image_set("mnist", tmp_path).labels) == 15
    assert asked == []


def test_a_damaged_file_in_the_cache_is_refused_and_left(tmp_path: Path, mirror: Path) -> None:
    """The message says which and what to do; the file is the user's to remove."""
    read_image_set("mnist", tmp_path)
    damaged = tmp_path / "mnist" / FILES[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])

    with pytest.raises(UserError, match=rf"{FILES[1]} is damaged: .*; remove it, and it is down"):
        read_image_set("mnist", tmp_path)

    assert damaged.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\x00\x00\x08\x01", "is not an IDX file of bytes in 3 dimensions"),
        (b"\x00\x00\x0d\x03" + bytes(12), "is not an IDX file of bytes in 3 dimensions"),
        (b"\x00\x00\x08\x03" + struct.pack(">3I", 2, 2, 2) + bytes(7), "holds 7 values, but its"),
        (b"\x00\x00\x08\x03" + struct.pack(">3I", 5, 1, 1) + bytes(5), "do not fit each other"),
    ],
)
def test_a_file_of_another_form_is_refused(
    tmp_path: Path, mirror: Path, content: bytes, complaint: str
) -> None:
    """Though its checksum is right, a wrong header, length or number of images is named."""
    publish(mirror, {FILES[0]: gzip.compress(content)})

    with pytest.raises(UserError, match=complaint):
        read_image_set("mnist", tmp_path)


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, by XDG_CACHE_HOME, or else it is in ~/.cache."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/ada/.cache/scaffold")
    assert cache_folder("~/data") == Path("/home/ada/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert cache_folder() == Path("/cache/scaffold")


# --- The digits -----------------------------------------------------------


def test_the_digits_are_split_by_the_seed() -> None:
    """Three fifths train and a fifth each validates and tests; no sample is in two splits."""
    images = read_image_set("digits", DIGITS)
    sizes = {name: len(indices) for name, indices in images.splits.items()}

    assert images.images.shape == (1797, 1, 8, 8)
    assert (images.images.min(), images.images.max()) == (0.0, 1.0)
    assert sizes == {"train": 1079, "valid": 359, "test": 359}
    assert len(torch.cat(list(images.splits.values())).unique()) == 1797


def test_images_are_scaled() -> None:
    """`image_size` makes images of that height and width, with the same range of values."""
    images = read_image_set("digits", DIGITS, image_size=16)

    assert images.images.shape == (1797, 1, 16, 16)
    assert 0.0 <= images.images.min() <= images.images.max() <= 1.0


# --- Pictures in folders --------------------------------------------------


def test_pictures_get_the_class_of_their_folder(pictures: Path) -> None:
    """In alphabetical order, in colour, cropped and scaled to the size asked for."""
    images = read_image_set("image-folder", pictures, image_size=4)

    assert images.class_names == ["blue", "red"]
    assert images.shape == (3, 4, 4)
    for image, label in zip(images.images, images.labels.tolist(), strict=True):
        assert image[2 if label == 0 else 0].min() == 1.0
        assert image[1].max() == 0.0


def test_pictures_are_read_in_grey(pictures: Path) -> None:
    """With one channel, in which red is lighter than blue."""
    images = read_image_set("image-folder", pictures, image_size=4, grey=True)
    lightness = images.images.mean(dim=(1, 2, 3))

    assert images.shape == (1, 4, 4)
    assert lightness[images.labels == 1].min() > lightness[images.labels == 0].max()


def test_pictures_are_read_batch_by_batch(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of files holds none of them: each batch opens its own."""
    dataset = read_image_set("image-folder", pictures, image_size=4).dataset("train")
    opened = []
    open_picture = Image.open
    monkeypatch.setattr(Image, "open", lambda path: (opened.append(path), open_picture(path))[1])
    batches = iter(Loader(dataset, batch_size=2))

    assert opened == []
    images, labels = next(batches)
    assert (images.shape, labels.shape, len(opened)) == ((2, 3, 4, 4), (2,), 2)


def test_folders_of_splits_are_the_splits(tmp_path: Path) -> None:
    """What lies in train, valid and test is what trains, validates and tests."""
    for split, count in {"train": 3, "valid": 2, "test": 1}.items():
        for name in ("a", "b"):
            save_pictures(tmp_path / split / name, count, "red")

    images = read_image_set("image-folder", tmp_path)

    assert {name: len(indices) for name, indices in images.splits.items()} == {
        "train": 6,
        "valid": 4,
        "test": 2,
    }
    assert images.labels[images.splits["test"]].tolist() == [0, 1]


@pytest.mark.parametrize(("mode", "color"), [("RGBA", (9, 9, 9, 0)), ("LA", (9, 0))])
def test_what_is_transparent_shows_white(
    tmp_path: Path, pictures: Path, mode: str, color: tuple[int, ...]
) -> None:
    """A picture with an alpha channel lies on white paper."""
    Image.new(mode, (6, 6), color).save(pictures / "blue" / "0.png")

    images = read_image_set("image-folder", pictures, image_size=4)

    assert images.images[0].min() == 1.0


def test_sixteen_bits_are_read_as_they_are_meant(pictures: Path) -> None:
    """Half of what 16 bits can say is half grey, and not white."""
    Image.new("I;16", (6, 6), 32768).save(pictures / "blue" / "0.png")

    images = read_image_set("image-folder", pictures, image_size=4)

    assert images.images[0].mean().item() == pytest.approx(0.5, abs=0.01)


def test_a_picture_that_is_none_is_named_at_once(pictures: Path) -> None:
    """Before anything is trained, in one line."""
    (pictures / "red" / "1.png").write_text("no picture")

    with pytest.raises(UserError, match=r"red/1\.png cannot be read as a picture: it is no pict"):
        read_image_set("image-folder", pictures, image_size=4)


def test_a_picture_that_ends_early_is_named(pictures: Path) -> None:
    """One whose header is right is named when its turn comes."""
    path = pictures / "red" / "1.png"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:1000])

    images = read_image_set("image-folder", pictures, image_size=4)

    with pytest.raises(UserError, match=r"red/1\.png cannot be read as a picture: .*truncated"):
        images.images  # noqa: B018


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda folder: None, "missing cannot be read as a folder: no such file"),
        (lambda folder: save_pictures(folder / "a", 2, "red"), "two classes or more, not a"),
        (lambda folder: save_pictures(folder / "train" / "a", 2, "red"), "must have a folder test"),
        (lambda folder: [(folder / name).mkdir(parents=True) for name in "ab"], "no pictures in"),
        (
            lambda folder: [
                save_pictures(folder / place, 1, "red")
                for place in ("train/a", "train/b", "test/c")
            ],
            "test has a class that is not in train: c",
        ),
    ],
)
def test_a_folder_of_another_form_is_refused(
    tmp_path: Path, make: Callable[[Path], object], complaint: str
) -> None:
    """One line says what is missing or too much."""
    make(tmp_path / "missing")

    with pytest.raises(UserError, match=complaint):
        read_image_set("image-folder", tmp_path / "missing", image_size=4)


def test_pictures_of_different_sizes_need_one(pictures: Path) -> None:
    """Without `image_size` the first two that differ are named, with their pixels."""
    Image.new("RGB", (7, 6)).save(pictures / "red" / "2.png")

    with pytest.raises(
        UserError, match=r"need --image-size, 32 for example: .*0\.png has 6 x 6 pixels, .*7 x 6"
    ):
        read_image_set("image-folder", pictures)


# --- Folds ----------------------------------------------------------------


def test_folds_share_the_samples_out() -> None:
    """Each sample but those of the test split validates in one fold and trains in the others."""
    splits = split_samples(103)
    labels = torch.arange(103) % 3
    folds = [choose_fold(splits, labels, folds=4, fold=fold) for fold in range(4)]
    pool = sorted(torch.cat([splits["train"], splits["valid"]]).tolist())

    assert sorted(torch.cat([fold["valid"] for fold in folds]).tolist()) == pool
    for fold in folds:
        assert sorted(torch.cat([fold["train"], fold["valid"]]).tolist()) == pool
        assert torch.equal(fold["test"], splits["test"])


@pytest.mark.parametrize("of", [lambda n: n % 10 // 9, lambda n: n.float() ** 2])
def test_every_fold_has_its_share_of_every_class(of: Callable[[Tensor], Tensor]) -> None:
    """Of labels within two samples; of numbers, as many small and large ones."""
    splits = split_samples(500)
    targets = of(torch.arange(500))
    above = targets > targets.float().median() if targets.is_floating_point() else targets == 1
    counts = [int(above[choose_fold(splits, targets, 5, fold)["valid"]].sum()) for fold in range(5)]

    assert max(counts) - min(counts) <= 2


def test_another_seed_makes_other_folds() -> None:
    """Also where no two targets are equal."""
    splits, targets = split_samples(50), torch.rand(50)
    chosen = [choose_fold(splits, targets, 5, 0, seed)["valid"].tolist() for seed in (0, 0, 1)]

    assert chosen[0] == chosen[1] != chosen[2]


# --- Helpers --------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    """Gives the files of a folder, and notes which were asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def asked() -> list[str]:
    """The paths that were asked of the server."""
    return []


@pytest.fixture
def mirror(tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a server on this machine that has a small set in the place of MNIST."""
    folder = tmp_path / "mirror"
    values = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
    monkeypatch.setitem(SOURCES, "mnist", Source([], {}, SOURCES["mnist"].class_names))
    publish(folder, {file: idx(value) for file, value in zip(FILES, values, strict=True)})
    monkeypatch.setattr(Quiet, "asked", asked, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SCAFFOLD_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def publish(folder: Path, files: dict[str, bytes]) -> None:
    """Put files on the server, and their checksums into the table."""
    source = SOURCES["mnist"]
    (folder / "mnist").mkdir(parents=True, exist_ok=True)
    sums = dict(source.sha256)
    for name, content in files.items():
        (folder / "mnist" / name).write_bytes(content)
        sums[name] = hashlib.sha256(content).hexdigest()
    SOURCES["mnist"] = source._replace(sha256=sums)


def idx(values: Tensor) -> bytes:
    """Return values as a compressed IDX file."""
    header = struct.pack(f">2x2B{values.ndim}I", 8, values.ndim, *values.shape)
    return gzip.compress(header + bytes(values.flatten().tolist()))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with five blue and five red pictures."""
    folder = tmp_path / "pictures"
    for color in ("red", "blue"):
        save_pictures(folder / color, 5, color)
    return folder


def save_pictures(folder: Path, count: int, color: str) -> None:
    """Save pictures of one colour, 6 x 6 pixels."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (6, 6), color).save(folder / f"{number}.png")
