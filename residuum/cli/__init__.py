"""The command line: words for `verbs`, results on stdout, everything else on stderr.

torch loads only inside a command that computes.
"""

import os
import sys
from contextlib import suppress

from cyclopts import CycloptsError

from .. import progress
from ..errors import ResiduumError
from . import cache, catalogue, dissection, runs, studies
from .command import app

__all__ = ["app", "cache", "catalogue", "dissection", "main", "runs", "studies"]


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, else the code of the error, told in one message."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = not {"-v", "--verbose"}.isdisjoint(arguments) or os.environ.get("RESIDUUM_DEBUG")
    quiet = not {"-q", "--quiet"}.isdisjoint(arguments)
    progress.quiet = quiet or os.environ.get("RANK", "0") != "0"
    code = 0
    try:
        app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        code = _fail(str(error), 2)
    except ResiduumError as error:
        if debug:
            raise
        code = _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    except MemoryError:
        code = _fail("out of memory. Try fewer --examples or a smaller --batch-size", 6)
    except BrokenPipeError:  # the reader of our output has gone; the work is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _fail(message: str, code: int) -> int:
    with suppress(OSError):
        print(f"residuum: error: {message}", file=sys.stderr)
    return code
