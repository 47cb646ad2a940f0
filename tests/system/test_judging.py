"""`evaluate`, `score`, `explain` and `inspect`: their JSON is what other programs read."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from polyhead_system import check_told, inside, journal, outside

from polyhead import api

pytestmark = pytest.mark.xdist_group("trained")
TEXT = "그 다리는 그 광장보다 더 평화롭습니다."


@pytest.fixture(scope="module")
def copy(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluating writes the model card."""
    run = tmp_path_factory.mktemp("copy") / "run"
    return Path(shutil.copytree(trained, run, ignore=shutil.ignore_patterns("checkpoints")))


@pytest.fixture(scope="module")
def report(copy: Path) -> dict[str, Any]:
    outcome = outside("evaluate", copy, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json()  # which fails unless stdout is one JSON document


def test_evaluate_json_has_the_keys_of_the_contract(report: dict[str, Any], copy: Path) -> None:
    assert report["run"] == str(copy)
    assert report["split"] == "test"
    assert report["examples"] == 50
    assert report["seconds"] > 0
    assert report["tokens_per_second"] > 0
    metrics = report["metrics"]
    for name in ("bleu", "chrf", "ter"):
        assert metrics[name].keys() == {"score", "low", "high", "signature"}
        assert metrics[name]["low"] <= metrics[name]["high"]
        assert "version:" in metrics[name]["signature"]
        assert "bs:1000" in metrics[name]["signature"]
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["nll"]))
    assert 0 < metrics["bits_per_byte"] < 8


def test_the_library_gives_the_same_report(report: dict[str, Any], copy: Path) -> None:
    again = api.load(copy).evaluate()
    assert again["metrics"] == report["metrics"]


def test_evaluate_writes_the_scores_into_the_model_card(report: dict[str, Any], copy: Path) -> None:
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert f"| bleu | {report['metrics']['bleu']['score']:.2f}, 95% [" in card
    command = "polyhead evaluate RUN --split test --beam 2 --alpha 0.6 --precision fp32"
    assert f"`{command}`, 50 examples" in card
    assert "| device | cpu |\n| training precision | fp32 |\n| threads | " in card
    assert "{" not in card.split("## Recipe")[0]  # tables, no raw values
    words = [str(copy) if word == "RUN" else word for word in command.split()[1:]]
    assert inside(*words, "--json").json()["metrics"] == report["metrics"]


def test_two_files_score_as_the_split_they_are(
    report: dict[str, Any], copy: Path, corpus: Path
) -> None:
    card = (copy / "README.md").read_bytes()
    files = ("--source", corpus / "test.ko", "--reference", corpus / "test.en")
    found = inside("evaluate", copy, *files, "--json").json()
    assert found["split"] == "files"
    assert found["metrics"] == report["metrics"]
    assert (copy / "README.md").read_bytes() == card


def test_the_valid_split_has_the_nll_that_training_wrote(copy: Path, trained: Path) -> None:
    best = min(e["nll"] for e in journal(trained) if e["kind"] == "valid")
    found = inside("evaluate", copy, "--split", "valid", "--json").json()
    assert found["metrics"]["nll"] == pytest.approx(best, rel=1e-5)


def test_evaluate_for_a_person_shows_scores_intervals_and_signatures(copy: Path) -> None:
    lines = inside("evaluate", copy, "--split", "valid").lines
    assert [line.split()[0] for line in lines[1:4]] == ["bleu", "chrf", "ter"]
    assert all("95% [" in line and "version:" in line for line in lines[1:4])


def test_what_is_longer_than_the_model_is_cut_and_said_and_so_are_pairs_that_score_nothing(
    copy: Path, tmp_path: Path
) -> None:
    for end in ("ko", "en"):
        content = f"{TEXT}\n{'아주 긴 문장 ' * 400}\n"
        (tmp_path / f"long.{end}").write_text(content, encoding="utf-8")
    files = (tmp_path / "long.ko", tmp_path / "long.en")
    outcome = inside("evaluate", copy, "--source", files[0], "--reference", files[1], "--json")
    assert outcome.code == 0
    assert outcome.json()["examples"] == 2
    assert "long.en, line 2: " in outcome.err
    assert "target tokens, cut to the model's 127" in outcome.err
    outcome = inside("score", copy, "--source", files[0], "--target", files[1])
    assert outcome.code == 0
    assert "line 2: " in outcome.err
    assert len(outcome.lines) == 2


def test_score_gives_a_log_probability_and_a_token_count_per_line(copy: Path, corpus: Path) -> None:
    files = ("--source", corpus / "test.ko", "--target", corpus / "test.en")
    rows = inside("score", copy, *files, "--json").json()
    assert [row["line"] for row in rows] == list(range(1, 51))
    assert all(row.keys() == {"line", "log_probability", "tokens"} for row in rows)
    plain = inside("score", copy, *files).lines
    assert [float(line) for line in plain] == pytest.approx(
        [row["log_probability"] for row in rows], abs=1e-5
    )
    nll = inside("evaluate", copy, "--json").json()["metrics"]["nll"]
    total = sum(row["log_probability"] for row in rows)
    assert -total / sum(row["tokens"] for row in rows) == pytest.approx(nll, rel=1e-6)


