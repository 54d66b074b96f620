"""ls, info and paths."""

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
    lines = [(k, show(v)) for k, v in vars(found).items() if k != "published" and v != ""]
    return table([*lines, *(("published", str(value)) for value in found.published)])


@command(verbs.paths)
def paths(found: verbs.PathCount) -> str:
    """The sum, then one line a length."""
    total = int(found.total)
    shares = [f"{100 * (int(count) / total):.4f} %" for count in found.counts]
    lengths = map(str, range(len(shares)))
    columns = [("length", *lengths), ("paths", *found.counts), ("share", *shares)]
    if found.remaining is not None:
        columns.append((f"left after {found.deleted}", *map(show, found.remaining)))
    lines = [f"{found.name}: {found.units} units, {total} paths, mean length {found.mean:g}"]
    if found.between is not None and found.share is not None:
        shortest, longest = found.between
        lines.append(f"length {shortest}-{longest}: {100 * found.share:.4f} % of all paths")
    return "\n".join([*lines, table(zip(*columns, strict=True))])
