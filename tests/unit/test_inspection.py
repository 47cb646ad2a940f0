"""Attention and positions as pictures, pages and numbers."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyhead.errors import PolyheadError, UsageError
from polyhead.inspection import AttentionMaps, curves, fonts
from polyhead.inspection.asked import tell_picture
from polyhead.inspection.cmap import covered_characters
from polyhead.inspection.curves import save_curves_picture
from polyhead.inspection.drawing import Lattice, new_sheet
from polyhead.inspection.fonts import Face, candidates, drawable, find_fonts
from polyhead.inspection.html import attention_page
from polyhead.inspection.layout import LONGEST_SIDE, plan
from polyhead.inspection.palette import diverging, sequential, sequential_dark
from polyhead.inspection.png import attention_picture
from polyhead.inspection.positions import save_positions_picture, ticks

ENGLISH = ["I", "read", "an", "old", "book", "with", "my", "friend", "."]
GERMAN = ["Ich", "las", "mit", "meinem", "Freund", "ein", "altes", "Buch", "."]
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--",
    "\"'`",
    "a\u2028b\u2029c",
    "{{DATA}}",
    "",
    "\ud800",
]


def weights(layers: int, heads: int, queries: int, keys: int, causal: bool = False) -> np.ndarray:
    rng = np.random.default_rng(layers * 100 + queries * 10 + keys)
    logits = rng.normal(size=(layers, heads, queries, keys)) * 2
    if causal:
        logits = np.where(np.tri(queries, keys, dtype=bool), logits, -np.inf)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


def translation(
    source: list[str], target: list[str], layers: int = 2, heads: int = 3, **more: str
) -> AttentionMaps:
    m, n = len(source), len(target)
    attention = {
        "encoder": weights(layers, heads, m, m),
        "decoder": weights(layers, heads, n, n, causal=True),
        "cross": weights(layers, heads, n, m),
    }
    return AttentionMaps(source, target, attention, **more)


def payload(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


# --- the value -----------------------------------------------------------------------------------


def test_json_has_layers_heads_queries_and_keys_and_rows_that_sum_to_one(tmp_path: Path) -> None:
    path = translation(GERMAN, ENGLISH).save(tmp_path / "new" / "a.json")
    read = json.loads(path.read_text(encoding="utf-8"))
    assert list(read) == ["source_tokens", "target_tokens", "attention"]
    assert read["source_tokens"] == GERMAN
    shapes = {kind: np.shape(values) for kind, values in read["attention"].items()}
    assert shapes == {"encoder": (2, 3, 9, 9), "decoder": (2, 3, 9, 9), "cross": (2, 3, 9, 9)}
    for values in read["attention"].values():
        np.testing.assert_allclose(np.sum(values, axis=-1), 1, atol=1e-5)


def test_another_ending_is_refused_and_the_three_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.pdf.*\.png.*\.html.*\.json"):
        translation(GERMAN, ENGLISH).save(tmp_path / "a.pdf")


@pytest.mark.parametrize("ending", ["png", "html", "json"])
def test_an_upper_case_ending_is_understood(tmp_path: Path, ending: str) -> None:
    assert translation(GERMAN, ENGLISH).save(tmp_path / f"a.{ending.upper()}").stat().st_size > 0


def test_weights_that_do_not_fit_the_words_are_refused_with_both_sizes() -> None:
    with pytest.raises(PolyheadError, match=r"cross.*\[1, 1, 3, 4\].*9 queries and 9 keys"):
        AttentionMaps(GERMAN, ENGLISH, {"cross": weights(1, 1, 3, 4)})


@pytest.mark.parametrize("wrong", [0.5, float("nan"), -1.0])
def test_rows_that_are_no_weights_are_refused_with_their_place(wrong: float) -> None:
    values = weights(2, 2, 9, 9)
    values[1, 0, 4] *= wrong
    with pytest.raises(PolyheadError, match="layer 2, head 1, query 5"):
        AttentionMaps(GERMAN, ENGLISH, {"cross": values})


def test_a_negative_weight_is_refused_even_where_the_sum_is_one() -> None:
    values = weights(1, 1, 9, 9)
    values[0, 0, 2, :2] = [-1, 1 + values[0, 0, 2, :2].sum()]
    with pytest.raises(PolyheadError, match="query 3"):
        AttentionMaps(GERMAN, ENGLISH, {"cross": values})


def test_a_row_with_nothing_allowed_may_be_all_zero() -> None:
    values = weights(1, 1, 9, 9)
    values[0, 0, 0] = 0
    assert AttentionMaps(GERMAN, ENGLISH, {"cross": values}).attention["cross"].sum() == 8


def test_a_new_kind_says_which_words_it_joins() -> None:
    with pytest.raises(PolyheadError, match="'pooling' has no axes"):
        AttentionMaps(GERMAN, ENGLISH, {"pooling": weights(1, 1, 9, 9)})
    axes = {"pooling": ("target", "source")}
    maps = AttentionMaps(GERMAN, ENGLISH[:4], {"pooling": weights(1, 2, 4, 9)}, axes=axes)
    assert maps.labels("pooling") == (ENGLISH[:4], GERMAN)
    assert attention_picture(maps).width > 0
    assert payload(attention_page(maps))["axes"] == {"pooling": ["target", "source"]}


def test_a_language_model_needs_no_source() -> None:
    maps = AttentionMaps([], ENGLISH, {"decoder": weights(2, 2, 9, 9, causal=True)})
    assert maps.main_kind == "decoder"
    assert attention_picture(maps).height > 0


# --- the picture ---------------------------------------------------------------------------------


def test_the_picture_opens_and_is_not_blank(tmp_path: Path) -> None:
    path = translation(GERMAN, ENGLISH, title="de-en", note="a note").save(tmp_path / "a.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 500
        assert max(picture.size) <= LONGEST_SIDE
        assert len(picture.getcolors(1 << 24)) > 50


def test_the_picture_is_as_large_as_planned_and_every_map_lies_inside() -> None:
    maps = translation(GERMAN, ENGLISH, layers=3, heads=2)
    layout = plan(maps, find_fonts(GERMAN + ENGLISH), top=100)
    assert [grid.kind for grid in layout.grids] == ["encoder", "decoder", "cross"]
    for block in (layout.panels, *layout.grids):
        x, y = block.corner(len(block.rows) - 1, len(block.columns) - 1)
        width, height = block.lattice.size
        assert x + width < layout.size[0]
        assert y + height < layout.size[1]


@pytest.mark.parametrize("cell", [20.0, 6.0, 0.5])
def test_the_darkest_cell_of_a_heat_map_is_where_the_weight_is(cell: float) -> None:
    values = np.full((8, 12), 0.01)
    values[6, 3] = 0.9
    picture = Lattice(8, 12, cell).image(values, sequential(), 0.9).convert("L")
    y, x = np.unravel_index(np.asarray(picture).argmin(), (picture.height, picture.width))
    # The middle of the pixel found.
    assert int((y + 0.5) / picture.height * 8) in ({6} if cell >= 1 else {6, 7})
    assert int((x + 0.5) / picture.width * 12) in ({3} if cell >= 1 else {2, 3})


def test_the_weight_lands_in_its_row_and_column_on_the_page() -> None:
    values = np.zeros((1, 1, 9, 9), dtype=np.float32)
    values[..., 0] = 0.6
    values[..., 1] = 0.4
    values[0, 0, 5] = np.eye(9)[7]
    maps = AttentionMaps(GERMAN, ENGLISH, {"cross": values})
    picture = attention_picture(maps)
    panels = plan(maps, find_fonts(GERMAN + ENGLISH), top=88).panels
    (x, y), cell = panels.corner(0, 0), panels.lattice.cell

    def colour(query: int, key: int) -> tuple[int, ...]:
        found = picture.getpixel((int(x + (key + 0.5) * cell), int(y + (query + 0.5) * cell)))
        assert isinstance(found, tuple)
        return found

    assert colour(5, 7) == tuple(sequential()[-1].tolist())
    assert colour(5, 0) == colour(0, 7) == tuple(sequential()[0].tolist())


@pytest.mark.parametrize("words", [70, 400])
def test_long_sentences_stay_within_bounds_and_the_picture_says_so(words: int) -> None:
    source = [GERMAN[i % 9] for i in range(words)]
    maps = AttentionMaps(source, ENGLISH, {"encoder": weights(6, 8, words, words)})
    layout = plan(maps, find_fonts(source), top=200)
    assert max(layout.size) <= LONGEST_SIDE
    assert layout.label_step > 1


def test_one_layer_with_one_head_is_drawn_once() -> None:
    maps = AttentionMaps(GERMAN, ENGLISH, {"cross": weights(1, 1, 9, 9)})
    assert plan(maps, find_fonts(GERMAN), top=100).grids == []


@pytest.mark.parametrize("colours", [sequential(), sequential_dark()])
def test_lightness_changes_steadily_along_a_palette(colours: np.ndarray) -> None:
    light = (colours / 255.0) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    steps = np.diff(np.cbrt(light))
    assert (np.sign(steps[np.abs(steps) > 2e-3]) == np.sign(light[-1] - light[0])).all()
    assert np.abs(steps).max() < 0.02


def test_the_diverging_palette_is_white_in_the_middle() -> None:
    assert diverging()[127].min() > 235


# --- fonts ---------------------------------------------------------------------------------------


def test_missing_hangul_says_which_characters_and_how_to_get_a_font(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "candidates", lambda: [Face(None)])
    with pytest.raises(PolyheadError) as caught:
        translation(["책", "을"], ENGLISH).save(tmp_path / "a.png")
    for part in ("을 책", "pip install 'polyhead[plot]'", ".html"):
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_missing_glyphs_of_another_script_are_no_matter_of_the_korean_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fonts, "candidates", lambda: [Face(None)])
    with pytest.raises(PolyheadError, match="character Ж") as caught:
        find_fonts(["Ж"])
    assert "plot" not in str(caught.value)


def test_html_and_json_need_no_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "candidates", lambda: [])
    maps = translation(["책", "을"], ENGLISH)
    assert maps.save(tmp_path / "a.html").is_file()
    assert maps.save(tmp_path / "a.json").is_file()


def test_latin_text_is_drawn_without_any_font_on_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fonts, "candidates", lambda: [Face(None)])
    assert attention_picture(translation(GERMAN, ENGLISH)).width > 0


def test_curves_are_drawn_without_any_font_and_where_not_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "candidates", lambda: [Face(None)])
    said: list[str] = []
    for name in ("run", "책"):
        panels = {"BLEU": {name: [(0.0, 1.0, 1.0, 1.0)]}}
        save = partial(
            save_curves_picture, panels, tmp_path / f"{name}.png", title="t", across="minutes"
        )
        tell_picture(save, said.append)
    assert said[0] == f"picture: {tmp_path / 'run.png'}"
    assert said[1].startswith("no picture was drawn: no font on this machine can draw")


def test_eleven_lines_can_be_told_apart() -> None:
    keys = [_key_of(place) for place in range(11)]
    assert len(set(keys)) == 11


def _key_of(place: int) -> bytes:
    """What stands before the name of a picture's line."""
    sheet = new_sheet(80, 40, find_fonts(["a"]))
    sheet.draw.line((0, 20, 80, 20), curves.ink_of(place), curves.LINE)
    curves.draw_dot(sheet, 40, 20, place)
    return sheet.image.tobytes()


