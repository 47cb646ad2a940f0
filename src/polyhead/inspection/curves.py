"""Lines in panels side by side: scores by damage, by time of training; costs by length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from polyhead.inspection.asked import check_picture, make_folder
from polyhead.inspection.axes import Axis, linear, logarithmic
from polyhead.inspection.drawing import MUTED, PAPER, RULE, Sheet, new_sheet
from polyhead.inspection.fonts import find_fonts
from polyhead.inspection.png import write_png

Point = tuple[float, float, float, float]
"""A rate (or time, or length), the score there, and the ends of its interval."""
Curves = Mapping[str, Sequence[Point]]
"""The points of each line, by its name."""


@dataclass(frozen=True)
class Panel:
    """Lines in one frame, what the numbers up its side are, and those across.

    With logarithmic axes both begin near the smallest number that stands on them; what is far
    smaller than the largest (see `axes.logarithmic`), or 0, lies at the foot.
    """

    heading: str
    across: str
    curves: Curves
    logarithmic: bool = False


MARGIN, GAP = 88, 150
TITLE, HEADING, CAPTION, TICK = 42, 32, 21, 19
WIDTH, HEIGHT = 900, 640
LEFT, ABOVE, BELOW = 70, 84, 96
LINE, DOT, KEY = 5, 9, 34
INKS = ("#2563a8", "#c2571a", "#3b7d4f", "#8a4c9e", "#a8323e", "#4d5d73", "#8a6d1f", "#2a8a8f")
_CHARACTERS = "".join(chr(point) for point in range(0x21, 0x7F))


def save_curves_picture(
    panels: Mapping[str, Curves], path: str | Path, *, title: str, across: str
) -> Path:
    """Draw a panel for each score (all with the same lines) side by side as PNG.

    `across` says what the rates are. Raises UsageError for another ending than .png.
    """
    made = [Panel(score, across, curves) for score, curves in panels.items()]
    return save_panels_picture(made, path, title=title)


def save_panels_picture(panels: Sequence[Panel], path: str | Path, *, title: str) -> Path:
    """Draw panels (all with the same lines) side by side as PNG.

    Raises UsageError for another ending than .png.
    """
    path = check_picture(path)
    make_folder(path)
    write_png(_picture(panels, title), path)
    return path


def save_damage_picture(report: Mapping[str, Any], path: str | Path) -> Path:
    """Draw BLEU and chrF against the rates of damage of an evaluation's report, as `--json` has it.

    Every line begins at rate 0, with the score of the whole sentences; two runs are two lines.
    """
    parts = [part for part in (report, report.get("against")) if part is not None]
    panels: dict[str, dict[str, list[Point]]] = {"BLEU": {}, "chrF": {}}
    for score, curves in panels.items():
        for kind in dict.fromkeys(one["kind"] for one in report["corrupt"]):
            for part in parts:
                name = kind if len(parts) == 1 else f"{kind}: {part['run']}"
                rates = {one["rate"]: one for one in part["corrupt"] if one["kind"] == kind}
                found = [(0.0, part), *sorted((r, one) for r, one in rates.items() if r > 0)]
                entries = [(rate, one["metrics"][score.lower()]) for rate, one in found]
                curves[name] = [(r, e["score"], e["low"], e["high"]) for r, e in entries]
    title = f"{Path(report['run']).name}, {report['split']}: scores of damaged sources"
    return save_curves_picture(panels, path, title=title, across="share of the words concerned")


def _picture(panels: Sequence[Panel], title: str) -> Image.Image:
    names = list(panels[0].curves)
    fonts = find_fonts([title, *(p.across for p in panels), *names, _CHARACTERS])
    top = MARGIN + TITLE + 44
    width = 2 * MARGIN + len(panels) * (LEFT + WIDTH) + (len(panels) - 1) * GAP
    keys = top + ABOVE + HEIGHT + BELOW
    sheet = new_sheet(width, keys + KEY * len(names) + MARGIN, fonts)
    shown = fonts.shorten(title, TITLE, width - 2 * MARGIN - LEFT)
    sheet.text(MARGIN + LEFT, MARGIN + TITLE // 2, shown, TITLE)
    for place, panel in enumerate(panels):
        x = MARGIN + LEFT + place * (LEFT + WIDTH + GAP)
        sheet.text(x, top + HEADING // 2, panel.heading, HEADING)
        _draw_panel(sheet, panel, (x, top + ABOVE))
    for place, name in enumerate(names):
        middle = keys + KEY * place + KEY // 2
        x = MARGIN + LEFT
        sheet.draw.line((x, middle, x + 56, middle), ink_of(place), LINE)
        draw_dot(sheet, x + 28, middle, place)
        sheet.text(x + 76, middle, fonts.shorten(name, CAPTION, width - 3 * MARGIN), CAPTION)
    return sheet.image


def _draw_panel(sheet: Sheet, panel: Panel, corner: tuple[int, int]) -> None:
    x, y = corner
    points = [point for line in panel.curves.values() for point in line]
    make = logarithmic if panel.logarithmic else linear
    rates: Axis = make([rate for rate, *_ in points], fallback=1.0)
    scores: Axis = make([high for *_, high in points], fallback=1e-9)

    def at(rate: float, score: float) -> tuple[float, float]:
        return x + rates.share(rate) * WIDTH, y + HEIGHT - scores.share(score) * HEIGHT

    for value in scores.ticks:
        _, height = at(rates.ticks[0], value)
        sheet.draw.line((x, height, x + WIDTH, height), RULE, 1)
        sheet.text(x - 16, height, f"{value:g}", TICK, ink=MUTED, align="right")
    for value in rates.ticks:
        place, _ = at(value, scores.ticks[0])
        sheet.draw.line((place, y + HEIGHT, place, y + HEIGHT + 8), RULE, 2)
        sheet.text(place, y + HEIGHT + 26, f"{value:g}", TICK, ink=MUTED, align="center")
    sheet.text(x + WIDTH / 2, y + HEIGHT + 62, panel.across, CAPTION, align="center")
    for place, line in enumerate(panel.curves.values()):
        _draw_line(sheet, [(at(r, s), at(r, low), at(r, high)) for r, s, low, high in line], place)


def ink_of(place: int) -> str:
    """The colour of a line, by its place among the lines."""
    return INKS[place % len(INKS)]


def draw_dot(sheet: Sheet, x: float, y: float, place: int) -> None:
    """A disc; where the inks begin anew, a hollow square, then a hollow disc."""
    box = (x - DOT, y - DOT, x + DOT, y + DOT)
    turn = place // len(INKS)
    draw = sheet.draw.rectangle if turn == 1 else sheet.draw.ellipse
    draw(box, fill=PAPER if turn else ink_of(place), outline=ink_of(place), width=3)


Place = tuple[float, float]


def _draw_line(sheet: Sheet, points: list[tuple[Place, Place, Place]], place: int) -> None:
    """The interval as a veil that lets the grid through, the line over it, a dot at each point."""
    ink = ink_of(place)
    veil = Image.new("L", sheet.image.size, 0)
    outline = [low for _, low, _ in points] + [high for *_, high in reversed(points)]
    if len(points) > 1:
        ImageDraw.Draw(veil).polygon(outline, fill=36)
    sheet.image.paste(Image.new("RGB", sheet.image.size, ink), (0, 0), veil)
    sheet.draw.line([middle for middle, _, _ in points], ink, LINE, joint="curve")
    for (x, y), (_, low), (_, high) in points:
        sheet.draw.line((x, low, x, high), ink, 2)
        draw_dot(sheet, x, y, place)
