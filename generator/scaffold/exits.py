"""How the command ends: whatever goes wrong is one line and an exit status."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from typer.exceptions import TyperException

from scaffold import __version__
from scaffold.errors import ScaffoldError, did_you_mean, short

_MISTAKE = 2  # The exit status of whatever the user can put right.
_SLIP = 70  # That of what only we can; the systems' own number for it.
_LONGEST = 2000  # Characters of a message.
_DEBUG = "SCAFFOLD_DEBUG"  # A variable that, if it is set, shows where a slip of ours is.


def run(app: Callable[..., Any]) -> NoReturn:
    """Run a command line, and end this process with what came of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # A terminal may lack a letter of the answer.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(prog_name="scaffold", standalone_mode=False)
    except TyperException as error:
        status = _usage_error(error)
    except ScaffoldError as error:
        status = _fail(str(error))
    except BrokenPipeError:  # Whoever read us, as `head` does, has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except OSError as error:
        status = _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "))
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except Exception as error:
        status = _slip(error)
    sys.exit(status or 0)


def _usage_error(error: TyperException) -> int:
    """Say in one line what was typed wrongly, with the nearest that exists."""
    if "\n" in error.message:  # Nothing was typed: the message is the help.
        print(error.message, file=sys.stderr)
        return _MISTAKE
    possible = getattr(error, "possibilities", None)
    message = error.message if possible else error.format_message()
    message = message[0].lower() + message[1:].rstrip(".").replace(". Did", "; did")
    nearest = did_you_mean(getattr(error, "option_name", ""), possible) if possible else ""
    return _fail(f"{message}{nearest} (scaffold --help shows all)")


def _slip(error: Exception) -> int:
    """Say in one line that a mistake of ours was met, and how others can find it."""
    if os.environ.get(_DEBUG):
        raise error
    what = f"{type(error).__name__}, {short(str(error))}"
    _fail(
        f"this is a mistake in Scaffold {__version__} itself ({what}); "
        f"please report it where you have Scaffold from, with what {_DEBUG}=1 shows"
    )
    return _SLIP


def _fail(message: str) -> int:
    print(f"scaffold: {' '.join(message.split())[:_LONGEST]}", file=sys.stderr)
    return _MISTAKE
