"""From results to figures and one self-contained page, without torch."""

from .dissection import write_dissection
from .page import write_report

__all__ = ["write_dissection", "write_report"]
