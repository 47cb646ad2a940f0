"""Models side by side: trained on the same data for the same time or tokens, then judged alike."""

from polyhead.comparison.models import Entry, compare, entries
from polyhead.comparison.report import table

__all__ = ["Entry", "compare", "entries", "table"]
