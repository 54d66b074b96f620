"""discover and similarity."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from .. import verbs
from ..errors import held, several
from .catalogue import number_of
from .command import command
from .words import comma_separated, show, table

Csv = Annotated[bool, Parameter(help="Print one line of comma-separated values a unit.")]
UNIT = ("unit", "shortcut", "terms", "nested", "in", "out", "parameters", "removable", "where")
MOST = 60


def _contradicted(found: verbs.Discovered) -> str:
    proof = found.verification
    if proof is None or not proof.contradicted:
        return ""
    return f"{found.model}: numbers contradict what was found: {'; '.join(proof.contradicted)}"


@command(verbs.map_units, name="discover", wrong=_contradicted)
def discover(found: verbs.Discovered, *, csv: Csv = False) -> str:
    """The units, one a line, then what is no unit, and what was proven."""
    if csv:
        return _csv(found)
    many = several(len(found.units), "residual unit")
    weights = found.weights or "without weights"
    lines = [
        f"{found.model} ({found.source}) on {found.inputs}: {show(found.parameters)} parameters",
        f"{many}, {number_of(int(found.paths), 'path')}, mean length {found.mean_length:g}",
        f"weights: {weights}",
    ]
    if found.units:
        lines.append(table([UNIT, *map(_row, found.units)]))
    if found.long_skips:
        heads = ("long skip", *UNIT[1:])
        lines.append(table([heads, *map(_row, found.long_skips)]))
    for each in found.concatenations[:MOST]:
        kind = "dense concatenation" if each.dense else "concatenation"
        lines.append(f"{kind} of {each.tensors} in {each.where or 'the model itself'}")
    if len(found.concatenations) > MOST:
        lines.append(f"{several(len(found.concatenations) - MOST, 'concatenation')} more: --json")
    lines += [f"note: {note}" for note in found.notes]
    if found.verification is not None:
        proof = found.verification
        lines.append(held(proof.proven, proof.units, proof.untried))
        lines += [f"CONTRADICTED {line}" for line in proof.contradicted]
        lines += [f"not proven: {line}" for line in proof.unproven]
    return "\n".join(lines)


def _row(unit: verbs.FoundUnit) -> tuple[str, ...]:
    name = unit.name if unit.where in (unit.name, "") else f"{unit.name}, in {unit.where}"
    kind = unit.shortcut if unit.merge == "sum" else f"{unit.shortcut}, {unit.merge}"
    shapes = ("x".join(map(str, shape)) for shape in (unit.shape_in, unit.shape_out))
    sizes = show(unit.parameters), show(unit.removable)
    number = "" if unit.number < 0 else str(unit.number)
    return (number, kind, str(unit.terms), str(unit.nested), *shapes, *sizes, name)


def _csv(found: verbs.Discovered) -> str:
    rows = [asdict(unit) for unit in found.units]
    for row in rows:
        row |= {key: "x".join(map(str, row[key])) for key in ("shape_in", "shape_out")}
    return comma_separated([list(rows[0]), *(row.values() for row in rows)] if rows else [])


@command(verbs.similarity)
def similarity(found: verbs.Similarity, *, csv: Csv = False) -> str:
    """One line a unit, the most redundant by influence first; then how far that can be trusted."""
    heads = tuple(found.scores[0])
    if csv:
        rows = [(n, name, *found.scores[n].values()) for n, name in enumerate(found.names)]
        return comma_separated([("unit", "name", *heads), *rows])
    order = sorted(range(len(found.scores)), key=lambda n: found.scores[n]["influence"] or 0)
    rows = [("unit", *heads, "name")]
    for n in order:
        values = (f"{v:.4g}" if v is not None else "-" for v in found.scores[n].values())
        rows.append((str(n), *values, found.names[n]))
    head = f"{found.model} on {found.data}, n = {found.n}; weights: {found.weights}"
    lines = [head, table(rows)]
    if found.agreement:
        lines += ["", f"against deletions, on {found.tested} test examples:", _ranks(found)]
    if found.joint:
        lines += ["", _joint(found)]
    return "\n".join(lines)


def _ranks(found: verbs.Similarity) -> str:
    rows: list[tuple[str, ...]] = [("score", "Kendall's tau", "Spearman's correlation")]
    for each in found.agreement:
        both = (f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]" for e in (each.kendall, each.spearman))
        rows.append((each.score, *both))
    return table(rows)


def _joint(found: verbs.Similarity) -> str:
    rows = [("together", "score", "correlation", "would take", "loss rises by", "random sets do")]
    for each in found.joint:
        units = ",".join(map(str, each.chosen))
        change, random = each.harm.change.value, each.random.value
        told = f"{each.spearman.value:.2f}", units, f"{change:+.4g}", f"{random:+.4g}"
        rows.append((str(each.count), each.score, *told))
    return table(rows)
