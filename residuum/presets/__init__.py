"""The papers' own networks: `preset("preresnet110", classes=10)`. One row a network.

Names load when they are used; `index` knows every listed preset without torch.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .catalogue import CATALOGUE, FAMILIES, describe, find, preset, preset_cost
    from .family import Family, Preset
    from .index import Listed
    from .libraries import build, describe_model, model, model_names, require_model
    from .published import Published

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".catalogue": "CATALOGUE FAMILIES describe find preset preset_cost",
        ".family": "Family Preset",
        ".index": "Listed",
        ".libraries": "build describe_model model model_names require_model",
        ".published": "Published",
    },
)
