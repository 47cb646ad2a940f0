"""RUN1,RUN2 decide together; --alternatives shows what else could follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from polyhead_system import check_told, inside, write_recipe

from polyhead import api
from polyhead.data.examples import Ragged
from polyhead.data.pairs import Pairs
from polyhead.data.tokenizers import END_ID

pytestmark = pytest.mark.xdist_group("trained")


@pytest.fixture(scope="module")
def lines(corpus: Path) -> list[str]:
    return (corpus / "test.ko").read_text(encoding="utf-8").splitlines()[:8]


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
    corpus.examples.targets = Ragged([[*h.tokens, END_ID] for h in best])
    forced = translator.task.log_probabilities(translator.model, corpus)
    ended = [h.ended for h in best]
    assert sum(ended) > 3
    found = np.array([float(row[2]) for row in rows[::2]])
    assert found[ended] == pytest.approx(forced[ended], abs=1e-3)


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
    check_told(told, 2, "one run at a time")
    check_told(inside("inspect", f"{trained},{rival}", "--positions", "--out", out), 2, "one run")


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
