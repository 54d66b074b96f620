"""ls, info and paths."""

from dataclasses import asdict

from .. import verbs
from .command import command
from .words import show, table


@command(verbs.ls)
def ls(entries: list[verbs.Entry]) -> str:
    """One line a name."""
    return table((e.kind, e.name, e.summary) for e in entries)


@command(verbs.info)
def info(found: verbs.Info) -> str:
    """One line a property; each published value on a line of its own."""
    values = {name: show(value) for name, value in asdict(found).items() if value != ""}
    del values["published"]
    lines = list(values.items())
    return table([*lines, *(("published", str(value)) for value in found.published)])


@command(verbs.paths)
def paths(found: verbs.PathCount) -> str:
    """The sum, then one line a length."""
    head = ["length", "paths", "share"]
    if found.remaining is not None:
        head.append(f"left after {found.deleted}")
    rows, total = [head], int(found.total)
    for length, count in enumerate(found.counts):
        row = [str(length), count, f"{100 * (int(count) / total):.4f} %"]
        if found.remaining is not None:
            row.append(show(found.remaining[length]))
        rows.append(row)
    said = f"{found.name}: {found.units} units, {found.total} paths, mean length {found.mean:g}"
    lines = [said, table(rows)]
    if found.between is not None and found.share is not None:
        shortest, longest = found.between
        lines.insert(1, f"length {shortest}-{longest}: {100 * found.share:.4f} % of all paths")
    return "\n".join(lines)
