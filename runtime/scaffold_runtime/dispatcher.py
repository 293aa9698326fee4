"""Who is told of an event: attaching, detaching, firing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from scaffold_runtime.events import EventEnum, Events, EventsList, FilteredEvent
from scaffold_runtime.listeners import ALWAYS, Handler, Listeners, RemovableEventHandle
from scaffold_runtime.state import State

Event = EventEnum | str
AnyEvent = Event | FilteredEvent | EventsList
Function = TypeVar("Function", bound=Callable[..., Any])

COUNTERS = {
    Events.STARTED: "epoch",
    Events.EPOCH_STARTED: "epoch",
    Events.GET_BATCH_STARTED: "iteration",
    Events.GET_BATCH_COMPLETED: "iteration",
    Events.ITERATION_STARTED: "iteration",
    Events.ITERATION_COMPLETED: "iteration",
    Events.EPOCH_COMPLETED: "epoch",
    Events.COMPLETED: "epoch",
}
# These are part of an iteration: the state is not whole when they end.
INSIDE = {
    Events.GET_BATCH_STARTED,
    Events.GET_BATCH_COMPLETED,
    Events.DATALOADER_STOP_ITERATION,
    Events.ITERATION_STARTED,
}


class Dispatcher:
    """The part of an engine that keeps its handlers and calls them."""

    state: State

    def __init__(self) -> None:
        self._listeners: dict[Event, Listeners] = {
            event: Listeners(COUNTERS.get(event), is_inside=event in INSIDE) for event in Events
        }
        self._running = False
        self._afterwards: list[Callable[[], Any]] = []  # To be called when no event is under way.

    def on(self, event_name: AnyEvent, *args: Any, **kwargs: Any) -> Callable[[Function], Function]:
        """Attach the decorated function, as `add_event_handler` does, and return it."""

        def attach(handler: Function) -> Function:
            self.add_event_handler(event_name, handler, *args, **kwargs)
            return handler

        return attach

    def add_event_handler(
        self, event_name: AnyEvent, handler: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> RemovableEventHandle:
        """
        Call `handler(engine, *args, **kwargs)` whenever the event happens.

        The handler may leave out the engine. Handlers run in the order attached.

        Returns:
            A handle that detaches it; also a context manager.

        Raises:
            TypeError: The handler is no function.
            ValueError: It does not accept these arguments, the event is not
                registered, or a filter is put on an event that nothing counts.
        """
        events = event_name if isinstance(event_name, EventsList) else (event_name,)
        attached = [self._attach(event, handler, args, kwargs) for event in events]
        for listeners, attachment in attached:
            listeners.add(attachment)
        return RemovableEventHandle(attached)

    def remove_event_handler(self, handler: Callable[..., Any], event_name: AnyEvent) -> None:
        """
        Detach a handler from an event.

        Raises:
            ValueError: It is not attached to it.
        """
        found = list(self._find(handler, event_name))
        if not found:
            raise ValueError(f"{handler!r} is not attached to {event_name}")
        for listeners, attachment in found:
            listeners.discard(attachment)

    def has_event_handler(
        self, handler: Callable[..., Any], event_name: AnyEvent | None = None
    ) -> bool:
        """Say whether a handler is attached to an event, or to any."""
        return any(True for _ in self._find(handler, event_name))

    def register_events(
        self, *event_names: Event, event_to_attr: Mapping[Any, str] | None = None
    ) -> None:
        """
        Make events of your own known, to be fired with `fire_event`.

        Args:
            event_names: Members of an `EventEnum`, or strings.
            event_to_attr: The attribute of the state that counts each event,
                made and set to 0 where missing; filters need it.
        """
        counters = event_to_attr or {}
        for event in event_names:
            if not isinstance(event, EventEnum | str):
                raise TypeError(f"an event is a member of an EventEnum or a string, not {event!r}")
            listeners = self._listeners.setdefault(event, Listeners(None))
            if event in counters:
                listeners.counter = counters[event]
                vars(self.state).setdefault(counters[event], 0)

    def has_registered_events(self, event: Any) -> bool:
        """Say whether an event is known here."""
        return event in self._listeners

    def fire_event(self, event_name: Event) -> None:
        """
        Call the handlers of an event, usually one of your own, now.

        Raises:
            ValueError: The event is not registered.
        """
        self._listeners_of(event_name).fire(self)  # type: ignore[arg-type]

    @property
    def is_running(self) -> bool:
        """Whether `run` is under way."""
        return self._running

    def call_afterwards(self, function: Callable[[], Any]) -> None:
        """
        Call a function once, after all handlers of the event under way, or of the next.
        Inside an iteration that is its last event, `ITERATION_COMPLETED`.

        Then every handler has done its part, so the state is whole: the time to save it.
        A signal handler may call this; while the engine does not run, it calls at once.

        >>> from scaffold_runtime import Engine
        >>> engine = Engine(lambda engine, batch: None)
        >>> def ask_first():
        ...     engine.call_afterwards(lambda: print("saved"))
        >>> handle = engine.add_event_handler(Events.COMPLETED, ask_first)
        >>> handle = engine.add_event_handler(Events.COMPLETED, lambda: print("measured"))
        >>> state = engine.run([1])
        measured
        saved
        """
        if not self._running:
            function()
            return
        self._afterwards.append(function)
        self._listeners[Events.ITERATION_COMPLETED].due = ALWAYS

    def run_afterwards(self) -> None:
        """Call what waits for the end of an event, unless one is still under way."""
        if any(listeners.is_firing for listeners in self._listeners.values()):
            return
        while self._afterwards:
            self._afterwards.pop(0)()

    def attached(self) -> dict[str, Any]:
        """
        Return everything attached that has a state of its own, each once.

        That is what the handlers are methods of, or are themselves: metrics,
        schedulers, loggers, early stopping. Models and engines are saved as parts.
        The names are those of the classes; further ones of a class are numbered.

        >>> from scaffold_runtime import Accuracy, Engine
        >>> engine = Engine(lambda engine, batch: None)
        >>> for name in ("first", "second"):
        ...     Accuracy().attach(engine, name)
        >>> list(engine.attached())
        ['Accuracy', 'Accuracy-2']
        """
        found: dict[int, Any] = {}
        for listeners in self._listeners.values():
            for handler in listeners.handlers:
                owner = getattr(handler.function, "__self__", handler.function)
                if _has_state(owner):
                    found[id(owner)] = owner
        named: dict[str, Any] = {}
        for owner in found.values():
            kind = type(owner).__name__
            number = sum(name.partition("-")[0] == kind for name in named) + 1
            named[kind if number == 1 else f"{kind}-{number}"] = owner
        return named

    def _attach(
        self, event: Any, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Listeners, Handler]:
        wanted = event.filter if isinstance(event, FilteredEvent) else None
        event = event.event if isinstance(event, FilteredEvent) else event
        listeners = self._listeners_of(event)
        if wanted is not None and listeners.counter is None:
            raise ValueError(f"{event} cannot be filtered: register it with event_to_attr")
        event_args = (Exception(),) if event is Events.EXCEPTION_RAISED else ()
        event_kwargs = {"iter_counter": 0} if event is Events.TERMINATE_SINGLE_EPOCH else {}
        made = Handler(event, handler, args, kwargs, wanted, event_args, event_kwargs)
        return listeners, made

    def _find(
        self, handler: Callable[..., Any], event_name: AnyEvent | None
    ) -> Iterator[tuple[Listeners, Handler]]:
        if event_name is None:
            places = list(self._listeners.values())
        else:
            events = event_name if isinstance(event_name, EventsList) else (event_name,)
            plain = (event.event if isinstance(event, FilteredEvent) else event for event in events)
            places = [self._listeners_of(event) for event in plain]
        for listeners in places:
            for attachment in listeners.handlers:
                if attachment.function == handler and not attachment.removed:
                    yield listeners, attachment

    def _listeners_of(self, event: Event) -> Listeners:
        try:
            return self._listeners[event]
        except (KeyError, TypeError):
            known = ", ".join(str(event) for event in self._listeners)
            raise ValueError(f"no event {event!r} here; there are {known}") from None


def _has_state(owner: Any) -> bool:
    if isinstance(owner, Dispatcher | type) or hasattr(owner, "parameters"):
        return False
    return hasattr(owner, "state_dict") and hasattr(owner, "load_state_dict")