def test_a_pair_scores_the_same_alone_and_among_others(copy: Path, corpus: Path) -> None:
    sources, targets = (
        (corpus / f"test.{end}").read_text(encoding="utf-8").splitlines() for end in ("ko", "en")
    )
    translator = api.load(copy)
    together = translator.score(sources, targets)
    alone = [translator.score([s], [t])[0] for s, t in zip(sources, targets, strict=True)]
    assert together == pytest.approx(alone, abs=1e-4)


@torch.inference_mode()
def test_int8_judges_with_the_head_it_decodes_with(trained: Path) -> None:
    plain, small = (api.load(trained, precision) for precision in ("fp32", "int8"))
    corpus = small.task.read("test", print)
    batch = corpus.batch(np.arange(len(corpus)))
    hidden = small.model(batch.source, batch.source_positions, batch.inputs, batch.positions)
    logits = small.model.head(hidden)
    chances = logits.log_softmax(dim=-1).gather(2, batch.labels[..., None])[..., 0]
    wanted = chances.where(batch.positions >= 0, 0).sum(dim=1)
    assert small.task.log_probabilities(small.model, corpus) == pytest.approx(wanted, abs=1e-3)
    exact = torch.nn.functional.linear(hidden, small.model.head.weight)
    assert (logits - exact).abs().max() > 0.01, "the packed head is as good as the other"
    nll = (one.task.judge(one.model, corpus).nll for one in (small, plain))
    assert next(nll) == pytest.approx(next(nll), abs=0.02)


def test_explain_shows_tokens_ids_and_what_is_unknown(trained: Path) -> None:
    found = inside("explain", trained, TEXT, "--json").json()
    assert found.keys() == {"tokens", "ids", "unknown"}
    assert len(found["tokens"]) == len(found["ids"]) > 3
    assert found["unknown"] == []
    lines = inside("explain", trained, TEXT).lines
    assert [int(line.split("\t")[0]) for line in lines] == found["ids"]
    assert [line.split("\t")[1] for line in lines] == found["tokens"]


def test_inspect_json_has_every_layer_and_head_in_rows_that_sum_to_one(
    trained: Path, tmp_path: Path
) -> None:
    target = "That bridge is more peaceful."
    out = tmp_path / "new" / "map.json"
    outcome = inside("inspect", trained, TEXT, "--target", target, "--out", out)
    assert (outcome.code, outcome.out) == (0, f"{out}\n")
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found.keys() == {"source_tokens", "target_tokens", "attention"}
    s, t = len(found["source_tokens"]), len(found["target_tokens"])
    shapes = {"encoder": (1, 2, s, s), "decoder": (1, 2, t, t), "cross": (1, 2, t, s)}
    assert found["attention"].keys() == shapes.keys()
    for kind, shape in shapes.items():
        weights = np.array(found["attention"][kind])
        assert weights.shape == shape
        assert np.allclose(weights.sum(axis=-1), 1, atol=1e-5)
    decoder = np.array(found["attention"]["decoder"])
    assert np.all(decoder[..., ~np.tri(t, dtype=bool)] == 0)


def test_inspect_draws_a_page_and_a_picture_of_the_models_own_translation(
    trained: Path, tmp_path: Path
) -> None:
    assert inside("inspect", trained, TEXT, "--out", tmp_path / "map.html").code == 0
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "http://" not in page.replace("http://www.w3.org/", "")  # it needs no network
    outcome = inside("inspect", trained, TEXT, "--out", tmp_path / "map.png")
    if outcome.code == 1 and "font" in outcome.err:
        pytest.skip(f"no font that draws Korean: {outcome.err}")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_inspect_wants_a_text_of_a_length_the_model_takes_and_a_known_ending(
    trained: Path, tmp_path: Path
) -> None:
    pdf = tmp_path / "map.pdf"
    told = inside("inspect", trained, TEXT, "--out", pdf)
    check_told(told, 2, "map.pdf", ".png", ".html", ".json")
    out = tmp_path / "map.json"
    check_told(inside("inspect", trained, "", "--out", out), 2, "no text to look at")
    long = "아주 긴 문장 " * 200
    check_told(inside("inspect", trained, long, "--out", out), 2, "more than the model's 127")
    told = inside("inspect", trained, TEXT, "--target", long, "--out", out)
    check_told(told, 2, "more than the model's 127")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "sides"),
    [
        ("score", ("source", "target")),
        ("align", ("source", "target")),
        ("evaluate", ("source", "reference")),
    ],
)
def test_one_of_two_aligned_files_may_be_standard_input(
    trained: Path, corpus: Path, command: str, sides: tuple[str, str]
) -> None:
    first, second = corpus / "test.ko", corpus / "test.en"
    files = (f"--{sides[0]}", first, f"--{sides[1]}", second)
    piped = (f"--{sides[0]}", "-", f"--{sides[1]}", second)
    wanted = inside(command, trained, *files)
    found = outside(command, trained, *piped, stdin=first.read_bytes())
    assert found.code == 0, found.err
    kept = [line for line in wanted.lines if "tokens/s" not in line]
    assert [line for line in found.lines if "tokens/s" not in line] == kept
    check_told(inside(command, trained, f"--{sides[0]}", "--json"), 2)
    if command == "evaluate":  # two runs read one pipe
        told = outside(
            command, trained, *piped, "--against", trained, "--json", stdin=first.read_bytes()
        )
        report = told.json()
        assert report["against"]["metrics"] == report["metrics"]
