"""Drawing on paper: crisp text, heat maps with their words, colour scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from polyhead.inspection.fonts import FontStack
from polyhead.inspection.palette import STEPS, Colours, paint

INK, MUTED, RULE, PAPER = "#1c2230", "#667085", "#c9cfda", "#ffffff"
SMALLEST_TYPE = 13
# A label needs this much of a cell's height as air above and below it.
TYPE_PER_CELL = 0.74
GAP_FROM = 14


@dataclass(frozen=True)
class Sheet:
    """A white page and the fonts to write on it."""

    image: Image.Image
    fonts: FontStack

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        """Pillow's drawing interface to the page."""
        return ImageDraw.Draw(self.image)

    def text(
        self, x: float, middle: float, text: str, size: int, *, ink: str = INK, align: str = "left"
    ) -> None:
        """Write one line whose capitals are centred on the height `middle`."""
        width = self.fonts.width(text, size)
        left = x - {"left": 0.0, "center": width / 2, "right": width}[align]
        _write(self.draw, self.fonts, (left, middle + size * 0.36), text, size, ink)

    def upright(
        self,
        middle: float,
        y: float,
        text: str,
        size: int,
        *,
        ink: str = INK,
        centred: bool = False,
    ) -> None:
        """Write upwards, centred on x = `middle`, starting at height y (or centred there)."""
        width, height = max(1, round(self.fonts.width(text, size)) + 2), round(size * 1.5)
        strip = Image.new("L", (width, height), 0)
        pen = ImageDraw.Draw(strip)
        _write(pen, self.fonts, (1, height / 2 + size * 0.36), text, size, 255)
        turned = strip.transpose(Image.Transpose.ROTATE_90)
        top = round(y - turned.height / (2 if centred else 1))
        place = (round(middle - turned.width / 2), top)
        self.image.paste(Image.new("RGB", turned.size, ink), place, turned)

    def scale(
        self, x: int, middle: int, colours: Colours, low: float, high: float, *, size: int = 18
    ) -> None:
        """A colour scale from `low` to `high`, its right end at x."""
        width, height = size * 9, size
        right = x - round(self.fonts.width(number(high), size)) - size // 2
        left, top = right - width, middle - height // 2
        ramp = np.broadcast_to(
            colours[np.linspace(0, STEPS - 1, width).astype(np.intp)], (height, width, 3)
        )
        self.image.paste(Image.fromarray(np.ascontiguousarray(ramp)), (left, top))
        self.draw.rectangle((left - 1, top - 1, right, top + height), outline=RULE)
        self.text(left - size // 2, middle, number(low), size, ink=MUTED, align="right")
        self.text(right + size // 2, middle, number(high), size, ink=MUTED)


def number(value: float) -> str:
    """A short number for a scale."""
    return f"{value:.2g}"


def _write(
    pen: ImageDraw.ImageDraw,
    fonts: FontStack,
    start: tuple[float, float],
    text: str,
    size: int,
    ink: str | int,
) -> None:
    x, baseline = start
    for face, run in fonts.runs(text):
        pen.text((x, baseline), run, font=face.at(size), fill=ink, anchor="ls")
        x += face.at(size).getlength(run)


def new_sheet(width: int, height: int, fonts: FontStack) -> Sheet:
    """An empty page."""
    return Sheet(Image.new("RGB", (width, height), PAPER), fonts)


@dataclass(frozen=True)
class Lattice:
    """How large a heat map's cells are, and so the map and its labels. `cell` may be a fraction."""

    queries: int
    keys: int
    cell: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return max(1, round(self.keys * self.cell)), max(1, round(self.queries * self.cell))

    @property
    def type_size(self) -> int:
        """Height of the labels."""
        return max(SMALLEST_TYPE, min(28, round(self.cell * TYPE_PER_CELL)))

    @property
    def label_step(self) -> int:
        """Every how many-th word is labelled: 1 unless cells are too small for legible type."""
        return max(1, -(-round(SMALLEST_TYPE / TYPE_PER_CELL * 100) // round(self.cell * 100)))

    def image(self, weights: NDArray[np.floating], colours: Colours, high: float) -> Image.Image:
        """The map itself, a block of one colour per cell, 0 to `high`."""
        painted = paint(weights, colours, 0.0, high)
        if self.cell != int(self.cell):
            whole = Image.fromarray(painted)
            shrinks = self.cell < 1
            how = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
            return whole.resize(self.size, how)
        side = int(self.cell)
        blocks = painted.repeat(side, axis=0).repeat(side, axis=1)
        if side >= GAP_FROM:  # hairlines of paper let the eye count cells
            blocks[::side] = blocks[:, ::side] = 255
        return Image.fromarray(blocks)


def label_room(fonts: FontStack, words: Sequence[str], lattice: Lattice, most: int) -> int:
    """Pixels the longest label needs beside a map, `most` at most."""
    shown = words[:: lattice.label_step]
    widest = max((fonts.width(word, lattice.type_size) for word in shown), default=0)
    return min(most, round(widest) + 1)


def draw_query_labels(
    sheet: Sheet, words: Sequence[str], corner: tuple[int, int], lattice: Lattice, room: int
) -> None:
    """Words at the left of a map whose upper left corner is given, right-aligned."""
    x, y = corner
    size, gap = lattice.type_size, max(6, lattice.type_size // 2)
    for row in range(0, len(words), lattice.label_step):
        word = sheet.fonts.shorten(words[row], size, room)
        sheet.text(x - gap, y + (row + 0.5) * lattice.cell, word, size, align="right")


def draw_key_labels(
    sheet: Sheet, words: Sequence[str], corner: tuple[int, int], lattice: Lattice, room: int
) -> None:
    """Words above a map, lying where each fits over its column, else all standing upright."""
    x, y = corner
    size, gap = lattice.type_size, max(6, lattice.type_size // 2)
    if lie_flat(sheet.fonts, words, lattice):
        for column, word in enumerate(words):
            place = x + (column + 0.5) * lattice.cell
            sheet.text(place, y - gap - size * 0.5, word, size, align="center")
        return
    for column in range(0, len(words), lattice.label_step):
        word = sheet.fonts.shorten(words[column], size, room)
        sheet.upright(x + (column + 0.5) * lattice.cell, y - gap, word, size)


def lie_flat(fonts: FontStack, words: Sequence[str], lattice: Lattice) -> bool:
    """Whether every word fits over its own column."""
    fits = lattice.cell - lattice.type_size * 0.4
    return lattice.label_step == 1 and all(
        fonts.width(word, lattice.type_size) <= fits for word in words
    )


def draw_map(sheet: Sheet, picture: Image.Image, corner: tuple[int, int]) -> None:
    """Put a heat map on the page, in a thin frame."""
    x, y = corner
    sheet.image.paste(picture, corner)
    sheet.draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=RULE)
