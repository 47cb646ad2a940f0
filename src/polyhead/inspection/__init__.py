"""Looking inside: attention and positions as pictures, pages a browser opens offline, and JSON."""

from polyhead.inspection.maps import AttentionMaps

__all__ = ["AttentionMaps"]
