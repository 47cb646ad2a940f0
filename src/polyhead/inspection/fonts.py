"""Fonts that really hold the characters to be drawn, found on the system or brought by an extra."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

from PIL import ImageFont

from polyhead.errors import PictureError
from polyhead.inspection.cmap import covered_characters

# Tried in this order before all others: the beginnings of file names, lower case, no separators.
_PREFERRED = [
    "inter-regular", "notosans-regular", "dejavusans.", "liberationsans-regular", "helvetica",
    "arial.", "segoeui.", "notosanscjkkr-regular", "notosanskr-regular", "notosanscjk-regular",
    "nanumgothic.", "nanumbarungothic.", "applesdgothicneo", "malgun.", "undotum.", "gulim",
]  # fmt: skip
_ELLIPSIS = "…"
_ENDINGS = {".ttf", ".otf", ".ttc"}
_HANGUL = [(0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)]
_SHOWN_MISSING = 12
# These claim every character and draw boxes, or hold bitmaps of one size only.
_UNUSABLE = ("lastresort", ".lastresort", "adobeblank", "notocoloremoji", "applecoloremoji")

Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Face:
    """One font file; without a path, the small Latin one that Pillow carries."""

    path: Path | None

    @cached_property
    def covered(self) -> frozenset[int]:
        """The code points this face has glyphs for."""
        return covered_characters(self.path) if self.path else frozenset(range(0x20, 0x7F))

    def at(self, size: int) -> Font:
        """This face at a height of `size` pixels."""
        return _open_font(self.path, size)


@lru_cache(maxsize=128)
def _open_font(path: Path | None, size: int) -> Font:
    if path is not None:
        return ImageFont.truetype(str(path), size)
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise PictureError(
            "drawing text needs Pillow with FreeType, and this Pillow was built without it; "
            "install Pillow's own wheel: pip install --force-reinstall pillow"
        )
    return font


@dataclass(frozen=True)
class FontStack:
    """Faces that together cover a text; each character is drawn with the first that has it."""

    faces: tuple[Face, ...]

    def runs(self, text: str) -> Iterator[tuple[Face, str]]:
        """The text cut where the face changes; marks stay with the letter before them."""
        chosen: list[tuple[Face, str]] = []
        for character in drawable(text):
            joins = bool(chosen) and bool(unicodedata.combining(character))
            last = chosen[-1][0] if chosen else self.faces[0]
            # A space never cuts a run: every face has one.
            stays = chosen and (character == " " or (joins and ord(character) in last.covered))
            chosen.append((last if stays else self._face_for(character), character))
        for face, pairs in groupby(chosen, key=lambda pair: pair[0]):
            yield face, "".join(character for _, character in pairs)

    def width(self, text: str, size: int) -> float:
        """Advance of `text` in pixels."""
        return sum(face.at(size).getlength(run) for face, run in self.runs(text))

    def shorten(self, text: str, size: int, room: float) -> str:
        """`text`, or as much of its beginning as fits into `room` pixels, with an ellipsis."""
        if self.width(text, size) <= room:
            return text
        dots = _ELLIPSIS if any(ord(_ELLIPSIS) in face.covered for face in self.faces) else "..."
        kept = text
        while kept and self.width(kept + dots, size) > room:
            kept = kept[:-1]
        return kept + dots

    def _face_for(self, character: str) -> Face:
        point = ord(character)
        return next((face for face in self.faces if point in face.covered), self.faces[0])


def drawable(text: str) -> str:
    """The text as drawn: composed, control characters spelled out, invisible ones left out."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(_drawable(character) for character in composed)


def _drawable(character: str) -> str:
    if character == "▁":  # SentencePiece's mark of a space, which few text fonts have
        return "_"
    category = unicodedata.category(character)
    if category == "Cc":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character, f"\\x{ord(character):02x}")
    if category in {"Cf", "Cs"} or 0xFE00 <= ord(character) <= 0xFE0F:
        return ""
    return " " if category in {"Zs", "Zl", "Zp"} else character


