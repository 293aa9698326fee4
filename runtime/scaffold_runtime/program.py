"""The way into a program, and every way out of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaffold_runtime.errors import Stopped, UserError
from scaffold_runtime.run_settings import RUNS
from scaffold_runtime.settings import Settings, parse_settings


def launch(main: Callable[[Settings], Any], settings_class: type[Settings]) -> None:
    """
    Call `main` with the settings of the command line; a user's mistake becomes one line.

    The process exits with 2 after a mistake in what was asked for, and with 128 + its
    number after a signal: with 130 after Ctrl-C, with 142 when `max_time` is over.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Greeting:
    ...     name: str = "you"
    >>> sys.argv = ["greet.py", "--name", "Ada"]
    >>> launch(lambda settings: print("hello,", settings.name), Greeting)
    hello, Ada
    """
    # A cluster may send it at any time; outside of training there is nothing to save.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    program = Path(sys.argv[0]).name
    settings: Settings | None = None
    try:
        settings = parse_settings(settings_class, sys.argv[1:])
        main(settings)
        sys.stdout.flush()
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # Whoever read what is printed has seen enough.
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:  # A folder that cannot be written, a disk that is full.
        if error.filename is None or error.strerror is None:
            raise
        print(f"{program}: {error.filename}: {error.strerror.lower()}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        reason = "its max_time" if stopped.signal is signal.SIGALRM else stopped.signal.name
        print(f"{program}: stopped by {reason}{_how_to_go_on(settings)}", file=sys.stderr)
        raise
    except KeyboardInterrupt:
        print(f"{program}: stopped{_how_to_go_on(settings)}", file=sys.stderr)
        sys.exit(130)


def _how_to_go_on(settings: Any) -> str:
    name = getattr(settings, "run", None)
    if not name or not (RUNS / name / "checkpoints" / "last.pt").exists():
        return ""
    return f"; `python {sys.argv[0]} --run {name} --resume` goes on from the last checkpoint"
