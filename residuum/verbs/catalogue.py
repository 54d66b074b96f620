"""What is there: presets, recipes, studies, and what is known of a preset.

Listed ones need no torch.
"""

import fnmatch
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..anatomy.paths import count_paths, remaining
from ..errors import UsageError, nearest
from ..presets.index import Listed, listed
from ..presets.published import Published
from ..reader import Count, Pixels, Whole
from ..subjects.asked import is_pruned, is_run
from ..views.notation import read
from ..views.view import Series
from .requests import NetworkOptions, Opening, verb


@dataclass(frozen=True)
class Entry:
    """One thing that has a name here; the numbers are those of a preset."""

    kind: str
    name: str
    summary: str
    family: str = ""
    depth: int | None = None
    parameters: int | None = None
    published: tuple[Published, ...] = ()


@verb
def ls(pattern: str = "*", *, family: str | None = None) -> list[Entry]:
    """List presets, recipes and studies; presets with depth, parameters and published errors.

    UsageError: no name fits the pattern, or no such family.

    Parameters
    ----------
    pattern
        Names to show, with * and ?. tv:* shows torchvision's models.
    family
        Only presets of this family.
    """
    from ..studies import STUDIES
    from ..training.recipes import RECIPES

    entries = list(map(_preset, listed().values()))
    families = dict.fromkeys(e.family for e in entries)
    if family is not None:
        if family not in families:
            raise UsageError(f"no family is called {family!r}.{nearest(family, families)}")
        entries = [e for e in entries if e.family == family]
    elif pattern.startswith("tv:"):
        entries = [Entry("model", f"tv:{name}", "torchvision") for name in _models()]
    else:
        recipes, papers = RECIPES.values(), STUDIES.values()
        entries += [Entry("recipe", r.name, f"{r.length} {r.clock}, {r.source}") for r in recipes]
        entries += [Entry("study", paper.name, paper.title) for paper in papers]
    found = [e for e in entries if fnmatch.fnmatch(e.name, pattern)]
    if not found:
        near = nearest(pattern, (e.name for e in entries))
        raise UsageError(f"nothing is called {pattern!r}.{near}")
    return found


def _preset(p: Listed) -> Entry:
    summary = f"depth {p.depth}, {p.source}"
    return Entry("preset", p.name, summary, p.family, p.depth, p.parameters, p.published)


def _models() -> list[str]:
    from ..presets import model_names

    return model_names()


@dataclass(frozen=True)
class Info:
    """What is known of a preset. None or empty: of a `tv:` model it is not known.

    `flops`: 2 x MACs of one image of `size` pixels.
    `units`: the innermost ones.
    `paths`: their number, in decimal; `polynomial`: P(t), t^k counting those of k branches.
    `structure`: the digest of what is built; empty where it was not worked out.
    """

    name: str
    family: str
    parameters: int
    flops: int
    macs: int
    depth: int | None
    units: int | None
    source: str
    recipe: str
    published: tuple[Published, ...]
    note: str
    size: int
    classes: int
    initialisation: str
    paths: str
    mean_length: float | None
    polynomial: str
    structure: str


