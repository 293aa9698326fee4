"""Metrics made of other metrics: arithmetic that is done when the value is asked for."""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any

from torch import Tensor


def _first(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method that applies a function to the metric's value, and to others behind it."""

    def apply(self: Any, *others: Any, **kwargs: Any) -> Any:
        from scaffold_runtime.metrics.metrics_lambda import MetricsLambda

        return MetricsLambda(function, self, *others, **kwargs)

    return apply


def _last(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return _first(lambda value, other: function(other, value))


def _method(name: str) -> Callable[..., Any]:
    return _first(lambda value, *args, **kwargs: getattr(value, name)(*args, **kwargs))


class Arithmetic:
    """The operators of a metric, and the methods of tensors: its value's, once it has one."""

    __add__ = _first(operator.add)
    __radd__ = _last(operator.add)
    __sub__ = _first(operator.sub)
    __rsub__ = _last(operator.sub)
    __mul__ = _first(operator.mul)
    __rmul__ = _last(operator.mul)
    __truediv__ = _first(operator.truediv)
    __rtruediv__ = _last(operator.truediv)
    __floordiv__ = _first(operator.floordiv)
    __rfloordiv__ = _last(operator.floordiv)
    __mod__ = _first(operator.mod)
    __rmod__ = _last(operator.mod)
    __pow__ = _first(operator.pow)
    __rpow__ = _last(operator.pow)
    __neg__ = _first(operator.neg)
    __abs__ = _first(abs)
    __getitem__ = _first(operator.getitem)
    __iter__ = None  # Or Python would ask for metric[0], metric[1], ... without end.

    mean = _method("mean")
    sum = _method("sum")
    min = _method("min")
    max = _method("max")
    item = _method("item")
    pow = _method("pow")

    if not TYPE_CHECKING:  # Or a misspelled attribute would look right to type checkers.

        def __getattr__(self, name: str) -> Callable[..., Any]:
            if name.startswith("_") or not callable(getattr(Tensor, name, None)):
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
            return MethodType(_method(name), self)
