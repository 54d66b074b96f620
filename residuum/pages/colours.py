"""Colours by role: every curve of a network, whatever its seed, has the colour of its role."""

from collections.abc import Mapping, Sequence

from ..results import Network, Series

INK, MUTED, GRID = "#1f2328", "#5f6873", "#dfe3e8"
COLOURS = ("#2563eb", "#c2410c", "#2b7a3b", "#9333ac", "#0b7285", "#5c6b00")
SPANS = ("#8a6500", "#6d5bd0", "#64748b")
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "line"}
VARIABLES |= {colour: f"c{i}" for i, colour in enumerate(COLOURS, 1)}
VARIABLES |= {colour: f"span{i}" for i, colour in enumerate(SPANS, 1)}


def base_role(network: Network) -> str:
    """The role without the seed that may stand behind it."""
    return network.role.partition(", seed")[0]


def roles(networks: Sequence[Network]) -> dict[str, int]:
    """The words that name a network in the names of curves, longest first, with their colour."""
    order = {role: i for i, role in enumerate(dict.fromkeys(map(base_role, networks)))}
    words = {word: order[base_role(n)] for n in networks for word in (n.name, base_role(n)) if word}
    return dict(sorted(words.items(), key=lambda pair: -len(pair[0])))


def series_colours(series: Sequence[Series], words: Mapping[str, int]) -> list[int]:
    """A number for each curve: its role's; else one that no role has. Levels and dashed lines that
    name no network take the colour of the curve before them."""
    taken = len(set(words.values()))
    free, last, found = taken if taken < len(COLOURS) else 0, 0, []
    for each in series:
        named = next((colour for word, colour in words.items() if word in each.name), None)
        if named is not None:
            last = named
        elif each.style not in ("level", "dashed") or not found:
            last, free = free, free + 1
        found.append(last % len(COLOURS))
    return found


def seed_numbers(series: Sequence[Series], colours: Sequence[int]) -> list[int]:
    """Which of the curves of one colour and style each is: its marker tells the seeds apart."""
    seen: dict[tuple[int, str], int] = {}
    found = []
    for each, colour in zip(series, colours, strict=True):
        found.append(seen.get((colour, each.style), 0))
        seen[colour, each.style] = found[-1] + 1
    return found
