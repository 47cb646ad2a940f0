"""Attention on paper: the last layers large, then every layer and head of every kind."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from polyhead.files import write_atomically
from polyhead.inspection.drawing import (
    MUTED,
    RULE,
    Sheet,
    draw_key_labels,
    draw_map,
    draw_query_labels,
    new_sheet,
)
from polyhead.inspection.fonts import FontStack, find_fonts
from polyhead.inspection.layout import (
    CAPTION,
    HEADER_ROOM,
    HEADING,
    LARGE_ROOM,
    MARGIN,
    SECTION_GAP,
    SMALL_ROOM,
    TITLE,
    Block,
    Layout,
    plan,
)
from polyhead.inspection.maps import AttentionMaps, Weights
from polyhead.inspection.palette import sequential

NOTE, NOTE_LINE = 23, 34
SCALE_ROOM = 330
_PLAIN_CHARACTERS = "".join(chr(point) for point in range(0x21, 0x7F))


def write_png(picture: Image.Image, path: Path) -> None:
    """Write a picture atomically."""
    write_atomically(path, lambda file: picture.save(file, format="PNG"))


def attention_picture(maps: AttentionMaps) -> Image.Image:
    """The whole picture, at most 8000 pixels a side.

    Raises PolyheadError where no font holds the words' characters.
    """
    words = [*maps.source_tokens, *maps.target_tokens, *(maps.read_tokens or [])]
    headings = [maps.heading(kind) for kind in maps.attention]
    fonts = find_fonts([*words, maps.title, maps.note, *headings, _PLAIN_CHARACTERS])
    notes = maps.note.splitlines()
    # Whether small cells must be explained is known once the page is planned.
    layout = plan(maps, fonts, _header_height(maps.title, len(notes) + 1))
    if shrunk := _shrinking_note(layout):
        notes.append(shrunk)
    else:
        layout = plan(maps, fonts, _header_height(maps.title, len(notes)))
    wide = [fonts.width(note, NOTE) for note in notes]
    wide += [_heading_width(fonts, maps, block) for block in (layout.panels, *layout.grids)]
    width = max(layout.size[0], min(1400, round(max(wide))) + 2 * MARGIN)
    sheet = new_sheet(width, layout.size[1], fonts)
    _draw_header(sheet, maps.title, notes)
    _draw_panels(sheet, maps, layout.panels)
    for grid in layout.grids:
        if grid.place[0] == MARGIN:
            y = grid.place[1] - SECTION_GAP // 2
            sheet.draw.line((MARGIN, y, width - MARGIN, y), RULE)
        _draw_grid(sheet, maps, grid)
    return sheet.image


def _header_height(title: str, notes: int) -> int:
    above = MARGIN + (TITLE + 26 if title else 0) + notes * NOTE_LINE
    return above + (30 if title or notes else 0)


def _shrinking_note(layout: Layout) -> str:
    step, cell = layout.label_step, layout.smallest_cell
    if step == 1:
        return ""
    ordinal = {2: "2nd", 3: "3rd"}.get(step, f"{step}th")
    return (
        f"So many words need small cells, down to {cell:.2g} pixels a side: "
        f"there only every {ordinal} word is labelled."
    )


def _draw_header(sheet: Sheet, title: str, notes: list[str]) -> None:
    y = MARGIN
    room = sheet.image.width - 2 * MARGIN
    if title:
        sheet.text(MARGIN, y + TITLE // 2, sheet.fonts.shorten(title, TITLE, room), TITLE)
        y += TITLE + 26
    for note in notes:
        shown = sheet.fonts.shorten(note, NOTE, room)
        sheet.text(MARGIN, y + NOTE_LINE // 2, shown, NOTE, ink=MUTED)
        y += NOTE_LINE


def _draw_panels(sheet: Sheet, maps: AttentionMaps, panels: Block) -> None:
    weights = maps.attention[panels.kind]
    means = weights.mean(axis=1)
    high = _high(means[panels.columns])
    _draw_heading(sheet, maps, panels, high)
    queries, keys = maps.labels(panels.kind)
    for column, layer in enumerate(panels.columns):
        corner = panels.corner(0, column)
        if len(weights) > 1:
            name = f"Layer {layer + 1}" + (" (last)" if layer == len(weights) - 1 else "")
            line = panels.place[1] + HEADER_ROOM + CAPTION // 2 + 6
            sheet.text(corner[0], line, name, CAPTION + 4)
        draw_map(sheet, panels.lattice.image(means[layer], sequential(), high), corner)
        draw_query_labels(sheet, queries, corner, panels.lattice, LARGE_ROOM)
        draw_key_labels(sheet, keys, corner, panels.lattice, LARGE_ROOM)


def _draw_grid(sheet: Sheet, maps: AttentionMaps, grid: Block) -> None:
    weights = maps.attention[grid.kind]
    high = _high(weights)
    _draw_heading(sheet, maps, grid, high)
    queries, keys = maps.labels(grid.kind)
    height = grid.lattice.size[1]
    for layer in grid.rows:
        for head in grid.columns:
            x, y = corner = grid.corner(layer, head)
            draw_map(sheet, grid.lattice.image(weights[layer, head], sequential(), high), corner)
            if head == 0:
                name = f"Layer {layer + 1}"
                middle = y + height / 2
                sheet.upright(grid.place[0] + 12, middle, name, CAPTION, ink=MUTED, centred=True)
                draw_query_labels(sheet, queries, corner, grid.lattice, SMALL_ROOM)
            if layer == 0:
                line = grid.place[1] + HEADER_ROOM + CAPTION // 2 + 6
                sheet.text(x, line, f"Head {head + 1}", CAPTION, ink=MUTED)
                draw_key_labels(sheet, keys, corner, grid.lattice, SMALL_ROOM)


def _high(weights: Weights) -> float:
    """Where the colour scale ends: the largest weight."""
    return max(float(weights.max()), 1e-6)


def _caption(maps: AttentionMaps, kind: str) -> str:
    queries, keys = maps.axes[kind]
    if keys == "read":
        return "Each row is the step that writes a word; its colours say which words read before."
    return f"Each row is a {queries} word; its colours say which {keys} words it attends to."


def _heading_width(fonts: FontStack, maps: AttentionMaps, block: Block) -> int:
    heading = fonts.width(block.heading, HEADING) + SCALE_ROOM
    return round(max(heading, fonts.width(_caption(maps, block.kind), CAPTION)))


def _draw_heading(sheet: Sheet, maps: AttentionMaps, block: Block, high: float) -> None:
    x, y = block.place
    sheet.text(x, y + HEADING // 2, block.heading, HEADING)
    sheet.text(x, y + HEADING + 22, _caption(maps, block.kind), CAPTION, ink=MUTED)
    right = x + max(block.size[0], _heading_width(sheet.fonts, maps, block))
    sheet.scale(right, y + HEADING // 2, sequential(), 0.0, high)
