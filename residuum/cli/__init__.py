"""The command line: words for `verbs`, results on stdout, everything else on stderr.

torch loads only inside a command that computes.
"""

import os
import sys
import traceback

from cyclopts import CycloptsError

from .. import progress
from ..errors import ResiduumError, ResourceError, UsageError, out_of_memory
from . import cache, catalogue, discovery, dissecting, lesions, runs, studies, surgery
from .command import app, give_up

__all__ = [
    "app", "cache", "catalogue", "discovery", "dissecting", "lesions", "main", "runs", "studies",
    "surgery",
]  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, else the code of the error, told in one message."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = not {"-v", "--verbose"}.isdisjoint(arguments) or os.environ.get("RESIDUUM_DEBUG")
    quiet = not {"-q", "--quiet"}.isdisjoint(arguments)
    progress.quiet = quiet or not progress.leads()
    code = 0
    try:
        _run(arguments)
    except (ResiduumError, CycloptsError) as error:
        if debug:
            traceback.print_exc(file=progress.stderr)
        code = _fail(str(error), getattr(error, "exit_code", 2))
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    progress.stderr.flush()
    give_up(sys.stderr)
    sys.exit(code)


def _run(arguments: list[str]) -> None:
    """The command, with what the system and its libraries refuse told as our errors."""
    for argument in arguments:
        if "\0" in argument:
            raise UsageError(f"{argument!r} holds a NUL character: no name or path can")
    try:
        app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    # the reader of our output has gone, the work is done; rich says it in its own way
    except (BrokenPipeError, SystemExit):
        give_up(sys.stdout)
    except OSError as error:
        give_up(sys.stdout)
        where = f"{error.filename}: " if error.filename is not None else ""
        raise ResourceError(f"{where}{error.strerror or error}") from error
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        advice = "Try fewer --examples or a smaller --batch-size"
        raise ResourceError(f"out of memory. {advice}") from error


def _fail(message: str, code: int) -> int:
    print(f"residuum: error: {message}", file=progress.stderr)
    return code