def find_fonts(texts: Iterable[str]) -> FontStack:
    """The fewest faces that together draw all of `texts`.

    Raises PictureError naming the characters no font has, and how to get one.
    """
    needed = {ord(character) for text in texts for character in drawable(text)}
    needed.discard(ord(" "))
    faces = candidates()
    for face in faces:
        if needed <= face.covered:
            return FontStack((face,))
    chosen: list[Face] = []
    left = set(needed)
    while left:
        # The first of those that have most: the order of preference decides between equals.
        best = max(faces, key=lambda face: len(left & face.covered), default=None)
        if best is None or not left & best.covered:
            break
        chosen.append(best)
        left -= best.covered
    if left:
        raise PictureError(_missing(left))
    return FontStack(tuple(chosen))


def _missing(points: set[int]) -> str:
    shown = " ".join(chr(point) for point in sorted(points)[:_SHOWN_MISSING])
    more = f" and {len(points) - _SHOWN_MISSING} more" if len(points) > _SHOWN_MISSING else ""
    hangul = any(low <= point <= high for point in points for low, high in _HANGUL)
    if hangul:
        advice = "Get a Korean font with: pip install 'polyhead[plot]'"
        if sys.platform.startswith("linux"):
            advice += " (or, on Debian and Ubuntu: apt-get install fonts-nanum)"
    elif sys.platform.startswith("linux"):
        advice = "Install one that has them, for example: apt-get install fonts-noto"
    else:
        advice = "Install one that has them, for example Noto Sans"
    what = "character" if len(points) == 1 else "characters"
    return (
        f"no font on this machine can draw the {what} {shown}{more}. {advice}. "
        "Or save as .html, which a browser draws with its own fonts."
    )


def candidates() -> list[Face]:
    """All faces found, the preferred ones first, Pillow's own last."""
    files = [file for folder in [*system_folders(), *extra_folders()] for file in _files(folder)]
    return [*(Face(file) for file in sorted(files, key=_preference)), Face(None)]


def _preference(file: Path) -> tuple[int, str]:
    name = file.name.lower().replace(" ", "").replace("_", "")
    for rank, beginning in enumerate(_PREFERRED):
        if name.startswith(beginning):
            return rank, name
    # Upright, regular faces before bold and slanted ones.
    odd = any(word in name for word in ("bold", "italic", "oblique", "black", "light", "thin"))
    return len(_PREFERRED) + odd, name


@lru_cache(maxsize=64)
def _files(folder: Path) -> tuple[Path, ...]:
    try:
        files = sorted(folder.rglob("*"))
    except OSError:
        return ()
    return tuple(
        file
        for file in files
        if file.suffix.lower() in _ENDINGS
        and not file.name.lower().replace("-", "").startswith(_UNUSABLE)
    )


def system_folders() -> list[Path]:
    """Where Linux, macOS and Windows keep fonts, those that exist here."""
    home = Path.home()
    folders = [
        *(Path(folder) / "fonts" for folder in _data_folders()),
        home / ".fonts",
        home / ".local/share/fonts",
        Path("/System/Library/Fonts"),
        Path("/Library/Fonts"),
        home / "Library/Fonts",
        Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts",
        Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft/Windows/Fonts",
    ]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def _data_folders() -> list[str]:
    given = os.environ.get("XDG_DATA_DIRS", "").split(os.pathsep)
    return [*filter(None, given), "/usr/local/share", "/usr/share"]


def extra_folders() -> list[Path]:
    """The fonts of the extra `plot` (NanumGothic, under the Open Font License), if installed."""
    spec = find_spec("koreanize_matplotlib")  # does not import it: it would import matplotlib
    places = spec.submodule_search_locations if spec else None
    return [Path(place) / "fonts" for place in places or []]
