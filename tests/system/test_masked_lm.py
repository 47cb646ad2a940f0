"""A masked language model from the command line: train, resume, evaluate, fill, embed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from polyhead_system import check_told, inside, journal

import polyhead

pytestmark = pytest.mark.xdist_group("masked")
WORDS = ("cat", "dog", "hen", "cow", "pig")  # a line says one again and again: easy to fill in


def write_masked_recipe(folder: Path) -> Path:
    for name, count in (("train", 60), ("valid", 20), ("test", 20)):
        lines = [" ".join([WORDS[i * 7 % 5]] * 30) for i in range(count)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe: dict[str, Any] = {
        "name": "mlm",
        "task": "masked_lm",
        "model": {
            "kind": "bert",
            **{"d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 64, "max_length": 32},
        },
        "data": {**{part: f"{part}.txt" for part in ("train", "valid", "test")}, "context": 24},
        "tokenizer": {"kind": "wordpiece", "vocab_size": 60},
        "training": {
            **{"batch_tokens": 384, "max_steps": 120, "validate_every": 60, "precision": "fp32"},
            "optimizer": {"kind": "adamw", "lr": 0.01},
            "schedule": {"kind": "cosine", "warmup_steps": 5},
        },
    }
    path = folder / "mlm.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: look, don't touch."""
    folder = tmp_path_factory.mktemp("masked")
    outcome = inside("train", write_masked_recipe(folder), "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


def test_it_learns_to_fill_in_what_is_missing(run: Path) -> None:
    first, last = (e for e in journal(run) if e["kind"] == "valid")
    assert last["nll"] < first["nll"]
    assert last["nll"] < 1.2
    report = inside("evaluate", run, "--json").json()
    assert report["metrics"]["accuracy"] > 0.5
    assert report == {**polyhead.load(run).evaluate("test"), **_times(report)}
    found = inside("fill", run, "dog dog [MASK] dog", "--top", 3, "--json").json()
    assert len(found) == 1
    assert found[0][0]["token"] == "dog"
    probabilities = [one["probability"] for one in found[0]]
    assert probabilities == sorted(probabilities, reverse=True)
    (every,) = inside("fill", run, "dog [MASK]", "--top", 9999, "--json").json()
    assert sum(one["probability"] for one in every) == pytest.approx(1, abs=1e-5)
    specials = ("<pad", "<s>", "</s>", "<mask")
    assert not any(special in one["token"] for one in every for special in specials)
    two = inside("fill", run, "cow [MASK] cow [MASK] cow").lines
    assert [line.split("\t")[0] for line in two] == ["1"] * 5 + ["2"] * 5
    maps = polyhead.load(run).attention("hen [MASK]hen [MASK] hen")
    *goes_on, mask, word, _ = maps.source_tokens[3:]
    assert "".join(goes_on) == "hen"  # no mark: there is no space before it
    assert (mask, word) == ("<mask>", "▁hen")


def _times(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report[key] for key in ("seconds", "tokens_per_second")}


def test_resuming_is_exact(tmp_path: Path) -> None:
    proof = inside("verify-resume", write_masked_recipe(tmp_path), "--steps", 8, "--json").json()
    assert (proof["identical"], proof["max_difference"]) == (True, 0)


def test_two_runs_are_compared_on_the_same_masks(run: Path, tmp_path: Path) -> None:
    recipe = write_masked_recipe(tmp_path)
    for name, change in (("few", "seed=7"), ("other", "tokenizer.kind=char")):
        outcome = inside(
            *("train", recipe, "training.max_steps=3", change, "data.context=32"),
            *("--out", tmp_path / name),
        )
        assert outcome.code == 0, outcome.err
    report = inside("evaluate", run, "--against", tmp_path / "few", "--json").json()
    against = report["against"]
    for name in ("nll", "accuracy"):
        found = against["difference"][name]
        value = report["metrics"][name] - against["metrics"][name]
        assert found["value"] == pytest.approx(value)
        assert found["low"] < found["value"] < found["high"]
        assert found["p_value"] < 0.01
    itself = inside("evaluate", run, "--against", run, "--json").json()["against"]
    assert itself["metrics"] == report["metrics"]
    assert itself["difference"]["nll"] == {"value": 0, "low": 0, "high": 0, "p_value": 1}
    told = inside("evaluate", run, "--against", tmp_path / "other")
    check_told(told, 2, "cut text into other tokens, so no mask stands for the same in both")
    told = inside("evaluate", tmp_path / "few", "--against", run)
    check_told(told, 2, "read rows of 32 and 24 tokens", "name the other run first")


def test_the_card_gives_the_precision(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    assert inside("evaluate", copy, "--precision", "int8").code == 0
    command = "`polyhead evaluate RUN --split test --precision int8`"
    assert command in (copy / "README.md").read_text(encoding="utf-8")


def test_vectors_are_those_of_each_line_alone(run: Path, tmp_path: Path) -> None:
    lines = ["cat dog hen", "cow", "pig dog pig cat hen cow hen"]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = inside("embed", run, tmp_path / "a.txt", "--out", tmp_path / "a.npy")
    assert outcome.code == 0, outcome.err
    found = np.load(tmp_path / "a.npy")
    assert (found.shape, found.dtype) == ((3, 32), np.float32)
    model = polyhead.load(run)
    for line, vector in zip(lines, found, strict=True):
        np.testing.assert_allclose(vector, model.embed([line])[0], atol=1e-5)


def test_a_line_that_is_too_long_is_cut_and_told_with_its_number(run: Path, tmp_path: Path) -> None:
    lines = ["cat dog", "hen " * 30, "cow"]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = inside("embed", run, tmp_path / "a.txt", "--out", tmp_path / "a.npy")
    assert (outcome.code, outcome.err) == (0, "line 2: 30 tokens, cut to the model's 22\n")
    whole = polyhead.load(run).embed([lines[0], "hen " * 22, lines[2]])
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), whole, atol=1e-5)


