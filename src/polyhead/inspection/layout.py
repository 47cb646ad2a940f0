"""Where everything of an attention picture goes, and how large its cells can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from polyhead.inspection.drawing import Lattice, label_room, lie_flat
from polyhead.inspection.fonts import FontStack
from polyhead.inspection.maps import AttentionMaps

LONGEST_SIDE = 8000
MARGIN = 88
SECTION_GAP = 104
PANEL_GAP = 90
HEADING, CAPTION, TITLE = 34, 21, 46
HEADER_ROOM = 92  # a block's heading, caption and the air below them
NAME_ROOM = 46  # the line that names a layer or a head
LAYER_ROOM = 52  # the column that names the layers of a grid
LARGE_ROOM, SMALL_ROOM = 320, 150  # the most a label may take beside a large and a small map
# Pixels a map of few words aims at; then the cells' smallest and largest wanted side.
LARGE_MAP, SMALL_MAP = (1150, 27, 72), (270, 18, 30)


@dataclass(frozen=True)
class Block:
    """Heat maps of one kind in rows and columns, with their words at the outer edges."""

    kind: str
    heading: str
    rows: list[int]
    columns: list[int]
    lattice: Lattice
    left: int
    top: int
    gap: tuple[int, int]
    place: tuple[int, int] = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, heading and labels included."""
        width, height = self.lattice.size
        across = self.left + len(self.columns) * (width + self.gap[0]) - self.gap[0]
        down = self.top + len(self.rows) * (height + self.gap[1]) - self.gap[1]
        return across, down

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Upper left corner of the map in this row and column, in pixels of the page."""
        width, height = self.lattice.size
        x = self.place[0] + self.left + column * (width + self.gap[0])
        return x, self.place[1] + self.top + row * (height + self.gap[1])

    def at(self, x: int, y: int) -> Block:
        """The same block elsewhere on the page."""
        return replace(self, place=(x, y))


@dataclass(frozen=True)
class Layout:
    """A page: the large maps of the last layers above, the grids of every head below."""

    panels: Block
    grids: list[Block]
    size: tuple[int, int]

    @property
    def smallest_cell(self) -> float:
        """Side of the smallest cells in pixels."""
        return min(block.lattice.cell for block in (self.panels, *self.grids))

    @property
    def label_step(self) -> int:
        """Every how many-th word is labelled where cells are smallest."""
        return max(block.lattice.label_step for block in (self.panels, *self.grids))


def plan(maps: AttentionMaps, fonts: FontStack, top: int) -> Layout:
    """The page below a header of `top` pixels, with the largest cells that stay within bounds."""
    panels = _plan_panels(maps, fonts).at(MARGIN, top)
    kinds = [
        kind
        for kind, weights in maps.attention.items()
        # A single map of the main kind stands there large already.
        if kind != maps.main_kind or weights.shape[0] * weights.shape[1] > 1
    ]
    if not kinds:
        return Layout(panels, [], _extent([panels]))
    choices = [_largest(maps, fonts, kinds, panels, n) for n in range(1, len(kinds) + 1)]
    return max(choices, key=lambda layout: layout.grids[0].lattice.cell)


def _largest(
    maps: AttentionMaps, fonts: FontStack, kinds: list[str], panels: Block, abreast: int
) -> Layout:
    words = max(max(maps.attention[kind].shape[2:]) for kind in kinds)
    side, least, most = SMALL_MAP
    cell = float(max(least, min(most, side // words)))
    while True:
        blocks = [_plan_grid(maps, kind, fonts, cell) for kind in kinds]
        grids = _arrange([panels, *blocks], panels.place[1], abreast)[1:]
        size = _extent([panels, *grids])
        if max(size) <= LONGEST_SIDE or cell < 0.05:
            return Layout(panels, grids, size)
        cell = cell - 1 if cell >= 2 else cell * 0.8


def _arrange(blocks: list[Block], y: int, abreast: int) -> list[Block]:
    """The blocks in rows of `abreast`; those in a column start at the same x."""
    columns = [max(b.size[0] for b in blocks[c::abreast]) for c in range(abreast)]
    placed = []
    for start in range(0, len(blocks), abreast):
        row = blocks[start : start + abreast]
        x = MARGIN
        for block, width in zip(row, columns, strict=False):
            placed.append(block.at(x, y))
            x += width + SECTION_GAP
        y += max(block.size[1] for block in row) + SECTION_GAP
    return placed


def _extent(blocks: Sequence[Block]) -> tuple[int, int]:
    right = max(block.place[0] + block.size[0] for block in blocks)
    return right + MARGIN, max(block.place[1] + block.size[1] for block in blocks) + MARGIN


def _plan_panels(maps: AttentionMaps, fonts: FontStack) -> Block:
    kind = maps.main_kind
    queries, keys = maps.labels(kind)
    depth = len(maps.attention[kind])
    side, least, most = LARGE_MAP
    cell = float(max(least, min(most, side // max(len(queries), len(keys)))))
    while cell * len(queries) > LONGEST_SIDE * 0.3 or cell * len(keys) > LONGEST_SIDE * 0.43:
        cell = cell - 1 if cell >= 2 else cell * 0.8
    lattice = Lattice(len(queries), len(keys), cell)
    left, above = _label_rooms(fonts, queries, keys, lattice, LARGE_ROOM)
    top = HEADER_ROOM + above + (NAME_ROOM if depth > 1 else 10)
    columns = list(range(max(0, depth - 2), depth))
    # Each panel has its own labels: the gap holds those of the next.
    heads = maps.attention[kind].shape[1]
    heading = maps.heading(kind) + (f", mean of {heads} heads" if heads > 1 else "")
    return Block(kind, heading, [0], columns, lattice, left, top, (PANEL_GAP + left, 0))


def _plan_grid(maps: AttentionMaps, kind: str, fonts: FontStack, cell: float) -> Block:
    queries, keys = maps.labels(kind)
    layers, heads = maps.attention[kind].shape[:2]
    gap = max(6, min(28, 480 // max(layers, heads)))
    lattice = Lattice(len(queries), len(keys), cell)
    left, above = _label_rooms(fonts, queries, keys, lattice, SMALL_ROOM)
    return Block(
        kind,
        maps.heading(kind) + ", every layer and head",
        list(range(layers)),
        list(range(heads)),
        lattice,
        left + LAYER_ROOM,
        HEADER_ROOM + NAME_ROOM + above,
        (gap, gap),
    )


def _label_rooms(
    fonts: FontStack, queries: list[str], keys: list[str], lattice: Lattice, most: int
) -> tuple[int, int]:
    gap = max(6, lattice.type_size // 2)
    flat = lie_flat(fonts, keys, lattice)
    above = lattice.type_size if flat else label_room(fonts, keys, lattice, most)
    return label_room(fonts, queries, lattice, most) + gap, above + gap
