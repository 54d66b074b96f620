"""One case in a forked process: limits, what it printed, and what is wrong with how it ended."""

import json
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from residuum import progress

from .cases import Case
from .ground import Ground, seen
from .words import WRITES

SECONDS = 20.0  # longer is a hang
PATIENCE = 3.0  # then a command that has much to do is asked to stop
LONG = ("train", "study", "dissect", "prune")
MEMORY = 2 << 30  # beyond what torch itself takes
STOPPED = 128 + signal.SIGTERM
CODES = {0, 2, 3, 4, 5, 6, 7, 8, 9}


@dataclass(frozen=True)
class End:
    """How a process ended."""

    code: int  # negative: killed by that signal
    out: str
    err: str
    seconds: float
    asked: bool  # to stop
    harmed: tuple[str, ...]  # files that were there and are others, or gone


def carry_out(case: Case, ground: Ground) -> End:
    """The case, in a copy of the pristine files."""
    scratch = ground.folder
    ground.lay()
    case.damage(scratch)
    before = seen(scratch)
    streams = [scratch.parent / f"{scratch.name}.{name}" for name in ("out", "err")]
    start, asked, limit = time.monotonic(), False, _patient(SECONDS)
    child = fork(lambda: _run(case, scratch, streams))
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        passed = time.monotonic() - start
        if passed > limit:
            _kill(child)
        elif passed > _patient(PATIENCE) and not asked and case.command in LONG:
            asked = True
            os.kill(child, signal.SIGTERM)
        time.sleep(0.003)
    _kill(child)
    out, err = (file.read_text(errors="replace") for file in streams)
    code = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - start
    own = WRITES.get(case.command, ())
    harmed = tuple(name for name in ground.harmed(before) if not name.startswith(own))
    return End(code, out, err, seconds, asked, harmed)


def _patient(seconds: float) -> float:
    """Longer where more processes want to run than there are cores."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _kill(child: int) -> None:
    """With all that it has started: it leads a process group."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)


def fork(work: Callable[[], object]) -> int:
    """The process that does this; its exit code is that of the work."""
    child = os.fork()
    if child:
        return child
    code = 0
    try:
        work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):  # os._exit flushes nothing
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def redirect(out: str | Path, err: str | Path) -> None:
    """This process's streams go to files, as a shell does it, and read from nowhere."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate((out, err), 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    progress.quiet = False


def _run(case: Case, scratch: Path, streams: list[Path]) -> None:
    os.setpgid(0, 0)
    os.chdir(scratch)
    redirect(*streams)
    os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
    os.environ["http_proxy"] = os.environ["https_proxy"] = "http://127.0.0.1:9"
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if case.command == "log":
        return _read_log(scratch / "store" / "jobs.jsonl")
    if "dissected" in case.arguments:
        _draw_nothing()
    from residuum.__main__ import main

    sys.argv = ["residuum", *case.arguments]
    main()


def _draw_nothing() -> None:
    """Figures take seconds: pages are drawn where a dissection is new, and of studies."""
    from residuum import pages

    pages.write_dissection = lambda found, folder: folder / "report.html"


def _read_log(path: Path) -> None:
    """What a study reads before it measures."""
    from residuum.errors import ResiduumError
    from residuum.experiments.log import Log
    from residuum.reader import plain

    try:
        print(json.dumps({key: plain(entry) for key, entry in Log(path).read().items()}))
        sys.stdout.flush()
    except ResiduumError as error:
        print(f"residuum: error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def wrong(case: Case, end: End, intact: str | None) -> str:
    """What must not be; empty where all is well. `intact`: what the command prints undamaged."""
    if "Traceback" in end.err and "--verbose" not in case.arguments and "-v" not in case.arguments:
        return "a traceback"
    if end.harmed:
        return f"harm to {', '.join(end.harmed)}"
    if end.code == STOPPED and end.asked:
        return ""
    if end.code not in CODES:
        return f"exit code {end.code}" if end.code != -signal.SIGKILL else "a hang or no memory"
    said = sum(line.startswith("residuum: error: ") for line in end.err.splitlines())
    if said != (end.code != 0):
        return f"exit code {end.code} with {said} messages"
    if end.code:
        return "an error, and a result" if end.out.strip() else ""
    told = "warning: " in end.err or '"unreadable"' in end.out
    if intact is not None and end.out != intact and not told:
        return "another result in silence"
    return _hostile(case) or _not_finite(end.out)


def _hostile(case: Case) -> str:
    """Numbers that cannot be meant, taken all the same."""
    return f"{case.impossible} was accepted" if case.impossible else ""


def _not_finite(out: str) -> str:
    """A result that is not a number."""
    try:
        value = json.loads(out)
    except ValueError:
        return ""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, float) and not math.isfinite(part):
            return "a number that is not finite"
        children = part.values() if isinstance(part, dict) else part
        waiting += children if isinstance(part, dict | list) else []
    return ""
