"""From results to figures and one self-contained page, without torch."""

from .page import write_report

__all__ = ["write_report"]
