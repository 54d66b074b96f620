"""How a verb becomes a command.

Its signature gives the flags, its docstring the help; a function puts its result into words.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from inspect import Parameter as Argument
from inspect import Signature, signature
from json import dumps
from typing import Annotated, Any, TextIO, TypeVar, get_args

from cyclopts import App, Parameter, Token, convert

from .. import progress
from ..errors import NumericError, ResourceError, UsageError
from ..reader import plain

T = TypeVar("T")


def whole_numbers(kind: Any, tokens: Sequence[Token]) -> Any:
    """As cyclopts converts, but it would round 1.5 where a whole number is asked."""
    for token in tokens:
        if "." in token.value and _takes(kind, int):
            raise ValueError(f"{token.value!r} is not a whole number")
    return convert(kind, tokens)


def _takes(kind: Any, wanted: type) -> bool:
    return kind is wanted or any(_takes(part, wanted) for part in get_args(kind))


app = App(
    name="residuum",
    help="Build, train and dissect residual networks.",
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # cli.main tells of it
    version=lambda: __import__("importlib.metadata").metadata.version("residuum"),
    default_parameter=Parameter(negative=(), converter=whole_numbers),
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
    wrong: Callable[[T], str] = lambda found: "",
) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Decorates the function that puts the verb's result into words for a person.

    `json` gives what --json prints, a list as {"entries": ...}; `kept` whether the result also lies
    in a folder, so that a stdout that cannot be written costs nothing; `wrong` what its numbers
    contradict, told once they are printed, with exit code 5. Arguments and help are the
    verb's; each request among them becomes a group of flags, and the keywords of the function below
    are flags of how the result is printed.
    """

    def register(words: Callable[..., str]) -> Callable[..., str]:
        asked, form = [*signature(verb).parameters.values()], _form(words)

        def run(*arguments: Any, printing: Printing = Printing(), **flags: Any) -> None:
            chosen = {each.name: flags.pop(each.name) for each in form if each.name in flags}
            if printing.json and (other := {"csv", "markdown"} & chosen.keys()):
                raise UsageError(f"give either --json or --{other.pop()}, not both")
            found = _carried_out(verb, *arguments, **flags)
            if not progress.leads():
                return
            value = plain(json(found)) if printing.json else None  # one object on stdout, always
            value = {"entries": value} if isinstance(value, list) else value
            _print(dumps(value) if printing.json else words(found, **chosen), kept(found))
            if said := wrong(found):
                raise NumericError(said)

        last = Argument("printing", Argument.KEYWORD_ONLY, default=Printing(), annotation=Printing)
        flat = [_flags(argument) for argument in (*asked, *form, last)]
        run.__doc__ = verb.__doc__ or ""
        run.__signature__ = Signature(flat)  # type: ignore[attr-defined]
        run.__annotations__ = {argument.name: argument.annotation for argument in flat}
        app.command(run, name=name or verb.__name__, help=run.__doc__.split("\n\n")[0])
        return words

    return register


def _carried_out(verb: Callable[..., T], *arguments: Any, **flags: Any) -> T:
    """UsageError: what was called, a model's forward say, ends the program."""
    try:
        return verb(*arguments, **flags)
    except SystemExit as error:
        raise UsageError(f"the model's code ends the program (exit {error.code or 0})") from error


def _form(words: Callable[..., str]) -> list[Argument]:
    """The flags of how a result is printed; their help stands in the annotation."""
    return [p for p in signature(words).parameters.values() if p.kind is Argument.KEYWORD_ONLY]


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
