"""What can be saved: exactly what can be read again, and copied without a change."""

from __future__ import annotations

import collections
import enum
import io
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from states import make_parts, train
from torch import nn

from scaffold_runtime import Checkpoint
from scaffold_runtime.checkpoints.contents import CpuCopier, check_readable


class Colour(enum.IntEnum):
    """An integer that is something else."""

    RED = 1


Point = collections.namedtuple("Point", "x y")


def attributed(value: Any, **attributes: Any) -> Any:
    """Give a value attributes of its own."""
    vars(value).update(attributes)
    return value


READABLE = {
    "none": None,
    "numbers": [True, 1, 2.5, float("nan"), 1j, -(2**1000), 2**2039 - 1],
    "text": ["text", "\ud800", b"bytes", bytearray(b"bytes")],
    "lists": [(), [], {}, (1, [2, {"a": (3,)}]), {1, 2}],
    "mappings": [collections.OrderedDict(a=1), collections.Counter("ab"), {1: 2, (1, 2): 3}],
    "torch": [torch.Size([1]), torch.float16, torch.strided, torch.device("cpu")],
    "tensors": [torch.ones(2), nn.Parameter(torch.ones(2)), torch.ones(2, requires_grad=True)],
    "strange tensors": [torch.ones(2).to_sparse(), torch.ones(1, dtype=torch.cfloat).conj()],
    "no tensors": [torch.empty(0), torch.empty(2, device="meta"), torch.tensor(1)],
    "storage": torch.ones(2).untyped_storage(),
    "attributes": attributed(collections.OrderedDict(a=1), version=[1]),
    "tensor with attributes": attributed(torch.ones(1), note={"a": 1}),
    "model": nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict(),
}
UNREADABLE = {
    "NumPy number": numpy.float64(1.0),
    "NumPy array": numpy.ones(2),
    "path": Path(),
    "range": range(2),
    "frozen set": frozenset({1}),
    "named tuple": Point(1, 2),
    "enum": Colour.RED,
    "default": collections.defaultdict(list),
    "deque": collections.deque([1]),
    "class": int,
    "huge": 2**2039,
    "ellipsis": ...,
    "slice": slice(1),
    "text of NumPy": numpy.str_("a"),
    "inside": {"a": [1, {"b": (numpy.int64(1),)}]},
    "key": {numpy.int64(1): 1},
    "attributes": attributed(collections.OrderedDict(a=1), version=range(1)),
    "tensor with attributes": attributed(torch.ones(1), note=Path()),
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("name", READABLE)
def test_what_torch_reads_can_be_saved(name: str) -> None:
    """Torch itself is asked, so that nothing is refused for no reason."""
    content = {"value": READABLE[name]}

    check_readable(content)
    assert is_read_by_torch(content)


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_torch_would_refuse_is_refused_when_saved(name: str) -> None:
    """Not when the run is resumed, hours later."""
    content = {"value": UNREADABLE[name]}

    with pytest.raises(TypeError, match=r"content\['value'\].* which a checkpoint cannot hold"):
        check_readable(content)
    assert not is_read_by_torch(content)


@pytest.mark.parametrize("background", [False, True])
def test_the_message_says_where_it_is(tmp_path: Path, background: bool) -> None:
    """Part, keys and type; at the first save, and nothing is written."""

    class Part:
        def state_dict(self) -> Any:
            return {"scores": [0.5, numpy.float32(0.5)]}

        def load_state_dict(self, state_dict: Any) -> None: ...

    checkpoint = Checkpoint(tmp_path, {"best": Part()}, background=background)
    with pytest.raises(
        TypeError, match=r"content\['parts'\]\['best'\]\['scores'\]\[1\] is .*numpy.float32"
    ):
        checkpoint.save()
    assert not list(tmp_path.iterdir())


def test_settings_are_checked_as_well(tmp_path: Path) -> None:
    """They are in the same file."""
    with pytest.raises(TypeError, match=r"content\['settings'\]\['data'\] is of the type pathlib"):
        Checkpoint(tmp_path, {}, settings={"data": Path()}).save()


def test_what_the_user_vouches_for_can_be_saved() -> None:
    """As torch documents it."""
    with torch.serialization.safe_globals([Colour]):
        check_readable({"value": Colour.RED})
    with pytest.raises(TypeError, match="Colour"):
        check_readable({"value": Colour.RED})


# --- Copies ---------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(READABLE.keys() - {"strange tensors"}))
def test_a_copy_is_written_like_the_original(name: str) -> None:
    """To the last byte, with strides, shared memory, flags and attributes."""
    assert written(CpuCopier().copy(READABLE[name])) == written(READABLE[name])


def test_strange_tensors_have_the_same_values_in_the_copy() -> None:
    """Sparse ones, and those that are conjugated when they are read."""
    sparse, conjugated = READABLE["strange tensors"]
    copied = CpuCopier().copy([sparse, conjugated])

    assert torch.equal(copied[0].to_dense(), sparse.to_dense())
    assert torch.equal(copied[1], conjugated)


def test_the_copy_of_a_run_is_written_like_the_run() -> None:
    """Model, optimizer, scheduler, engine."""
    parts = make_parts()
    train(parts, steps=2)
    content = {name: part.state_dict() for name, part in parts.items()}

    assert written(CpuCopier().copy(content)) == written(content)


def test_tensors_that_share_memory_share_it_in_the_copy() -> None:
    """Views, transposed ones and tied weights are written once."""
    whole = torch.arange(1000.0).reshape(10, 100)
    content = [whole, whole[3], whole.T, whole[::2, 1:], whole]
    copied = CpuCopier().copy(content)

    assert written(copied) == written(content)
    assert copied[0] is copied[4]
    copied[0][3, 5] = -1.0
    assert copied[1][5] == copied[2][5, 3] == -1.0


def test_nothing_that_happens_to_the_original_changes_the_copy() -> None:
    """Tensors, lists, dictionaries and bytes alike."""
    content = {"a": torch.zeros(2), "b": [torch.zeros(2)], "c": {"d": [1]}, "e": bytearray(b"1")}
    copied = CpuCopier().copy(content)
    content["a"].fill_(1.0)
    content["b"][0].add_(1.0)
    content["c"]["d"].append(2)
    content["e"].append(2)

    assert copied["c"] == {"d": [1]}
    assert copied["e"] == b"1"
    assert copied["a"].sum() + copied["b"][0].sum() == 0


def test_the_memory_of_a_copy_is_used_again() -> None:
    """The next copy lies where the one before lay, whatever is new in it."""
    copier = CpuCopier()
    first = copier.copy({"a": torch.zeros(8), "b": torch.zeros(8)})
    addresses = {tensor.data_ptr() for tensor in first.values()}
    content = {"c": torch.rand(3), "b": torch.rand(8), "a": torch.rand(8), "d": torch.rand(8)}
    second = copier.copy(content)

    assert addresses < {tensor.data_ptr() for tensor in second.values()}
    assert written(second) == written(content)


# --- Helpers --------------------------------------------------------------


def written(value: Any) -> bytes:
    """Return what torch writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def is_read_by_torch(value: Any) -> bool:
    """Say whether torch reads again what it writes."""
    try:
        torch.load(io.BytesIO(written(value)), weights_only=True)
    except Exception:
        return False
    return True
