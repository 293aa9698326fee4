"""Who listens to an event, and when the next of them is due."""

from __future__ import annotations

import inspect
import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scaffold_runtime.events import NEVER, EventEnum, Filter

if TYPE_CHECKING:
    from types import TracebackType

    from scaffold_runtime.engine import Engine

ALWAYS = -1  # Smaller than every count, so that the next occurrence asks each handler.


class Listeners:
    """
    The handlers of one event, in the order attached.

    `due` is the smallest count of the event at which any of them has to be
    called. The loop compares it with the iteration and so pays nothing for
    handlers that are not due. It is found anew whenever the event fires.
    """

    __slots__ = ("__weakref__", "_firing", "_removed", "counter", "due", "handlers", "is_inside")

    def __init__(self, counter: str | None, is_inside: bool = False) -> None:
        self.counter = counter  # The attribute of the state that counts the event, if there is one.
        self.is_inside = is_inside  # It happens inside an iteration.
        self.handlers: list[Handler] = []
        self.due: float = NEVER
        self._firing = 0
        self._removed = False  # Whether the list holds handlers that were removed while it fired.

    @property
    def is_firing(self) -> bool:
        """Whether the handlers are being called right now."""
        return self._firing > 0

    def add(self, handler: Handler) -> None:
        """Append a handler; one that is added while the event fires runs in that firing."""
        self.handlers.append(handler)
        self.due = ALWAYS

    def discard(self, handler: Handler) -> None:
        """Remove a handler, also from a firing under way; harmless when it is gone."""
        handler.removed = self._removed = True
        self._forget_removed()

    def fire(self, engine: Engine, *event_args: Any, **event_kwargs: Any) -> None:
        """Call the handlers that are due and find out when the next ones are."""
        count = getattr(engine.state, self.counter) if self.counter else 0
        self._firing += 1
        try:
            for handler in self.handlers:
                if not handler.removed and (
                    handler.filter is None or handler.filter(engine, count)
                ):
                    handler.call(engine, *event_args, **event_kwargs)
        finally:
            self._firing -= 1
            if self._removed:
                self._forget_removed()
        self.due = self._next_after(count)
        if engine._afterwards and not self.is_inside:
            engine.run_afterwards()

    def _next_after(self, count: int) -> float:
        due = NEVER
        for handler in self.handlers:
            if handler.filter is None:
                return ALWAYS
            due = min(due, handler.filter.next_after(count))
        return due

    def _forget_removed(self) -> None:
        if not self._firing:  # A firing walks the list, which must stay the same one until its end.
            self.handlers = [handler for handler in self.handlers if not handler.removed]
            self._removed = False


class Handler:
    """A function as it was attached: its arguments, and which occurrences it wants."""

    __slots__ = (
        "__weakref__",
        "args",
        "call",
        "filter",
        "function",
        "kwargs",
        "removed",
    )

    def __init__(
        self,
        event: EventEnum | str,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        filter: Filter | None = None,
        event_args: tuple[Any, ...] = (),
        event_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """
        Check that the function can be called when the event fires, and find out how.

        It may leave out the engine, and what the event itself passes on.

        Raises:
            TypeError: It is no function.
            ValueError: It accepts its arguments in none of these ways.
        """
        if not callable(function):
            raise TypeError(f"a handler of {event} must be a function, not {function!r}")
        self.function = function
        self.args = args
        self.kwargs = kwargs or {}
        self.filter = filter
        self.removed = False
        for takes_event, takes_engine in itertools.product((True, False), repeat=2):
            given = (*((None,) if takes_engine else ()), *(event_args if takes_event else ()))
            named = {**((event_kwargs or {}) if takes_event else {}), **self.kwargs}
            if accepts(function, *given, *args, **named):
                takes_event = takes_event and bool(event_args or event_kwargs)
                self.call = self._caller(takes_event, takes_engine)
                return
        raise ValueError(
            f"{_describe(function)} cannot handle {event}: besides the engine, which it may leave "
            f"out, it is called with {args} and {self.kwargs}"
        )

    def _caller(self, takes_event: bool, takes_engine: bool) -> Callable[..., Any]:
        """Return what calls the function with all that it takes, on the shortest way."""
        function, args, kwargs = self.function, self.args, self.kwargs

        def call_with_all(engine: Engine, *event_args: Any, **event_kwargs: Any) -> None:
            first = (engine,) if takes_engine else ()
            function(*first, *event_args, *args, **{**event_kwargs, **kwargs})

        def call_with_engine(engine: Engine, *_: Any, **__: Any) -> None:
            function(engine, *args, **kwargs)

        def call_without_engine(engine: Engine, *_: Any, **__: Any) -> None:
            function(*args, **kwargs)

        if takes_event:
            return call_with_all
        return call_with_engine if takes_engine else call_without_engine


class RemovableEventHandle:
    """
    What attaching a handler returns: a way to detach it.

    As a context manager it detaches at the end of the block, so that one
    evaluator can serve several purposes in turn:

    >>> from scaffold_runtime import Engine, Events
    >>> engine = Engine(lambda engine, batch: batch)
    >>> with engine.add_event_handler(Events.COMPLETED, lambda: print("validated")):
    ...     state = engine.run([1, 2])
    validated
    >>> state = engine.run([1, 2])
    """

    def __init__(self, attached: list[tuple[Listeners, Handler]]) -> None:
        # Weak, so that a handle somebody keeps does not keep an engine alive.
        self._attached = [(weakref.ref(ours), weakref.ref(handler)) for ours, handler in attached]

    def remove(self) -> None:
        """Detach the handler from its events; harmless when it is detached already."""
        for listeners_ref, handler_ref in self._attached:
            listeners, handler = listeners_ref(), handler_ref()
            if listeners is not None and handler is not None:
                listeners.discard(handler)

    def __enter__(self) -> RemovableEventHandle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


def accepts(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    """Say whether a function can be called with such arguments."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # Some built-in functions have no signature to check.
        return True
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _describe(function: Callable[..., Any]) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{name}{inspect.signature(function)}"
