"""How a verb becomes a command.

Its signature gives the flags, its docstring the help; a function puts its result into words.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from inspect import Parameter as Argument
from inspect import Signature, signature
from json import dumps
from typing import Annotated, Any, TextIO, TypeVar

from cyclopts import App, Parameter

from .. import progress
from ..errors import ResourceError
from ..reader import plain

T = TypeVar("T")

app = App(
    name="residuum",
    help="Build, train and dissect residual networks.",
    help_format="plaintext",
    result_action="return_value",
    version=lambda: __import__("importlib.metadata").metadata.version("residuum"),
    default_parameter=Parameter(negative=()),
)
app.register_install_completion_command(help="Install completion for this shell (bash, zsh, fish).")


@dataclass(frozen=True)
class Printing:
    """What a command prints."""

    json: bool = False
    """Print one JSON object on stdout."""
    quiet: Annotated[bool, Parameter(alias="-q")] = False
    """No progress on stderr."""
    verbose: Annotated[bool, Parameter(alias="-v")] = False
    """Show tracebacks."""


def command(
    verb: Callable[..., T],
    name: str | None = None,
    json: Callable[[T], Any] = lambda found: found,
    kept: Callable[[T], bool] = lambda found: False,
) -> Callable[[Callable[[T], str]], Callable[[T], str]]:
    """Decorates the function that puts the verb's result into words for a person.

    `json` gives what --json prints, a list as {"entries": ...}; `kept` whether the result also lies
    in a folder, so that a stdout that cannot be written costs nothing. Arguments and help are the
    verb's; each request among them becomes a group of flags.
    """

    def register(words: Callable[[T], str]) -> Callable[[T], str]:
        def run(*arguments: Any, printing: Printing = Printing(), **flags: Any) -> None:
            found = verb(*arguments, **flags)
            if not progress.leads():
                return
            value = plain(json(found)) if printing.json else None  # one object on stdout, always
            value = {"entries": value} if isinstance(value, list) else value
            _print(dumps(value) if printing.json else words(found), kept(found))

        asked = [*signature(verb).parameters.values()]
        last = Argument("printing", Argument.KEYWORD_ONLY, default=Printing(), annotation=Printing)
        flat = [_flags(argument) for argument in (*asked, last)]
        run.__doc__ = verb.__doc__ or ""
        run.__signature__ = Signature(flat)  # type: ignore[attr-defined]
        run.__annotations__ = {argument.name: argument.annotation for argument in flat}
        app.command(run, name=name or verb.__name__, help=run.__doc__.split("\n\n")[0])
        return words

    return register


def _print(text: str, kept: bool) -> None:
    """ResourceError: stdout is closed or full, and the text was all that the command is for."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up(sys.stdout)
        message = f"stdout cannot be written ({error.strerror})"
        if not kept:
            raise ResourceError(message) from error
        progress.say(f"warning: {message}; the result is in its folder")


def give_up(stream: TextIO) -> None:
    """What a stream still holds must not fail once more when the interpreter ends."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _flags(argument: Argument) -> Argument:
    """A request spread out into a group of flags."""
    if not is_dataclass(argument.annotation):
        return argument
    spread = Parameter(name="*", group=argument.name.capitalize())
    return argument.replace(annotation=Annotated[argument.annotation, spread])
