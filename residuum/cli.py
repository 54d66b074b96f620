"""The command line: words for `verbs`, results on stdout, everything else on stderr. torch loads only inside a command."""

import json as json_module
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from . import progress
from .errors import ResiduumError

app = App(
    name="residuum",
    help="Build, train and dissect residual networks.",
    help_format="plaintext",
    result_action="return_value",
    version=lambda: __import__("importlib.metadata").metadata.version("residuum"),
)


@Parameter(name="*", group="Output")
@dataclass(frozen=True)
class Speak:
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object on stdout.")] = False
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="", help="No progress on stderr.")] = False
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative="", help="Show tracebacks.")] = False


@Parameter(name="*", group="Machine")
@dataclass(frozen=True)
class Compute:
    """Flags of `training.Machine`, spelled out so that torch need not be loaded to show them."""

    device: Annotated[str, Parameter(help="auto, cpu, cuda or mps.")] = "auto"
    threads: Annotated[int, Parameter(help="Torch threads; more pay off only on cores that are idle.")] = 1
    precision: Annotated[Literal["float32", "bfloat16", "float16"], Parameter(help="Autocast unless float32.")] = "float32"
    compile: Annotated[bool, Parameter(negative="", help="Use torch.compile for training.")] = False

    def machine(self) -> Any:
        from .training import Machine

        return Machine(**asdict(self))


@Parameter(name="*", group="Data")
@dataclass(frozen=True)
class Pictures:
    data: Annotated[
        str | None, Parameter(help="digits, class folders or an archive of them, cifar10:DIR, cifar100:DIR, svhn:DIR.")
    ] = None
    data_name: Annotated[str | None, Parameter(help="What figures call the data (class folders).")] = None
    image_size: Annotated[int | None, Parameter(help="Resize and crop to this many pixels (class folders).")] = None
    download: Annotated[bool, Parameter(negative="", help="Fetch a published archive that is missing.")] = False

    def options(self) -> dict[str, Any]:
        return {"title": self.data_name, "image_size": self.image_size, "download": self.download}


@Parameter(name="*", group="Network")
@dataclass(frozen=True)
class Shape:
    """Options of a preset; each network takes those that it has."""

    shortcut: Annotated[str | None, Parameter(help="A, A-avg, B, B-bare or C.")] = None
    arrangement: Annotated[str | None, Parameter(help="original, bn_after_add, relu_before_add, relu_preact, preact.")] = (
        None
    )
    size: Annotated[int | None, Parameter(help="Pixels of the pictures (VGG).")] = None

    def options(self) -> dict[str, Any]:
        return {k: v for k, v in asdict(self).items() if v is not None}


