"""The parts of a run and their states: taken together, and loaded only where they fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch.optim import Optimizer

from scaffold_runtime.errors import CheckpointError

SHOWN = 3  # Differences that a message names.


@runtime_checkable
class Stateful(Protocol):
    """Anything with a state to save: models, optimizers, schedulers, engines, handlers."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any) -> Any: ...


def check_parts(parts: Mapping[str, Any]) -> dict[str, Stateful]:
    """
    Return the parts, if all of them have a state.

    Raises:
        TypeError: One has none.
    """
    for name, part in parts.items():
        if not isinstance(part, Stateful):
            raise TypeError(f"{name} cannot be saved: {type(part).__name__} has no state_dict")
    return dict(parts)


def states_of(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """
    Return the states of all parts, and what tells later whether they fit.

    An optimizer's state does not say which shapes its parameters have, and before
    the first step there is nothing else in it that would.
    """
    return {
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "shapes": {
            name: _shapes_of(part) for name, part in parts.items() if isinstance(part, Optimizer)
        },
    }


def load_parts(path: Path, content: Mapping[str, Any], parts: Mapping[str, Stateful]) -> None:
    """
    Load the parts of a checkpoint that was read from a path.

    Models and optimizers are compared with the file before anything is loaded, and
    loaded last: where something does not fit, no weight has changed.

    Raises:
        CheckpointError: It holds other parts, or they do not fit; the message
            names the first differences.

    >>> model, saved = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> load_parts(Path("last.pt"), states_of({"model": saved}), {"model": model})
    >>> bool(model.weight == saved.weight)
    True
    """
    saved = content.get("parts", {})
    if saved.keys() != parts.keys():
        raise CheckpointError(f"{path} does not fit: {_differing_keys(saved, parts)}")
    shapes = content.get("shapes", {})  # Files of 0.2 have none.
    for name, part in parts.items():
        first = list(islice(_differences(part, saved[name], shapes.get(name)), SHOWN))
        if first:
            raise CheckpointError(f"{path} does not fit the {name} here: {'; '.join(first)}")
    compared_last = sorted(parts, key=lambda name: isinstance(parts[name], nn.Module | Optimizer))
    for name in compared_last:
        try:
            parts[name].load_state_dict(saved[name])
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reasons = [line.strip() for line in str(error).splitlines() if line.strip()]
            message = f"{path} does not fit the {name} here: {' '.join(reasons[:3])}"
            raise CheckpointError(message) from None


def _differences(part: Stateful, saved: Any, shapes: Any) -> Iterator[str]:
    if isinstance(part, Optimizer):
        yield from _differences_of_optimizers(part, saved, shapes)
    elif not _converts_old_states(part):
        for state, here in _models_in(saved, part.state_dict()):
            yield from _differences_of_models(state, here)


# --- Models ---------------------------------------------------------------


def _converts_old_states(part: Stateful) -> bool:
    """Say whether a model has hooks that make a state with other keys fit."""
    modules = part.modules() if isinstance(part, nn.Module) else ()
    return any(module._load_state_dict_pre_hooks for module in modules)


def _models_in(saved: Any, here: Any) -> Iterator[tuple[Any, Any]]:
    """Return the states of models inside of a state, each as it was saved and as it is here."""
    if hasattr(here, "_metadata"):  # What `nn.Module.state_dict` adds to the weights.
        yield saved, here
    elif isinstance(here, Mapping) and isinstance(saved, Mapping):
        for key in here.keys() & saved.keys():
            yield from _models_in(saved[key], here[key])


def _differences_of_models(saved: Any, here: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(saved, Mapping):
        yield f"the file has a {type(saved).__name__} for a model"
        return
    if saved.keys() != here.keys():
        yield _differing_keys(saved, here)
    for key in here:
        if key in saved and _shape(saved[key]) != _shape(here[key]):
            yield f"{key} is {_shape(saved[key])} in the file and {_shape(here[key])} here"


# --- Optimizers -----------------------------------------------------------


def _shapes_of(optimizer: Optimizer) -> list[list[list[int]]]:
    """Return the shapes of the parameters in each group."""
    groups = optimizer.param_groups
    return [[list(parameter.shape) for parameter in group["params"]] for group in groups]


def _differences_of_optimizers(here: Optimizer, saved: Any, shapes: Any) -> Iterator[str]:
    if not isinstance(saved, Mapping) or "param_groups" not in saved:
        yield "the file has no optimizer's state for it"
        return
    groups, groups_here = saved["param_groups"], here.param_groups
    if len(groups) != len(groups_here):
        yield f"{len(groups)} groups of parameters in the file and {len(groups_here)} here"
        return
    for number, (group, group_here) in enumerate(zip(groups, groups_here, strict=True)):
        count, count_here = len(group["params"]), len(group_here["params"])
        if count != count_here:
            yield f"group {number} has {count} parameters in the file and {count_here} here"
        # Options that only one side has come from other versions of torch, or from schedulers.
        if group.keys() - group_here.keys() and group_here.keys() - group.keys():
            yield f"it is another kind of optimizer; {_differing_keys(group, group_here)}"
    if shapes is None:  # A file of 0.2.
        return
    for number, pair in enumerate(zip(shapes, _shapes_of(here), strict=True)):
        for index, (shape, shape_here) in enumerate(zip(*pair, strict=False)):
            if shape != shape_here:
                where = f"parameter {index} of group {number}"
                yield f"{where} is {shape} in the file and {shape_here} here"


# --- Words ----------------------------------------------------------------


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _differing_keys(saved: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    only_saved = [key for key in saved if key not in here]
    only_here = [key for key in here if key not in saved]
    return f"only in the file: {_first(only_saved)}; only here: {_first(only_here)}"


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(map(str, names[:SHOWN])) or "nothing") + more
