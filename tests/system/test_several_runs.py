"""RUN1,RUN2 decide together; --alternatives; evaluate --against and --corrupt."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from polyhead_system import change_info, check_told, inside, write_recipe

from polyhead import api
from polyhead.data.examples import Ragged
from polyhead.data.pairs import Pairs
from polyhead.data.tokenizers import END_ID
from polyhead.errors import UsageError
from polyhead.runs.folder import Run

pytestmark = pytest.mark.xdist_group("trained")


@pytest.fixture(scope="module")
def lines(corpus: Path) -> list[str]:
    return (corpus / "test.ko").read_text(encoding="utf-8").splitlines()[:8]


@pytest.fixture(scope="module")
def copy(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluating writes the model card and a picture."""
    run = tmp_path_factory.mktemp("several") / "run"
    return Path(shutil.copytree(trained, run, ignore=shutil.ignore_patterns("checkpoints")))


def test_an_ensemble_scores_tokens_with_the_mean_of_its_members_probabilities(
    trained: Path, rival: Path, corpus: Path, lines: list[str]
) -> None:
    both = api.load(f"{trained},{rival}")
    targets = (corpus / "test.en").read_text(encoding="utf-8").splitlines()[:8]
    found = np.array(both.score(lines, targets))
    members = np.array([api.load(run).score(lines, targets) for run in (trained, rival)])
    assert np.all(found >= members.mean(axis=0) - 1e-4)  # a mean is at least the geometric mean
    assert np.abs(found - members).min() > 1e-3
    same = np.array(api.load(f"{trained},{trained}").score(lines, targets))
    assert same == pytest.approx(members[0], abs=1e-4)


@pytest.mark.parametrize("options", [(), ("--beam", 1), ("--sample", "--seed", 3)], ids=str)
def test_an_ensemble_translates_a_line_for_a_line(
    trained: Path, rival: Path, corpus: Path, options: tuple[object, ...]
) -> None:
    found = inside("translate", f"{trained},{rival}", corpus / "test.ko", *options)
    assert found.code == 0, found.err
    assert len(found.lines) == 50
    alone = inside("translate", trained, corpus / "test.ko", *options).lines
    assert found.lines != alone


def test_an_ensembles_scores_are_those_it_gives_by_forced_decoding(
    trained: Path, rival: Path, lines: list[str]
) -> None:
    both = f"{trained},{rival}"
    stdin = "".join(f"{line}\n" for line in lines).encode()
    options = ("--nbest", 2, "--scores", "--alpha", 0)
    rows = [line.split("\t") for line in inside("translate", both, *options, stdin=stdin).lines]
    assert [(int(row[0]), int(row[1])) for row in rows] == [
        (line, rank) for line in range(1, 9) for rank in (1, 2)
    ]
    translator = api.load(both)
    best = [h[0] for h in translator.search(lines, translator.options(beam=2, alpha=0.0))]
    corpus = translator.task.encode([Pairs(lines, lines, [1] * 8, [""] * 8)])
    written = [[*h.tokens, END_ID] if h.ended else list(h.tokens) for h in best]
    corpus.examples.targets = Ragged(written)
    forced = translator.task.log_probabilities(translator.model, corpus)
    found = np.array([float(row[2]) for row in rows[::2]])
    assert found == pytest.approx(forced, abs=1e-3)


def test_evaluating_an_ensemble_names_its_runs_and_writes_no_card(
    trained: Path, rival: Path
) -> None:
    cards = [(run / "README.md").read_bytes() for run in (trained, rival)]
    report = inside("evaluate", f"{trained},{rival}", "--json").json()
    assert report["run"] == f"{trained},{rival}"
    assert report["metrics"]["nll"] > 0
    assert [(run / "README.md").read_bytes() for run in (trained, rival)] == cards


