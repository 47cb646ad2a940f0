"""Looking inside: attention and positions as pictures, pages a browser opens offline, and JSON."""

from polyhead.inspection.maps import AttentionMaps
from polyhead.inspection.positions import save_positions_picture

__all__ = ["AttentionMaps", "save_positions_picture"]