def emit(value: Any, speak: Speak, text: Callable[[], str]) -> None:
    """One JSON object, or text for a person. Under torchrun the first process speaks."""
    if os.environ.get("RANK", "0") != "0":
        return
    print(json_module.dumps(plain(value), ensure_ascii=False) if speak.json else text())


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, a list as {"entries": ...}: one object on stdout, always."""
    if isinstance(value, list):
        return {"entries": [plain(v) for v in value]}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


@app.command
def ls(pattern: str = "*", *, speak: Speak = Speak()) -> None:
    """List presets, recipes and studies.

    Parameters
    ----------
    pattern
        Names to show, with * and ?.
    """
    from . import verbs

    entries = verbs.ls(pattern)
    emit(entries, speak, lambda: table((e.kind, e.name, e.summary) for e in entries))


@app.command
def info(preset: str, *, classes: int | None = None, shape: Shape = Shape(), speak: Speak = Speak()) -> None:
    """Parameters, FLOPs, depth, units, paths and published errors of a preset."""
    from . import verbs

    found = verbs.info(preset, classes, **shape.options())
    shown = asdict(found) | {"published": "; ".join(map(str, found.published))}
    emit(found, speak, lambda: table((k, show(v)) for k, v in shown.items() if v != ""))


@app.command
def paths(
    preset: str,
    *,
    delete: int | None = None,
    between: tuple[int, int] | None = None,
    shape: Shape = Shape(),
    speak: Speak = Speak(),
) -> None:
    """Count the paths of a preset, exactly.

    Parameters
    ----------
    delete
        Also the fraction of the paths of every length left after deleting this many units (eq. 8).
    between
        Also the share of paths between two lengths, say --between 19 35.
    """
    from . import verbs

    found = verbs.paths(preset, delete, between, **shape.options())

    def text() -> str:
        lines = [f"{found.name}: {found.units} units, {found.total} paths, mean length {found.mean:g}"]
        if between is not None:
            lines.append(f"length {between[0]}-{between[1]}: {100 * (found.share or 0):.4f} % of all paths")
        head = ("length", "paths", "share", *([f"left after {delete}"] if delete is not None else []))
        rows: list[tuple[str, ...]] = [head]
        for k, count in enumerate(found.counts):
            left = [] if found.remaining is None else [show(found.remaining[k])]
            rows.append((str(k), count, f"{100 * (int(count) / int(found.total)):.4f} %", *left))
        return "\n".join(lines) + "\n" + table(rows)

    emit(found, speak, text)


@app.command
def train(
    preset: str,
    *,
    recipe: str | None = None,
    output: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    pictures: Pictures = Pictures(),
    shape: Shape = Shape(),
    compute: Compute = Compute(),
    speak: Speak = Speak(),
) -> None:
    """Train a preset into a run folder; run it again to go on where it stopped.

    Parameters
    ----------
    recipe
        A name of `residuum ls`; by default one that fits the data.
    output
        The run folder; default runs/NAME-HASH.
    epochs
        Shorten or stretch the recipe, its milestones in proportion.
    """
    from . import verbs

    run = verbs.train(
        preset, pictures.data or "digits", recipe, output, epochs, batch_size, learning_rate, seed,
        compute.machine(), shape.options(), **pictures.options(),
    )  # fmt: skip
    result = {"run": str(run.folder), **asdict(run.outcome.last), "weights_sha256": run.outcome.weights.sha256}
    emit(result, speak, lambda: f"{run.folder}: test error {100 * result['test_error']:.2f} % (n = {result['test_n']})")


@app.command(name="eval")
def evaluate(
    run: str,
    *,
    pictures: Pictures = Pictures(),
    compute: Compute = Compute(),
    speak: Speak = Speak(),
) -> None:
    """Test error of a finished run, with its interval."""
    from . import verbs

    found = verbs.evaluate(run, pictures.data, compute.machine(), **pictures.options())
    low, high = found.interval
    emit(found, speak, lambda: f"{found.network} on {found.data}: error {rate(found.error, low, high)}, n = {found.n}")


@app.command
def lesion(
    run: str,
    *,
    units: list[int] | None = None,
    random: list[int] | None = None,
    repeats: int = 10,
    seed: int = 0,
    examples: int | None = None,
    pictures: Pictures = Pictures(),
    compute: Compute = Compute(),
    speak: Speak = Speak(),
) -> None:
    """Delete units of a finished run: each on its own, a given set, or k at random.

    Parameters
    ----------
    units
        Delete these together: --units 3 --units 5.
    random
        Delete this many at random: --random 1 --random 5.
    repeats
        Random sets of each number.
    examples
        How many test pictures; all by default.
    """
    from . import verbs

    found = verbs.lesion(run, pictures.data, units, random, repeats, seed, examples, compute.machine(), **pictures.options())

    def text() -> str:
        lines = [f"{found.network} on {found.data}, n = {found.n}: intact {rate(found.intact, *found.intact_interval)}"]
        if found.spread:
            rows = [(f"{k} at random", rate(*values)) for k, values in found.spread.items()]
        else:
            names = [",".join(map(str, x.deleted)) for x in found.lesions]
            changes = [f"{100 * x.change:+.2f} points, p = {x.p_value:.2g}" for x in found.lesions]
            errors = [rate(x.error, *x.interval) for x in found.lesions]
            rows = [(f"without {n}", e, c) for n, e, c in zip(names, errors, changes, strict=True)]
        return "\n".join([*lines, table(rows)])

    emit(found, speak, text)


@app.command
def study(
    name: str,
    *,
    scale: str = "laptop",
    output: str | None = None,
    epochs: int | None = None,
    depth: int | None = None,
    seed: int = 0,
    workers: int = 1,
    store: str = "runs",
    plan: Annotated[bool, Parameter(negative="")] = False,
    pictures: Pictures = Pictures(),
    compute: Compute = Compute(),
    speak: Speak = Speak(),
) -> None:
    """Reproduce a paper's figures: train what is missing, measure, write the report.

    Parameters
    ----------
    scale
        smoke (seconds), laptop (2 cores) or paper (as published).
    output
        The study's folder; default runs/NAME-SCALE.
    epochs
        Instead of the scale's own length of training.
    depth
        Instead of the scale's own depth, 6n+2.
    workers
        Networks trained and measured at the same time, each with its own threads.
    store
        Where finished trainings and measurements are kept, for all studies.
    plan
        Only print what would be trained and what it would cost here.
    """
    from . import verbs

    source, machine = pictures.data or "digits", compute.machine()
    if plan:
        from .experiments.plan import table as plan_table

        priced = verbs.plan(name, source, scale, epochs, depth, seed, machine, store, **pictures.options())
        rows = [
            {"preset": p.trial.preset, "recipe": p.trial.recipe.name, "done": p.done, "steps": p.steps}
            | {"flops": p.flops, "seconds": p.seconds, "folder": str(p.folder)}
            | {"measured": p.measured, "to_measure": p.to_measure}
            for p in priced
        ]
        emit({"study": name, "scale": scale, "trials": rows}, speak, lambda: plan_table(priced, workers))
        return
    done, page = verbs.study(name, source, scale, output, epochs, depth, seed, workers, machine, store, **pictures.options())
    emit({"report": str(page)} | asdict(done), speak, lambda: findings(done, page))


@app.command
def report(folder: str, *, speak: Speak = Speak()) -> None:
    """Write figures and report.html anew from a study's folder."""
    from . import verbs

    page = verbs.report(folder)
    emit({"report": str(page)}, speak, lambda: str(page))


