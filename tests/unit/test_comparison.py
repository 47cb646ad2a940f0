"""Paired bootstrap as sacreBLEU does it; what each damage does to a sentence; its picture."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from polyhead.errors import UsageError
from polyhead.evaluation.damage import KINDS, Damage, parse_damages
from polyhead.inspection.axes import round_steps
from polyhead.inspection.curves import INKS, save_curves_picture
from polyhead.metrics.paired import paired_differences

WORDS = [f"w{i}" for i in range(10)]
TEXT = " ".join(WORDS)


def noisy(references: list[str], share: float, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(w if draw.random() > share else "x" for w in r.split()) for r in references]


@pytest.fixture(scope="module")
def references() -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices("abcdefghij", k=draw.randint(5, 15))) for _ in range(120)]


# --- paired bootstrap


def test_scores_and_p_values_are_sacrebleus(references: list[str]) -> None:
    ours, theirs = noisy(references, 0.20, 1), noisy(references, 0.24, 2)
    found = paired_differences(ours, theirs, references, "en", names=("bleu", "chrf"))
    test = PairedTest(
        [("baseline", theirs), ("ours", ours)],
        {"BLEU": BLEU(), "chrF2": CHRF()},
        [references],
        test_type="bs",
        n_samples=1000,
    )
    _, results = test()
    for name, theirs_name in (("bleu", "BLEU"), ("chrf", "chrF2")):
        baseline, system = results[theirs_name]
        assert found[name]["value"] == pytest.approx(system.score - baseline.score, abs=1e-4)
        assert found[name]["p_value"] == pytest.approx(system.p_value)
        assert 0.001 < found[name]["p_value"] < 0.999
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_a_clear_difference_is_significant_and_changes_its_sign_with_the_order(
    references: list[str],
) -> None:
    good, bad = noisy(references, 0.05, 1), noisy(references, 0.5, 2)
    found = paired_differences(good, bad, references, "en")
    back = paired_differences(bad, good, references, "en")
    for name, sign in (("bleu", 1), ("chrf", 1), ("ter", -1)):  # ter counts mistakes
        assert sign * found[name]["low"] > 0
        assert sign * found[name]["high"] > 0
        assert found[name]["p_value"] < 0.01
        assert back[name]["value"] == pytest.approx(-found[name]["value"])
        assert back[name]["low"] == pytest.approx(-found[name]["high"])


def test_the_same_outputs_differ_by_nothing(references: list[str]) -> None:
    same = noisy(references, 0.2, 1)
    for entry in paired_differences(same, same, references, "en").values():
        assert entry == {"value": 0, "low": 0, "high": 0, "p_value": 1}


# --- damage


def damaged(
    kind: str, rate: float, text: str = TEXT, *, seed: int = 1, place: int = 0
) -> list[str]:
    return Damage(kind, rate).apply(text, "en", seed, place).split()


def test_truncation_leaves_the_beginning() -> None:
    assert damaged("truncate", 0.3) == WORDS[:7]
    assert damaged("truncate", 1.0) == WORDS[:1]


def test_omission_leaves_a_part_in_order() -> None:
    left = damaged("omit", 0.4)
    assert len(left) == 6
    assert left == [w for w in WORDS if w in left]
    assert left != WORDS[:6]
    assert len(damaged("omit", 1.0)) == 1


def test_swapping_exchanges_neighbours_alone() -> None:
    found = damaged("swap", 0.4)
    assert sorted(found) == sorted(WORDS)
    moved = [place for place, word in enumerate(found) if word != WORDS[place]]
    assert len(moved) == 4
    assert all(abs(WORDS.index(word) - place) <= 1 for place, word in enumerate(found))
    assert damaged("swap", 1.0) == [w for i in range(0, 10, 2) for w in (WORDS[i + 1], WORDS[i])]


def test_shifting_puts_the_first_words_last() -> None:
    assert damaged("shift", 0.3) == WORDS[3:] + WORDS[:3]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_depends_on_the_seed_and_the_place_alone(kind: str) -> None:
    def texts(seed: int) -> list[list[str]]:
        return [damaged(kind, 0.25, seed=seed, place=place) for place in range(20)]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert len({tuple(text) for text in texts(1)}) > 1


@pytest.mark.parametrize("kind", KINDS)
def test_rate_zero_and_an_empty_text_change_nothing(kind: str) -> None:
    odd = "two  spaces\u3000and a wide one"
    assert Damage(kind, 0.0).apply(odd, "en", 1, 0) == odd
    assert Damage(kind, 0.5).apply("", "en", 1, 0) == ""
    assert Damage(kind, 1.0).apply("one", "en", 1, 0) == "one"


@pytest.mark.parametrize("kind", ["truncate", "omit"])
def test_a_higher_rate_takes_away_what_a_lower_one_did_and_more(kind: str) -> None:
    for place in range(30):
        low, high = (set(damaged(kind, rate, place=place)) for rate in (0.2, 0.55))
        assert high < low


def test_the_share_of_missing_words_is_the_rate_on_average_even_in_short_texts() -> None:
    counts = [len(damaged("omit", 0.1, "a b c d", place=place)) for place in range(2000)]
    assert set(counts) == {3, 4}
    assert np.mean(counts) == pytest.approx(3.6, abs=0.05)


def test_where_no_spaces_are_written_a_character_is_a_word() -> None:
    assert Damage("truncate", 0.5).apply("我们在这里", "zh", 1, 0) in ("我们", "我们在")
    assert Damage("truncate", 0.5).apply("我们在这里", "en", 1, 0) == "我们在这里"


def test_damages_are_read_from_the_command_line() -> None:
    assert parse_damages(["omit=0.1", "swap=0,0.5"]) == [
        Damage("omit", 0.1),
        Damage("swap", 0.0),
        Damage("swap", 0.5),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("omitt=0.1", r"'omitt' is not one of truncate, omit, swap, shift; did you mean omit\?"),
        ("omit", "the rate '' is not a number from 0 to 1; write for example omit=0.1"),
        ("omit=0.1,x", "the rate 'x' is not"),
        ("omit=1.5", "the rate '1.5' is not"),
        ("omit=nan", "the rate 'nan' is not"),
        ("omit=0.1,0.10", "asked for twice"),
    ],
)
def test_what_is_no_damage_is_told(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_damages([text])


# --- its picture


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.3, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (61.0, [0, 10, 20, 30, 40, 50, 60, 70]),
    ],
)
def test_axes_end_at_a_round_number_that_holds_the_largest(
    largest: float, expected: list[float]
) -> None:
    assert round_steps(largest) == pytest.approx(expected)


@pytest.mark.parametrize("largest", [1e-9, 0.017, 0.5, 3, 7, 8, 99.9, 100, 12345])
def test_axes_have_few_steps_whatever_they_hold(largest: float) -> None:
    steps = round_steps(largest)
    assert 3 <= len(steps) <= 9
    assert steps[-2] < largest <= steps[-1] * (1 + 1e-9)


def test_the_picture_has_a_line_of_its_own_colour_for_each_kind(tmp_path: Path) -> None:
    curves: Mapping[str, list[tuple[float, float, float, float]]] = {
        "omit": [(0, 40, 38, 42), (0.2, 30, 28, 32), (0.4, 15, 13, 17)],
        "swap": [(0, 40, 38, 42), (0.4, 35, 33, 37)],
    }
    path = tmp_path / "new" / "damage.png"
    save_curves_picture({"BLEU": curves, "chrF": curves}, path, title="a run", across="rate")
    picture = np.asarray(Image.open(path).convert("RGB"))
    for ink, drawn in zip(INKS, (True, True, False), strict=False):
        colour = [int(ink[i : i + 2], 16) for i in (1, 3, 5)]
        places = np.argwhere((picture == colour).all(axis=-1))
        assert (len(places) > 3000) == drawn
    omit = np.argwhere((picture == [0x25, 0x63, 0xA8]).all(axis=-1))
    left = omit[omit[:, 1] < picture.shape[1] // 2]
    left = left[left[:, 0] < picture.shape[0] - 200]  # the line, without the key below
    first, last = left[left[:, 1].argmin()], left[left[:, 1].argmax()]
    assert first[0] < last[0]  # it falls


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.png"):
        save_curves_picture({"BLEU": {}}, tmp_path / "x.pdf", title="", across="")
