"""What a checkpoint may hold: tensors and plain values, checked and copied beforehand."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, UntypedStorage, nn
from torch.serialization import get_safe_globals

# What `torch.load(weights_only=True)` reads; a subclass of any of these is something else.
CONSTANT = {type(None), bool, int, float, complex, str, bytes}
CONSTANT |= {torch.Size, torch.device, torch.dtype, torch.layout}
CHANGEABLE = {bytearray, UntypedStorage}
LISTS = {list, tuple, set}
MAPPINGS = {dict, OrderedDict, Counter}
TENSORS = {Tensor, nn.Parameter}
CONTAINERS = TENSORS | LISTS | MAPPINGS
LARGEST_INT = 8 * 255 - 1  # Bits.


def check_readable(content: Mapping[str, Any]) -> None:
    """
    Refuse what `torch.load(weights_only=True)` would refuse when the run is resumed.

    Raises:
        TypeError: Something in it could not be read again; the message says where it is.

    >>> check_readable({"rates": [0.1, 0.2]})
    >>> check_readable({"rates": [0.1, range(2)]})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: content['rates'][1] is of the type range, which a checkpoint cannot hold: ...
    """
    found = _find_unreadable(content, set())
    if found is not None:
        raise TypeError(
            f"content{found.place} is {found.kind}, which a checkpoint cannot hold: "
            "make it a tensor or plain values (numbers, text, lists, dictionaries)"
        )


class CpuCopier:
    """
    Copies nested values with their tensors into memory of the CPU that it keeps.

    Tensors that share memory share it in the copy, too, so that no more is written
    than of the original. The memory is used again for the next copy: fresh memory
    takes several times as long to fill.

    >>> weights = torch.zeros(3)
    >>> copy = CpuCopier().copy({"all": weights, "first": weights[:2]})
    >>> weights.fill_(1.0)
    tensor([1., 1., 1.])
    >>> _ = copy["all"].fill_(5.0)
    >>> copy
    {'all': tensor([5., 5., 5.]), 'first': tensor([5., 5.])}
    """

    def __init__(self) -> None:
        self._spare: dict[int, list[UntypedStorage]] = {}
        self._storages: dict[int, UntypedStorage] = {}
        self._copies: dict[int, Any] = {}

    def copy(self, content: Any) -> Any:
        """Return a copy that nothing changes until the next is made."""
        self._spare = defaultdict(list)
        for storage in self._storages.values():
            self._spare[storage.nbytes()].append(storage)
        self._storages, self._copies = {}, {}
        copied = self._copy(content)
        self._spare, self._copies = {}, {}
        return copied

    def _copy(self, value: Any) -> Any:
        if type(value) in CONSTANT:
            return value
        if id(value) not in self._copies:  # What stands in two places stays one object.
            self._copies[id(value)] = self._copied(value)
        return self._copies[id(value)]

    def _copied(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, Tensor):
            return self._copied_tensor(value)
        if kind in LISTS:
            return kind(self._copy(item) for item in value)
        if kind in MAPPINGS:
            copied = kind({self._copy(key): self._copy(item) for key, item in value.items()})
            self._copy_attributes(value, copied)
            return copied
        if kind is UntypedStorage:
            return self._copied_storage(value)
        return bytearray(value) if kind is bytearray else value

    def _copied_tensor(self, tensor: Tensor) -> Tensor:
        if _is_plainly_stored(tensor):
            storage = self._copied_storage(tensor.untyped_storage())
            place = tensor.storage_offset(), tensor.size(), tensor.stride()
            copied = torch.empty(0, dtype=tensor.dtype).set_(storage, *place)
        else:
            copied = tensor.detach() if tensor.is_meta else tensor.detach().to("cpu", copy=True)
        if isinstance(tensor, nn.Parameter):
            copied = nn.Parameter(copied, tensor.requires_grad)
        else:
            copied.requires_grad_(tensor.requires_grad)
        self._copy_attributes(tensor, copied)
        return copied

    def _copy_attributes(self, value: Any, copied: Any) -> None:
        if attributes := _attributes(value):
            vars(copied).update(self._copy(attributes))

    def _copied_storage(self, storage: UntypedStorage) -> UntypedStorage:
        key = storage._cdata  # The same for all tensors that share it.
        if key not in self._storages:
            spare = self._spare[storage.nbytes()]
            copied = spare.pop() if spare else _new_storage(storage.nbytes())
            self._storages[key] = copied.copy_(storage, False)
        return self._storages[key]


class _Unreadable(NamedTuple):
    place: str
    kind: str


def _find_unreadable(value: Any, seen: set[int]) -> _Unreadable | None:
    kind = type(value)
    if kind is int and value.bit_length() > LARGEST_INT:
        return _Unreadable("", f"an integer of {value.bit_length()} bits")
    if kind in CONSTANT or kind in CHANGEABLE or id(value) in seen:
        return None
    seen.add(id(value))  # The content stays alive meanwhile, so nothing else gets its number.
    if kind not in CONTAINERS:
        vouched_for = kind in get_safe_globals()  # By the user, to torch.
        return None if vouched_for else _Unreadable("", f"of the type {_name_of(kind)}")
    for key, item in _items(value):
        found = _find_unreadable(item, seen)
        if found is not None:
            return _Unreadable(f"[{key!r}]{found.place}", found.kind)
    return None


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """Return what is in a value, each with where it is."""
    if type(value) in MAPPINGS:
        yield from ((key, key) for key in value)
        yield from value.items()
    elif type(value) in LISTS:
        yield from enumerate(value)
    yield from _attributes(value).items()


def _name_of(kind: type) -> str:
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def _new_storage(size: int) -> UntypedStorage:
    return torch.empty(size, dtype=torch.uint8).untyped_storage()


def _attributes(value: Any) -> dict[str, Any]:
    """Return an object's own attributes; a model's state has its version among them."""
    return getattr(value, "__dict__", {})


def _is_plainly_stored(tensor: Tensor) -> bool:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return False
    return type(tensor) in TENSORS and not (tensor.is_meta or tensor.is_conj() or tensor.is_neg())