def test_the_extra_plot_brings_hangul_without_importing_matplotlib(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not fonts.extra_folders():
        pytest.skip("the extra `plot` is not installed")
    monkeypatch.setattr(fonts, "system_folders", list)
    stack = find_fonts(["▁저는 책을", "read"])
    assert [face.path.name for face in stack.faces if face.path] == ["NanumGothic.ttf"]
    picture = attention_picture(translation(["▁저는", "책", "을"], ENGLISH))
    assert picture.width > 0


def test_a_cmap_is_read_as_pillow_draws_it() -> None:
    for face in [face for face in candidates() if face.path][:3]:
        font = face.at(30)
        missing = bytes(font.getmask("\U0010fffe"))
        assert ord("A") in face.covered
        for point in [*range(0x41, 0x5B), 0x416, 0x5D0, 0xAC00, 0x4E00, 0x1F600]:
            drawn = bytes(font.getmask(chr(point))) != missing
            assert drawn == (point in face.covered), (face.path, hex(point))


def test_a_damaged_font_file_covers_nothing(tmp_path: Path) -> None:
    for name, content in [("a.ttf", b""), ("b.ttf", b"\0\1\0\0\0\x09" + b"x" * 40)]:
        (tmp_path / name).write_bytes(content)
        assert covered_characters(tmp_path / name) == frozenset()


def test_what_cannot_be_seen_is_spelled_out_or_left_out() -> None:
    assert drawable("a\nb\u200d▁c") == "a\\nb_c"
    assert drawable("\u1112\u1161\u11ab") == "한"


# --- the page ------------------------------------------------------------------------------------


def test_the_page_holds_everything_and_refers_to_nothing_outside() -> None:
    page = attention_page(translation(GERMAN, ENGLISH, title="de-en", note="plain evaluation"))
    assert not re.search(r"https?://|@import|\bsrc=|url\(", page)
    assert "{{" not in page
    read = payload(page)
    assert read["source_tokens"] == GERMAN
    assert read["note"] == "plain evaluation"
    np.testing.assert_allclose(np.sum(read["attention"]["decoder"], axis=-1), 1, atol=1e-3)


def test_numbers_on_the_page_have_four_digits() -> None:
    page = attention_page(translation(GERMAN, ENGLISH))
    start = page.index('"attention":{')
    numbers = page[start : page.index("</script>", start)]
    assert not re.search(r"\d\.\d{5}|e-|\b[01]\.0\b", numbers)


def test_hostile_words_and_titles_stay_words_and_titles() -> None:
    title = '</title><img src=x onerror="alert(1)">{{SCRIPT}}'
    page = attention_page(translation(HOSTILE, ENGLISH, title=title, note="</script>"))
    assert payload(page)["source_tokens"] == HOSTILE
    assert "alert(1)</script>" not in page
    assert "<img" not in page
    assert "\u2028" not in page
    assert page.count("<script") == 2
    page.encode("utf-8")


# --- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2), (50, 16), (2100, 8)])
def test_positions_are_drawn_with_their_similarity(tmp_path: Path, shape: tuple[int, int]) -> None:
    encodings = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    path = save_positions_picture(encodings, tmp_path / "p.png", title="Learned positions")
    with Image.open(path) as picture:
        assert picture.width > picture.height > 1000
        assert len(picture.getcolors(1 << 24)) > 20


def test_positions_of_a_wrong_shape_or_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.png"):
        save_positions_picture(np.ones((3, 4)), tmp_path / "p.svg")
    with pytest.raises(PolyheadError, match=r"\[3\].*\[positions, d_model\]"):
        save_positions_picture(np.ones(3), tmp_path / "p.png")
    with pytest.raises(PolyheadError, match="finite"):
        save_positions_picture(np.full((2, 2), np.nan), tmp_path / "p.png")


@pytest.mark.parametrize("count", [1, 7, 9, 10, 64, 128, 500, 5000])
def test_ticks_are_few_and_round(count: int) -> None:
    found = ticks(count)
    assert found[0] == 0
    assert len(found) <= 9
    assert found[-1] < count
    assert str(found[-1] // max(1, len(found) - 1)).rstrip("0") in {"", "1", "2", "5"}
