"""map_units, the command discover: the units of any model, found by one pass, and their proof."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import several
from ..machine import Hardware
from ..reader import Pixels
from .evaluation import prepared
from .requests import Opening, verb

if TYPE_CHECKING:
    from ..subjects import Opened
    from ..views import UnitInfo, View
    from ..views.discovery import Units


@dataclass(frozen=True)
class FoundUnit:
    """One unit, or a long skip. `where`: the submodule that makes the sum. `nested`: units in its
    branch. Shapes are without the batch. `parameters`: of branch and shortcut; `removable`: those
    that no output depends on once the branch is deleted."""

    number: int
    name: str
    where: str
    shortcut: str
    merge: str
    terms: int
    nested: int
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    parameters: int
    removable: int


@dataclass(frozen=True)
class Joined:
    """A concatenation; `dense`: one of a chain."""

    where: str
    tensors: int
    dense: bool


@dataclass(frozen=True)
class Proven:
    """Of how many of the `units` all that was tried holds by numbers; in words what could not be
    shown, what turned out false, and which checks were not tried of how many units."""

    units: int
    proven: int
    unproven: tuple[str, ...]
    contradicted: tuple[str, ...]
    untried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Discovered:
    """The units of a model. `inputs`: what it was run on. `weights`: where they are from; empty
    where it was mapped without any. `paths`: their number, in decimal; `mean_length` of them."""

    model: str
    source: str
    inputs: str
    weights: str
    parameters: int
    paths: str
    mean_length: float
    units: tuple[FoundUnit, ...]
    long_skips: tuple[FoundUnit, ...]
    concatenations: tuple[Joined, ...]
    notes: tuple[str, ...]
    verification: Proven | None = None


@verb
def map_units(
    model: str | Path,
    *,
    verify: bool = False,
    image_size: Pixels | None = None,
    opening: Opening = Opening(),
    machine: Hardware = Hardware(),
) -> Discovered:
    """Find the residual units of any model, by one pass on made-up images or tokens.

    In Python, `residuum.discover(model, *inputs)` does it to a model that is there.
    Where neither weights nor proof are asked for, no weights are in memory. Of our own networks
    the units are those of their rows, numbered as lesions number them.

    UsageError: an unknown name (with the nearest), a model that fails on what it is given.
    CheckpointError: weights that do not fit.

    Parameters
    ----------
    model
        tv:NAME, timm:NAME, hf:FOLDER, module.path:function, a preset, or the folder of a finished
        run or of residuum prune.
    verify
        Also prove the units by numbers, with three passes each.
    image_size
        Pixels of a side of the images; by default those that the model is made for.
    """
    from ..subjects import open_model

    valued = verify or opening.weights is not None or opening.initial_seed is not None
    device = prepared(machine).device if valued else "meta"
    return _mapped(open_model(model, opening, image_size, device), verify)


def _mapped(opened: "Opened", verify: bool) -> Discovered:
    from ..anatomy.paths import count_paths

    view = opened.view
    paths = count_paths(view.expression)
    long, joined, notes = _beside(view)
    shape = "x".join(map(str, opened.shape))
    return Discovered(
        model=opened.origin.name,
        source=opened.origin.source,
        inputs=f"images {shape}" if opened.reads == "image" else f"{shape} tokens",
        weights=opened.weights,
        parameters=sum(p.numel() for p in view.model.parameters()),
        paths=str(paths.total),
        mean_length=float(paths.mean),
        units=tuple(_found(view, view.units)),
        long_skips=tuple(_found(view, long)),
        concatenations=joined,
        notes=notes,
        verification=_proven(opened, view) if verify else None,
    )


def _found(view: "View", units: "Iterable[UnitInfo]") -> Iterable[FoundUnit]:
    """Of our own networks a unit is where it stands, and its parameters are its parts'."""
    sizes = {name: p.numel() for name, p in view.model.named_parameters()}
    for unit in units:
        inside = f"{unit.name}."
        own = [name for name in sizes if name.startswith(inside)]
        yield FoundUnit(
            *(unit.number, unit.name, getattr(unit, "where", unit.name)),
            *(unit.shortcut, unit.merge, unit.terms, len(getattr(unit, "nested", ()))),
            *(unit.shape_in or (), unit.shape_out or ()),
            sum(sizes[name] for name in getattr(unit, "parameters", own) if name in sizes),
            unit.removable_parameters,
        )


def _beside(view: "View") -> "tuple[Iterable[UnitInfo], tuple[Joined, ...], tuple[str, ...]]":
    """What is no unit: long skips, concatenations, and what could not be said."""
    from ..views.discovery import Units

    units = view.units
    if not isinstance(units, Units):
        return (), (), ()
    joined = tuple(Joined(*each) for each in units.concatenations)
    return units.long_skips, joined, tuple(units.notes)


def _proven(opened: "Opened", view: "View") -> Proven:
    units = _traced(opened, view)
    found = units.verify()
    unproven = found.unproven
    if len(units) != len(view.units):
        there = several(len(view.units), "unit")
        said = f"a pass finds {several(len(units), 'sum')}, and the network has {there}"
        unproven = (*unproven, f"{said}: plain layers, columns and nests are no sums of their own")
    return Proven(len(view.units), found.proven, unproven, found.contradicted, found.untried)


def _traced(opened: "Opened", view: "View") -> "Units":
    """Those that a pass finds, of our own networks too."""
    from ..subjects.models import on_two
    from ..views import discover
    from ..views.discovery import Units

    return (
        view.units if isinstance(view.units, Units) else on_two(discover, view.model, opened.inputs)
    )
