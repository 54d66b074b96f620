"""From results to figures and one self-contained page.

Needs no torch: a study made elsewhere is reported here.
"""

from .page import write_report

__all__ = ["write_report"]
