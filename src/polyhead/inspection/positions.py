"""Positional encodings as a picture: their values, and how alike any two positions are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from polyhead.errors import PolyheadError
from polyhead.inspection.asked import check_picture, make_folder
from polyhead.inspection.drawing import MUTED, RULE, Sheet, draw_map, new_sheet
from polyhead.inspection.fonts import find_fonts
from polyhead.inspection.palette import diverging, paint
from polyhead.inspection.png import write_png

MARGIN, GAP = 88, 190
TITLE, HEADING, CAPTION, TICK = 46, 32, 21, 19
SIDE = 1000
LEFT, ABOVE, BELOW = 96, 132, 84
_CHARACTERS = "".join(chr(point) for point in range(0x21, 0x7F))


def save_positions_picture(
    encodings: NDArray[np.floating], path: str | Path, *, title: str = ""
) -> Path:
    """Draw encodings [positions, d_model] and their dot products [positions, positions] as PNG.

    Raises UsageError for another ending than .png, PolyheadError for values that are no matrix.
    """
    path = check_picture(path)
    values = np.asarray(encodings, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
        raise PolyheadError(
            f"positional encodings have shape {list(values.shape)}; "
            "needed are finite numbers [positions, d_model]"
        )
    make_folder(path)
    write_png(positions_picture(values, title=title), path)
    return path


def positions_picture(values: NDArray[np.float64], *, title: str = "") -> Image.Image:
    """The picture `save_positions_picture` writes."""
    positions, d_model = values.shape
    top = MARGIN + (TITLE + 44 if title else 0)
    width = 2 * (MARGIN + LEFT + SIDE) + GAP - MARGIN + 40
    fonts = find_fonts([title, _CHARACTERS])
    sheet = new_sheet(width, top + ABOVE + SIDE + BELOW + MARGIN, fonts)
    if title:
        shown = fonts.shorten(title, TITLE, width - 2 * MARGIN - LEFT)
        sheet.text(MARGIN + LEFT, MARGIN + TITLE // 2, shown, TITLE)
    first, second = MARGIN + LEFT, MARGIN + LEFT + SIDE + GAP + LEFT // 2
    shape = f"{positions} positions, {d_model} dimensions"
    _panel(sheet, values, (first, top), ("Encodings", shape, "dimension"))
    likeness = values @ values.T
    about = "dot product of every two encodings"
    _panel(sheet, likeness, (second, top), ("Similarity", about, "position"))
    return sheet.image


def _panel(
    sheet: Sheet,
    values: NDArray[np.float64],
    place: tuple[int, int],
    words: tuple[str, str, str],
) -> None:
    x, y = place
    heading, caption, across = words
    high = max(float(np.abs(values).max()), 1e-12)
    sheet.text(x, y + HEADING // 2, heading, HEADING)
    sheet.text(x, y + HEADING + 24, caption, CAPTION, ink=MUTED)
    sheet.scale(x + SIDE, y + HEADING // 2, diverging(), -high, high, size=TICK)
    corner = (x, y + ABOVE)
    draw_map(sheet, _fitted(Image.fromarray(paint(values, diverging(), -high, high))), corner)
    rows, columns = values.shape
    bottom = corner[1] + SIDE
    for value in ticks(rows):
        middle = corner[1] + (value + 0.5) * SIDE / rows
        sheet.draw.line((x - 9, round(middle), x - 2, round(middle)), RULE, 2)
        sheet.text(x - 16, middle, str(value), TICK, ink=MUTED, align="right")
    for value in ticks(columns):
        middle = x + (value + 0.5) * SIDE / columns
        sheet.draw.line((round(middle), bottom + 1, round(middle), bottom + 8), RULE, 2)
        sheet.text(middle, bottom + 24, str(value), TICK, ink=MUTED, align="center")
    sheet.text(x + SIDE / 2, bottom + 62, across, CAPTION, align="center")
    sheet.upright(x - LEFT + 16, corner[1] + SIDE / 2, "position", CAPTION, centred=True)


def _fitted(picture: Image.Image) -> Image.Image:
    """The picture at SIDE x SIDE: blocks where it is small, averaged where it is large."""
    for axis in (0, 1):
        size = list(picture.size)
        large = size[axis] > SIDE
        size[axis] = SIDE
        how = Image.Resampling.BOX if large else Image.Resampling.NEAREST
        picture = picture.resize((size[0], size[1]), how)
    return picture


def ticks(count: int) -> list[int]:
    """At most nine round numbers from 0 below `count`."""
    step = 1
    while count / step > 9:
        # 1, 2, 5, 10, 20, 50, …
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return list(range(0, count, step))
