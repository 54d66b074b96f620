"""cache."""

from datetime import datetime

from .. import verbs
from .command import command
from .words import table


@command(verbs.cache)
def cache(found: verbs.CacheState) -> str:
    """The folder and its size, then one line a file."""
    lines = [f"{found.folder}: {_files(found.files)} of at most {found.most_bytes / 1e6:.0f} MB"]
    if found.removed:
        lines.append(f"removed {_files(found.removed)}")
    if found.files:
        rows = [("file", "MB", "last used")]
        for file in found.files:
            used = datetime.fromtimestamp(file.used).isoformat(" ", "minutes")
            rows.append((file.name[:12], f"{file.bytes / 1e6:.1f}", used))
        lines.append(table(rows))
    return "\n".join(lines)


def _files(files: list[verbs.CachedFile]) -> str:
    size = sum(file.bytes for file in files) / 1e6
    return f"{len(files)} file{'' if len(files) == 1 else 's'}, {size:.1f} MB"
