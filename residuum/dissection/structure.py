"""What the model is made of: its units, how they stand to each other, and the proof by numbers."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..results import Nest, Section, Table, Unit
from ..subjects import Subject
from ..views.foreign import ForeignView
from ..views.view import Expression, Leaf, Parallel, Series, UnitInfo, leaves, single
from .bench import Part
from .words import many

HOW = (
    "Every sum of two activations is followed back to the tensor that both operands were made "
    "from; with a layer on one way only, that is a unit. It holds where the sum is shortcut plus "
    "branch, deleting the branch changes the output and, where this can be tried, equals silencing "
    "the submodule that ends it, and the removable parameters do not reach the lesioned output."
)
BUILT = "Built by this library from units: nothing had to be found."


@dataclass(frozen=True)
class Verified:
    """Of `proven` of the `units` all that was tried holds; what could not be shown, what turned out
    false and which checks were not tried, in words. `built`: one of our own networks, in which
    nothing had to be found."""

    units: int
    proven: int
    built: bool
    unproven: tuple[str, ...]
    contradicted: tuple[str, ...]
    untried: tuple[str, ...] = ()


def measure(subject: Subject) -> Verified:
    view, n = subject.view, len(subject.view.units)
    if not isinstance(view, ForeignView):
        return Verified(n, n, True, (), ())
    found = view.verify()
    return Verified(n, found.proven, False, found.unproven, found.contradicted, found.untried)


VERIFICATION = Part("verification", 2, Verified, measure)


def words(found: Verified | None) -> str:
    """For the summary and the section: how much of the discovery is proven."""
    if found is None:
        return "not verified"
    if found.built:
        return "as built"
    if found.contradicted:
        return f"CONTRADICTED by numbers ({many(len(found.contradicted), 'claim')})"
    if not found.units:
        return "a second pass finds none either"
    if found.proven == found.units:
        return "all confirmed by numbers"
    return f"{found.proven} of {found.units} confirmed by numbers, none contradicted"


def section(subject: Subject, found: Verified | None, why: str) -> Section:
    units = subject.view.units
    notes: tuple[str, ...] = ()
    if found is not None:
        untried = [f"Not tried: {', '.join(found.untried)}"] if found.untried else []
        notes = (*found.contradicted, *found.unproven, *untried)
    own = getattr(units, "notes", ())
    rows = tuple(_aside(subject.view))
    text = f"{kinds(units)}: {words(found)}." if units else f"No residual unit: {words(found)}."
    return Section(
        "structure",
        "What the model is made of",
        text,
        table=Table(("what is beside the units", "where", "size"), rows) if rows else None,
        how=BUILT if found is not None and found.built else HOW,
        notes=(
            *(f"{note}." for note in (*notes, *own)),
            *([f"Not verified: {why}"] if why else []),
        ),
    )


def kinds(units) -> str:
    """27 units: 25 identity, 2 projection."""
    found = Counter(unit.shortcut for unit in units)
    terms = sum(unit.terms > 1 for unit in units)
    several = [f"{terms} of several branches"] if terms else []
    counted = [f"{count} {kind}" for kind, count in found.items()]
    return f"{many(len(units), 'unit')} ({', '.join([*counted, *several])})"


def _aside(view) -> Iterator[tuple[str, str, str]]:
    """Long skips, concatenations and units inside branches: found, and not counted as units."""
    if not isinstance(view, ForeignView):
        return
    for skip in view.units.long_skips:
        where = skip.where or "the model itself"
        yield f"long skip ({skip.shortcut})", f"{skip.name}, added in {where}", shape_words(skip)
    for each in view.units.concatenations:
        kind = "dense concatenation" if each.dense else "concatenation"
        yield kind, each.where or "the model itself", many(each.tensors, "tensor")
    for unit in view.units:
        for inner in unit.nested:
            inside = f"{inner.name}, in unit {unit.number}"
            yield f"unit inside a branch ({inner.shortcut})", inside, shape_words(inner)


def shape_words(unit: UnitInfo) -> str:
    if unit.shape_in is None or unit.shape_out is None:
        return "unknown to unknown"
    return " to ".join("x".join(map(str, s)) for s in (unit.shape_in, unit.shape_out))


def mapped(subject: Subject, measured: Mapping[int, dict]) -> tuple[Unit, ...]:
    """The units with what deleting each does, of those that were deleted."""
    return tuple(
        Unit(
            *(unit.number, shape_words(unit), unit.removable_parameters),
            f"{unit.shortcut}, {unit.merge}",
            name=unit.name,
            terms=unit.terms,
            **measured.get(unit.number, {}),
        )
        for unit in subject.view.units
    )


def nests(expression: Expression) -> Iterator[Nest]:
    """Ways round several units, and roads of two with units each, the outer ones first."""
    parts = () if isinstance(expression, Leaf) else expression.parts
    if isinstance(expression, Parallel) and single(expression) is None:
        roads = [(part, [leaf.number for leaf in leaves(part)]) for part in parts]
        filled = [inside for _, inside in roads if inside]
        every = sorted(number for inside in filled for number in inside)
        if every:
            around = f"a way round {many(len(every), 'unit')}"
            yield Nest(every[0], every[-1], around if len(filled) == 1 else "roads side by side")
        for part, inside in roads if len(filled) > 1 else []:
            if isinstance(part, Series) and len(inside) > 1:
                yield Nest(inside[0], inside[-1], "one road")
    for part in parts if single(expression) is None else ():
        yield from nests(part)
