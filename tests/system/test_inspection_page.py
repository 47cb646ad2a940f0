"""The attention page in a real browser: what a person points at, chooses and sees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyhead.inspection import AttentionMaps

SOURCE = ["저는", "책", "을", "읽었다", "."]
TARGET = ["<s>", "I", "read", "a", "book", "."]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.xdist_group("browser")


def example() -> AttentionMaps:
    def softmax(*shape: int, causal: bool = False) -> np.ndarray:
        logits = np.random.default_rng(0).normal(size=shape)
        if causal:
            logits = np.where(np.tri(shape[-1], dtype=bool), logits, -np.inf)
        exponentials = np.exp(logits)
        return (exponentials / exponentials.sum(-1, keepdims=True)).astype(np.float32)

    cross = softmax(3, 4, 6, 5)
    cross[2, 3, 4] = [0.1, 0.9, 0, 0, 0]  # layer 3, head 4: "book" attends to "책"
    attention = {
        "encoder": softmax(3, 4, 5, 5),
        "decoder": softmax(3, 4, 6, 6, causal=True),
        "cross": cross,
    }
    return AttentionMaps(SOURCE, TARGET, attention, title='a <b>title</b> & "more"')


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    binary = os.environ.get("POLYHEAD_CHROMIUM", "/usr/bin/chromium")
    if not Path(binary).is_file():
        pytest.skip(f"no browser at {binary}; install chromium or set POLYHEAD_CHROMIUM")
    with playwright.sync_playwright() as started:
        profile = tmp_path_factory.mktemp("profile")
        context = started.chromium.launch_persistent_context(
            str(profile), executable_path=binary, args=FLAGS, headless=True
        )
        yield context
        context.close()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of the example, which must neither complain nor ask anything of the network."""
    file = example().save(tmp_path / "a.html")
    page = browser.new_page()
    page.set_default_timeout(10_000)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or trouble.append(r.url))
    page.goto(file.as_uri())
    yield page
    page.close()
    assert trouble == []


def test_it_opens_on_cross_attention_of_the_last_layer(page: Any) -> None:
    assert page.inner_text("h1") == 'a <b>title</b> & "more"'
    assert page.inner_text("#caption") == "Cross-attention · layer 3 · mean of 4 heads"
    assert page.locator("#queries .word").all_inner_texts() == TARGET
    assert page.locator("#keys .word").all_inner_texts() == SOURCE
    assert page.locator("#lines path").count() > 10


def test_pointing_at_a_word_shows_what_it_attends_to(page: Any) -> None:
    page.select_option("#layer", label="3")
    page.select_option("#head", label="4")
    page.hover("#queries .word >> nth=4")
    assert page.inner_text("#readout") == "book attends to 책 90 % · 저는 10 %"
    assert page.locator("#keys .weight").all_inner_texts() == ["10 %", "90 %", "", "", ""]
    page.hover("#keys .word >> nth=1")
    assert page.inner_text("#readout").startswith("책 is attended to by book 90 %")
    page.mouse.move(1, 1)
    assert page.inner_text("#readout").startswith("Point at a word")


def test_a_clicked_word_stays_until_escape(page: Any) -> None:
    page.click("#queries .word >> nth=2")
    page.mouse.move(1, 1)
    page.focus("#layer")
    assert page.inner_text("#readout").startswith("read attends to")
    page.keyboard.press("Escape")
    assert page.inner_text("#readout").startswith("Point at a word")


def test_the_keyboard_reaches_words_layers_and_heads(page: Any) -> None:
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#caption") == "Cross-attention · layer 2 · head 1"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#caption") == "Cross-attention · layer 2 · mean of 4 heads"
    page.focus("#queries .word >> nth=0")
    page.keyboard.press("Tab")
    assert page.inner_text("#readout").startswith("I attends to")
    page.focus('.head[aria-checked="true"]')
    page.keyboard.press("ArrowDown")
    chosen = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert chosen == "Layer 3, mean of heads"


def test_the_matrix_tells_the_weight_of_a_cell(page: Any) -> None:
    page.get_by_label("Matrix", exact=True).check()
    page.click('.head[aria-label="Layer 3, head 4"]')
    cell = float(page.evaluate("getComputedStyle(cells).width.replace('px', '')")) / len(SOURCE)
    page.hover("#cells", position={"x": 1.5 * cell, "y": 4.5 * cell})
    assert page.inner_text("#tooltip").split() == ["book", "→", "책", "0.9000"]
    dark = page.evaluate(
        "([x, y]) => { const c = document.getElementById('cells');"
        "const s = c.width / 5; return [...c.getContext('2d')"
        ".getImageData((x + .5) * s, (y + .5) * s, 1, 1).data].slice(0, 3) }",
        [1, 4],
    )
    assert sum(dark) < 200
    page.focus("#cells")
    page.keyboard.press("Shift+ArrowLeft")
    assert page.inner_text("#tooltip").split() == ["book", "→", "저는", "0.1000"]


def test_every_kind_can_be_chosen_and_the_decoder_looks_back_only(page: Any) -> None:
    page.get_by_label("Decoder").check()
    assert page.inner_text("#caption").startswith("Decoder self-attention")
    page.hover("#queries .word >> nth=0")
    assert page.inner_text("#readout") == "<s> attends to <s> 100 %"
    page.get_by_label("Encoder").check()
    assert page.locator("#queries .word").all_inner_texts() == SOURCE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_shows_it_without_scrolling_sideways(page: Any, scheme: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.emulate_media(color_scheme=scheme)
    for view in ("Words", "Matrix"):
        page.get_by_label(view, exact=True).check()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(18, 20, 27)") == (scheme == "dark")
