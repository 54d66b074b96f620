"""A model on the table with examples to measure it on, from the words of a command line.

Names load when they are used; `asked` needs no torch.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .asked import Measuring, Opening, Source
    from .models import Opened, open_model
    from .opening import open_subject
    from .origins import Origin, origin
    from .subject import Subject, require_two, require_units
    from .trained import Trained, open_trained, rebuild

__getattr__, __dir__ = lazy(
    __name__,
    {
        ".asked": "Measuring Opening Source",
        ".models": "Opened open_model",
        ".opening": "open_subject",
        ".origins": "Origin origin",
        ".subject": "Subject require_two require_units",
        ".trained": "Trained open_trained rebuild",
    },
)
