"""Which characters a font file can draw: its `cmap` table (OpenType 1.9, formats 4 and 12)."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

# The subtables that speak Unicode, best first: (platform, encoding).
_UNICODE = [(3, 10), (0, 6), (0, 4), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0)]


@lru_cache(maxsize=256)
def covered_characters(path: Path) -> frozenset[int]:
    """Code points with a glyph in a font file (a .ttc: its first face); none if unreadable."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
            start = struct.unpack(">I", head[12:16])[0] if head[:4] == b"ttcf" else 0
            file.seek(start)
            count = struct.unpack(">4xH6x", file.read(12))[0]
            records = file.read(16 * count)
            for offset in range(0, len(records), 16):
                tag, _, where, length = struct.unpack(">4sIII", records[offset : offset + 16])
                if tag == b"cmap":
                    file.seek(where)
                    return _read_table(file.read(length))
    except (OSError, struct.error, ValueError, IndexError):
        return frozenset()
    return frozenset()


def _read_table(table: bytes) -> frozenset[int]:
    count = struct.unpack(">2xH", table[:4])[0]
    offsets = {
        (platform, encoding): offset
        for platform, encoding, offset in struct.iter_unpack(">HHI", table[4 : 4 + 8 * count])
    }
    for key in _UNICODE:
        if key in offsets:
            subtable = table[offsets[key] :]
            form = struct.unpack(">H", subtable[:2])[0]
            if form in {4, 12}:
                return _segments(subtable) if form == 4 else _groups(subtable)
    return frozenset()


def _segments(table: bytes) -> frozenset[int]:
    """Format 4: segments of the first 65,536 characters."""
    length, doubled = struct.unpack(">2xH2xH", table[:8])
    words = np.frombuffer(table[: min(length, len(table)) // 2 * 2], dtype=">u2").astype(np.int64)
    count = doubled // 2
    first_end, first_start = 7, 8 + count
    found: set[int] = set()
    for segment in range(count):
        end, start = int(words[first_end + segment]), int(words[first_start + segment])
        delta = int(words[first_start + count + segment])
        place = first_start + 2 * count + segment
        characters = np.arange(start, end + 1)
        if words[place] == 0:
            glyphs = (characters + delta) & 0xFFFF
        else:  # the offset counts bytes from where it stands itself
            glyphs = words[place + int(words[place]) // 2 + np.arange(len(characters))]
        found.update(characters[glyphs != 0].tolist())
    return frozenset(found - {0xFFFF})


def _groups(table: bytes) -> frozenset[int]:
    """Format 12: groups of consecutive characters anywhere in Unicode."""
    count = struct.unpack(">I", table[12:16])[0]
    found: set[int] = set()
    for start, end, glyph in struct.iter_unpack(">III", table[16 : 16 + 12 * count]):
        if end > 0x10FFFF:
            raise ValueError("a group beyond Unicode")
        found.update(range(start if glyph else start + 1, end + 1))
    return frozenset(found)