def test_runs_of_other_vocabularies_cannot_decide_together(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    changes = {"tokenizer": {"vocab_size": 400}, "training": {"max_steps": 1}}
    recipe = write_recipe(tmp_path / "other.yaml", corpus, **changes)
    assert inside("train", recipe, "--out", tmp_path / "other").code == 0
    told = inside("translate", f"{trained},{tmp_path / 'other'}", corpus / "test.ko")
    check_told(told, 2, "vocabularies differ", "500 and 400 tokens", "another seed")


def test_a_missing_member_and_a_lone_comma_are_told(trained: Path, corpus: Path) -> None:
    told = inside("translate", f"{trained},no/run", corpus / "test.ko")
    check_told(told, 2, "no run folder no/run")
    check_told(inside("translate", f"{trained},", corpus / "test.ko"), 2, "write RUN1,RUN2")


def test_one_run_at_a_time_is_looked_into(trained: Path, rival: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.json"
    told = inside("inspect", f"{trained},{rival}", "그 다리", "--out", out)
    check_told(told, 2, "for one run at a time")
    check_told(
        inside("inspect", f"{trained},{rival}", "--positions", "--out", out), 2, "for one run"
    )


def test_alternatives_part_after_the_prefix(trained: Path, lines: list[str]) -> None:
    stdin = f"{lines[0]}\n\n{lines[1]}\n".encode()
    options = ("--prefix", "The", "--alternatives", 3, "--scores")
    found = inside("translate", trained, *options, stdin=stdin)
    assert found.code == 0, found.err
    rows = [line.split("\t") for line in found.lines]
    assert [(row[0], row[1]) for row in rows] == [
        *(("1", str(rank)) for rank in (1, 2, 3)),
        ("2", "1"),
        *(("3", str(rank)) for rank in (1, 2, 3)),
    ]
    for group in (rows[:3], rows[4:]):
        texts = [text for _, _, _, text in group]
        assert len(set(texts)) == 3
        assert all(text.startswith("The") for text in texts)
        scores = [float(score) for _, _, score, _ in group]
        assert scores == sorted(scores, reverse=True)


def test_alternatives_have_their_own_count(trained: Path, corpus: Path) -> None:
    for options in (("--sample",), ("--nbest", 2)):
        told = inside("translate", trained, corpus / "test.ko", "--alternatives", 2, *options)
        check_told(told, 2, "--alternatives goes with neither")
    told = inside("translate", trained, corpus / "test.ko", "--alternatives", 0)
    check_told(told, 2, "--alternatives 0 is not at least 1")


# --- evaluate --against, --corrupt


@pytest.fixture(scope="module")
def compared(copy: Path, rival: Path) -> dict[str, Any]:
    damages = ("--corrupt", "omit=0.2,0.6", "--corrupt", "truncate=0.5")
    outcome = inside("evaluate", copy, "--against", rival, *damages, "--json")
    assert outcome.code == 0, outcome.err
    assert f"picture: {copy / 'damage.png'}" in outcome.err
    return outcome.json()


def test_against_has_both_runs_scores_and_their_difference(
    compared: dict[str, Any], rival: Path
) -> None:
    other = compared["against"]
    assert other["run"] == str(rival)
    alone = api.load(rival).evaluate()["metrics"]
    assert other["metrics"] == alone
    assert other["difference"].keys() == {"bleu", "chrf", "ter"}
    for name, found in other["difference"].items():
        assert found.keys() == {"value", "low", "high", "p_value"}
        value = compared["metrics"][name]["score"] - alone[name]["score"]
        assert found["value"] == pytest.approx(value, abs=1e-6)
        assert found["low"] <= found["high"]
        assert 0 < found["p_value"] <= 1


def test_the_card_keeps_scores_that_its_command_gives(
    copy: Path, corpus: Path, rival: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, tokenizer={"lowercase": True})
    small = tmp_path / "small"
    assert inside("train", recipe, "training.max_steps=2", "--out", small).code == 0
    own = api.load(copy).evaluate()["metrics"]["bleu"]
    for against, signature, said in ((rival, "case:mixed", False), (small, "case:lc", True)):
        card = (copy / "README.md").read_text(encoding="utf-8")
        outcome = inside("evaluate", copy, "--against", against, "--json")
        assert signature in outcome.json()["metrics"]["bleu"]["signature"]
        assert ("these scores are not the model card's" in outcome.err) == said
        assert (copy / "README.md").read_text(encoding="utf-8") == card
        assert f"| bleu | {own['score']:.2f}, 95% [" in card
        assert "case:mixed" in card
    told: list[str] = []
    api.load(copy).evaluate(max_length=1, say=told.append)
    assert "the scores depend on max_length: they are not the model card's" in told
    assert (copy / "README.md").read_text(encoding="utf-8") == card


def test_corrupt_scores_each_kind_and_rate_of_both_runs(
    compared: dict[str, Any], copy: Path
) -> None:
    asked = [("omit", 0.2), ("omit", 0.6), ("truncate", 0.5)]
    for part in (compared, compared["against"]):
        assert [(one["kind"], one["rate"]) for one in part["corrupt"]] == asked
        for one in part["corrupt"]:
            assert one["metrics"].keys() >= {"bleu", "chrf", "nll", "perplexity"}
            assert one["metrics"]["nll"] != part["metrics"]["nll"]
    nll = [one["metrics"]["nll"] for one in compared["corrupt"]]
    assert compared["metrics"]["nll"] < nll[0] < nll[1]
    assert (copy / "damage.png").read_bytes().startswith(b"\x89PNG")


def test_rate_zero_is_the_score_of_the_whole_sentences(rival: Path, tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    options = ("--corrupt", "swap=0", "--picture", picture, "--json", "--split", "valid")
    report = inside("evaluate", rival, *options).json()
    (found,) = report["corrupt"]
    assert found["metrics"]["bleu"] == report["metrics"]["bleu"]
    assert found["metrics"]["nll"] == report["metrics"]["nll"]
    assert picture.is_file()


def test_a_person_gets_tables(copy: Path, rival: Path) -> None:
    options = ("--split", "valid", "--against", rival, "--corrupt", "shift=0.5")
    lines = inside("evaluate", copy, *options).lines
    start = lines.index(f"difference: {copy} less {rival}")
    assert [line.split()[0] for line in lines[start + 1 : start + 4]] == ["bleu", "chrf", "ter"]
    assert all("95% [" in line and "p = " in line for line in lines[start + 1 : start + 4])
    for run in (copy, rival):
        start = lines.index(f"damaged sources, {run}")
        table = [line.split()[:2] for line in lines[start + 1 : start + 4]]
        assert table == [["damage", "rate"], ["none", "0"], ["shift", "0.5"]]


def test_other_sentences_are_not_compared_but_two_files_are(
    copy: Path, corpus: Path, rival: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(rival, other, ignore=shutil.ignore_patterns("checkpoints"))
    recipe = yaml.safe_load((other / "recipe.yaml").read_text(encoding="utf-8"))
    recipe["data"]["test"] = recipe["data"]["valid"]
    (other / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    told = inside("evaluate", copy, "--against", other)
    check_told(told, 1, "different test data (50 sentences and 20)", "--source F --reference F")
    files = ("--source", corpus / "valid.ko", "--reference", corpus / "valid.en")
    report = inside("evaluate", copy, "--against", other, *files, "--json").json()
    assert report["examples"] == 20
    assert report["against"]["run"] == str(other)


def test_what_cannot_be_drawn_or_damaged_is_told_before_anything_is_decoded(copy: Path) -> None:
    told = inside("evaluate", copy, "--corrupt", "omitt=0.1")
    check_told(told, 2, "did you mean omit?")
    told = inside("evaluate", copy, "--corrupt", "omit=0.1", "--picture", "x.pdf")
    check_told(told, 2, "must end in .png")
    told = inside("evaluate", copy, "--picture", "x.png")
    check_told(told, 2, "a picture of damage needs damages")
    told = inside("evaluate", copy, "--corrupt", "omit=0.3", "--seed", -1)
    check_told(told, 2, "seed -1 is not between 0 and 2^63")


def test_a_translator_is_compared_with_translators_only(copy: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(copy, tmp_path / "other"))
    words = yaml.safe_load((other / "recipe.yaml").read_text(encoding="utf-8"))
    size = {"d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 64}
    words |= {"task": "language_modeling", "model": {"kind": "gpt", **size}}
    words["data"] = {"train": "a.txt", "valid": "a.txt", "context": 24}
    (other / "recipe.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
    change_info(other, task="language_modeling", model="gpt")
    told = inside("evaluate", copy, "--against", other)
    check_told(told, 2, f"{other} is a run of the task language_modeling, {copy} of translation;")
    with pytest.raises(UsageError, match="two runs of one task are compared"):
        api.load(copy).evaluate(against=f"{copy},{other}")


def test_what_train_returns_is_loaded_and_compared_like_its_folder(copy: Path) -> None:
    run = Run.open(copy)
    translator = api.load(run)
    assert translator.run.path == copy
    report = translator.evaluate("valid", against=run)
    assert report["against"]["run"] == str(copy)
