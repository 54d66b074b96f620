"""cache: the decoded images that are kept for the next command."""

from dataclasses import dataclass

from ..storage import CachedFile
from .requests import verb


@dataclass(frozen=True)
class CacheState:
    """What a cache of decoded images holds, and what was removed from it."""

    folder: str
    most_bytes: int
    files: list[CachedFile]
    removed: list[CachedFile]


@verb
def cache(*, clear: bool = False) -> CacheState:
    """Show or empty the cache of decoded images.

    Class folders and archives of them are decoded once and kept, checked whenever they are used.
    RESIDUUM_CACHE_GB bounds the folder (4 by default); the longest unused go first.

    Parameters
    ----------
    clear
        Remove every file that was kept, and nothing else.
    """
    from ..data.cache import image_cache

    images = image_cache()
    removed = images.clear() if clear else []
    return CacheState(str(images.folder), images.most_bytes, images.files(), removed)
