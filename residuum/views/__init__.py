"""What dissection stands on: a model seen as units in signal order, whatever it is made of.

`unravel(model)` gives the `View`. Names load when they are used; `residuum.views.view` needs no
torch.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .discovery import Units, discover
    from .edits import at_rest, replace
    from .foreign import unravel
    from .unit import Unit
    from .view import (
        DELETE,
        KEEP,
        Delete,
        Edit,
        Keep,
        Leaf,
        Parallel,
        Put,
        Repeat,
        Scale,
        Series,
        UnitInfo,
        Value,
        View,
    )

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".discovery": "Units discover",
        ".edits": "at_rest replace",
        ".foreign": "unravel",
        ".unit": "Unit",
        ".view": "DELETE KEEP Delete Edit Keep Leaf Parallel Put Repeat Scale Series UnitInfo"
        " Value View",
    },
)
