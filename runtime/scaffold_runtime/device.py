"""Where to compute, and moving batches there, also ahead of their use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scaffold_runtime.errors import UserError

Device = str | torch.device | None


def choose_device(name: str = "auto") -> torch.device:
    """
    Return the device of a name; "auto" is CUDA, else Apple's MPS, else the CPU.

    Raises:
        UserError: There is no such device here.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"there is no device {name!r} here; try --device auto") from None
    return device


def to_device(value: Any, device: Device, non_blocking: bool = False) -> Any:
    """
    Move the tensors in a tensor, or in nested sequences and mappings, to a device.

    >>> to_device({"x": [torch.zeros(2)], "name": "first"}, "meta")
    {'x': [tensor(..., device='meta', size=(2,))], 'name': 'first'}
    """
    if device is None:
        return map_tensors(lambda tensor: tensor, value)
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking), value)


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """
    Call a function for every tensor in nested sequences and mappings; the rest stays as it is.

    >>> map_tensors(len, (torch.zeros(2), [torch.zeros(3), "three"]))
    (2, [3, 'three'])
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = [map_tensors(function, item) for item in value]
        if hasattr(value, "_fields"):  # A named tuple takes its items one by one.
            return type(value)(*items)
        return tuple(items) if isinstance(value, tuple) else items
    return value


def move_ahead(batches: Iterator[Any], device: torch.device) -> Iterator[Any]:
    """
    Give the batches on a device; with CUDA, the copy of the next is begun before it is asked for.

    >>> [batch.device.type for batch in move_ahead(iter([torch.zeros(1)]), torch.device("meta"))]
    ['meta']
    """
    if device.type != "cuda":
        return (to_device(batch, device) for batch in batches)
    copying = _Copying(device)
    return map(copying.finish, one_ahead(map(copying.begin, batches)))


def one_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """
    Draw each item before the one in front of it is given; an error waits for its turn.

    >>> drawn = one_ahead(1 // number for number in (1, 0))
    >>> next(drawn)
    1
    >>> next(drawn)
    Traceback (most recent call last):
    ZeroDivisionError: integer division or modulo by zero
    """
    failure: Exception | None = None
    ready = list(itertools.islice(items, 1))
    while ready:
        (item,) = ready
        try:
            ready = list(itertools.islice(items, 1))
        except Exception as error:
            failure, ready = error, []
        yield item
    if failure is not None:
        raise failure


class _Copying:
    """Copies to a CUDA device beside the computation, by a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def begin(self, batch: Any) -> tuple[Any, torch.cuda.Event]:
        moved = map_tensors(self._copy, batch)
        return moved, self._stream.record_event()

    def finish(self, begun: tuple[Any, torch.cuda.Event]) -> Any:
        """Let the computation wait for this copy; not for the next, which is under way, too."""
        batch, copied = begun
        computation = torch.cuda.current_stream(self._device)
        computation.wait_event(copied)
        # Its memory is not to be used again before the computation is done with it.
        map_tensors(lambda tensor: tensor.record_stream(computation), batch)
        return batch

    def _copy(self, tensor: Tensor) -> Tensor:
        if tensor.device.type != "cpu":  # Computed on a device, by the stream in use there.
            return tensor.to(self._device)
        with torch.cuda.stream(self._stream):
            return tensor.pin_memory().to(self._device, non_blocking=True)