def findings(done: Any, page: Any) -> str:
    lines = [f"{done.title}\n{done.data}, scale {done.scale}\n"]
    for network in done.networks:
        low, high = network.interval
        lines.append(
            f"  {network.name:<14} {network.role:<12} test error {network.test_error:.2f} % [{low:.2f}, {high:.2f}]"
        )
    lines.append("")
    lines += [f"  {r.item:<22} {r.claim.verdict:<28} {r.finding}" for r in done.results]
    return "\n".join([*lines, f"\nreport: {page}"])


def rate(value: float, low: float, high: float) -> str:
    return f"{100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def show(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return "-" if value is None else f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value}"


def table(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))] if rows else []
    lines = ("  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows)
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 done, else the code of the error. A user's mistake ends in one message."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = bool({"-v", "--verbose"} & set(arguments)) or bool(os.environ.get("RESIDUUM_DEBUG"))
    progress.quiet = bool({"-q", "--quiet"} & set(arguments)) or os.environ.get("RANK", "0") != "0"
    code = 0
    try:
        app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        code = fail(str(error), 2)
    except ResiduumError as error:
        if debug:
            raise
        code = fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = fail("interrupted", 130)
    except MemoryError:
        code = fail("out of memory. Try fewer --examples or a smaller --batch-size", 6)
    except BrokenPipeError:  # the reader of our output has gone; the work is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def fail(message: str, code: int) -> int:
    with suppress(OSError):
        print(f"residuum: error: {message}", file=sys.stderr)
    return code
