"""A model taken apart by everything there is, as plain data for one page.

One part a file: what is measured, as plain data, and the section of the page that shows it. Names
load when they are used.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .effort import Effort
    from .whole import dissect

__getattr__, __dir__ = lazy(__name__, {".whole": "dissect", ".effort": "Effort"})