def test_wrong_use_is_told(run: Path, tmp_path: Path) -> None:
    told = inside("export", run, "--to", "ctranslate2", "--out", tmp_path / "c")
    check_told(told, 2, "no export of a run of masked_lm to 'ctranslate2' (its BERT gives hidden")
    assert "has no head that predicts masked tokens); there is huggingface, onnx" in told.err
    check_told(inside("fill", run, "no mask"), 2, "there is no [MASK] in 'no mask'")
    check_told(inside("fill", run, "[MASK] " + "hen " * 30), 2, "has 31 tokens; the model takes 22")
    check_told(inside("fill", run, "[MASK]", "--top", 0), 2, "top 0 is not at least 1")
    check_told(inside("generate", run), 2, "it cannot .generate()", ".fill, .embed, .evaluate")
    check_told(inside("embed", run, "-", "--out", tmp_path / "a.txt"), 2, "ends in .npy")
    recipe = write_masked_recipe(tmp_path)
    check_told(
        inside("train", recipe, "data.context=64", "--out", tmp_path / "r"),
        *(2, "data.context: 64 is more than model.max_length 32"),
    )


def test_what_a_text_attends_to_is_drawn(run: Path, tmp_path: Path) -> None:
    for name in ("a.json", "a.png", "a.html"):
        outcome = inside("inspect", run, "cat [MASK] cat", "--out", tmp_path / name)
        assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found["source_tokens"] == ["<s>", "▁cat", "<mask>", "▁cat", "</s>"]
    (kind,) = found["attention"]
    weights = np.array(found["attention"][kind])
    assert (kind, weights.shape) == ("encoder", (1, 2, 5, 5))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    check_told(inside("inspect", run, " ", "--out", tmp_path / "b.json"), 2, "no text to look at")


def write_pairs_recipe(folder: Path) -> Path:
    """Documents of lines about one animal: the second text follows if it is about the same.

    The lengths of the texts tell nothing; one time in five a torn one is about the same animal.
    """
    path = write_masked_recipe(folder)
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, count in (("train", 60), ("valid", 20), ("test", 60)):
        documents = ["\n".join([" ".join([WORDS[i * 7 % 5]] * 5)] * 4) for i in range(count)]
        (folder / f"{name}.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
        recipe["data"][name] = [{"file": f"{name}.txt", "documents": "paragraph"}]
    recipe["data"] |= {"next_sentence": True, "whole_words": True}
    recipe["model"] |= {"num_layers": 2, "dropout": 0.0}
    recipe["training"] |= {"batch_tokens": 768, "optimizer": {"kind": "adamw", "lr": 0.005}}
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def test_next_sentences_are_learned_and_resuming_is_exact(tmp_path: Path) -> None:
    recipe = write_pairs_recipe(tmp_path)
    outcome = inside("train", recipe, "training.max_steps=150", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "240 sentences in" in outcome.err
    report = inside("evaluate", tmp_path / "run", "--json").json()
    assert report["metrics"]["next_sentence"] > 0.7
    assert [e["next_sentence"] for e in journal(tmp_path / "run") if e["kind"] == "valid"]
    assert len(inside("fill", tmp_path / "run", "cat [MASK]").lines) == 5
    proof = inside("verify-resume", recipe, "--steps", 6, "--json").json()
    assert (proof["identical"], proof["max_difference"]) == (True, 0)


def test_next_sentences_need_documents_of_sentences(tmp_path: Path) -> None:
    recipe = write_pairs_recipe(tmp_path)
    (tmp_path / "train.txt").write_text("a line\n\nanother\n", encoding="utf-8")
    outcome = inside("train", recipe, "tokenizer.vocab_size=40", "--out", tmp_path / "run")
    check_told(outcome, 1, "needs two documents or more", "found 0 such among 2")


def test_what_the_tokenizer_does_not_know_is_told(tmp_path: Path) -> None:
    recipe = write_masked_recipe(tmp_path)
    (tmp_path / "valid.txt").write_text("cat dog\n\nhen zebra cow\n", encoding="utf-8")
    outcome = inside(
        *("train", recipe, "data.valid={file: valid.txt, documents: paragraph}"),
        *("training.max_steps=1", "--out", tmp_path / "run"),
    )
    assert outcome.code == 0, outcome.err
    assert "valid: 1 of 6 tokens are unknown to the tokenizer" in outcome.err