@verb
def info(
    preset: str, *, classes: Count | None = None, network: NetworkOptions = NetworkOptions()
) -> Info:
    """Paper, parameters, FLOPs, depth, units, paths and published errors of a preset.

    Of torchvision's tv:NAME what can be counted. Nothing is computed: listed presets are looked up,
    others counted without weights in memory.
    UsageError: an unknown preset, option or value.

    Parameters
    ----------
    preset
        A name of `residuum ls`, another depth of its family, or tv:NAME.
    classes
        How many classes it tells apart; the paper's own by default.
    """
    row = _described(preset, classes, network)
    known: dict[str, Any] = {k: v for k, v in vars(row).items() if k != "expression"}
    known |= {"macs": row.flops // 2}
    if row.expression is None:
        known |= {"depth": row.depth or None, "units": None}
        return Info(**known, paths="", mean_length=None, polynomial="")
    found = count_paths(read(row.expression))
    return Info(
        **known,
        paths=str(found.total),
        mean_length=float(found.mean),
        polynomial=polynomial_text(row.expression),
    )


def _described(preset: str, classes: int | None, network: NetworkOptions) -> Listed:
    """From the index where it says so; worked out anew for other depths, classes and options."""
    options, row = network.given(), listed().get(preset)
    if row is not None and not options and classes in (None, row.classes):
        return row
    from ..presets import describe, describe_model

    if not preset.startswith("tv:"):
        return describe(preset, classes, **options)
    if options:
        raise UsageError(f"{preset} has no option {next(iter(options))!r}: torchvision builds it")
    return describe_model(preset, classes)


def polynomial_text(part: object) -> str:
    """An expression of `views.notation` as its path polynomial: (1+t)^54, t^13, 1+(1+t)^3."""
    match part:
        case "t" | "1+t":
            return str(part)
        case "t|0":
            return "t"
        case {"around": inside}:
            return f"1+{polynomial_text(inside)}"
        case {"roads": [around, through]}:
            return f"{polynomial_text(around)}+{polynomial_text(through)}"
        case [int() as times, inside]:
            return f"{_factor(inside)}^{times}"
        case list():
            return " ".join(map(_factor, part))
    raise ValueError(f"not an expression: {part!r}")


def _factor(part: object) -> str:
    text = polynomial_text(part)
    power = isinstance(part, list) and isinstance(part[0], int)
    return text if power or text == "t" else f"({text})"


@dataclass(frozen=True)
class PathCount:
    """Path counts as decimal strings, index = length, since they outgrow every number format.

    `central`: the lengths from the 2.5th to the 97.5th percentile of all paths.
    `share`: of all paths, those whose length lies in the range `between`.
    `remaining`: of every length, the fraction left after `deleted` deletions (Veit et al., eq. 8).
    """

    name: str
    units: int
    total: str
    counts: tuple[str, ...]
    mean: float
    central: tuple[int, int]
    between: tuple[int, int] | None = None
    share: float | None = None
    deleted: int | None = None
    remaining: tuple[float | None, ...] | None = None


@verb
def paths(
    model: str,
    *,
    delete: Whole | None = None,
    between: tuple[Whole, Whole] | None = None,
    image_size: Pixels | None = None,
    length: Count | None = None,
    network: NetworkOptions = NetworkOptions(),
) -> PathCount:
    """Count the paths of a network or any other model, exactly.

    UsageError: an unknown name, option or value; more deletions than units; an empty range; a model
    without residual units, or one that fails on what it is given.

    Parameters
    ----------
    model
        A name of `residuum ls`, another depth of its family, or tv:NAME, timm:NAME, hf:FOLDER,
        module.path:function or a folder of residuum prune, whose units are found by one pass.
    delete
        Also the fraction of the paths of every length left after deleting this many units (eq. 8).
    between
        Also the share of paths between two lengths, say --between 19 35.
    image_size
        Pixels of a side of the images of that pass; by default those that the model is made for.
    length
        Tokens of a sequence of that pass, for models that read tokens.
    """
    if between is not None and between[0] > between[1]:
        first, last = between
        raise UsageError(f"between: the first length, {first}, is above the last, {last}")
    return _counted(model, _expression(model, network, image_size, length), delete, between)


def _counted(
    name: str, expression: Series, delete: int | None, between: tuple[int, int] | None
) -> PathCount:
    found = count_paths(expression)
    left = None
    if delete is not None:
        left = tuple(None if f is None else float(f) for f in remaining(expression, delete))
    return PathCount(
        name=name,
        units=found.units,
        total=str(found.total),
        counts=tuple(map(str, found.counts)),
        mean=float(found.mean),
        central=(found.percentile(Fraction(25, 1000)), found.percentile(Fraction(975, 1000))),
        between=between,
        share=None if between is None else float(found.share(*between)),
        deleted=delete,
        remaining=left,
    )


def _expression(
    model: str, network: NetworkOptions, image_size: int | None, length: int | None
) -> Series:
    if ":" not in model and "/" not in model and not is_run(model) and not is_pruned(model):
        if image_size is not None or length is not None:
            what = "image_size" if image_size is not None else "length"
            raise UsageError(f"{model} is known without a pass, so {what} means nothing here")
        return read(_described(model, None, network).expression)
    if network.given():
        raise UsageError(f"{model} has no option {next(iter(network.given()))!r}: presets have")
    from ..subjects import open_model, require_units

    opened = open_model(model, Opening(length=length), image_size, "meta")
    view = opened.view
    require_units(view, model)
    return view.expression
