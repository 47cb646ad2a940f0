"""Recurrent models by the same commands as every translation model; alignments of any of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from polyhead_system import check_told, inside, tensors_of, write_recipe

RNN = {"d_model": 32, "dropout": 0.1, "input_feeding": False, "max_length": 128}
ATTENTIONS: dict[str, dict[str, Any]] = {
    "rnn": {"score": "general"},
    "local": {"score": "general", "scope": "local-p", "window": 3},
    "none": {"score": "none"},
}


def rnn_recipe(path: Path, corpus: Path, attention: dict[str, Any], **training: Any) -> Path:
    """The transformer's keys of the tiny recipe give way to the RNN's."""
    model = {"kind": "rnn_seq2seq", **RNN, "attention": attention}
    recipe = write_recipe(path, corpus, training={"max_steps": 20, "validate_every": 10} | training)
    import yaml

    recipe.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | {"model": model}))
    return recipe


@pytest.fixture(scope="module", params=list(ATTENTIONS))
def run(request: pytest.FixtureRequest, tmp_path_factory: Any, corpus: Path) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = rnn_recipe(folder / "recipe.yaml", corpus, ATTENTIONS[request.param])
    outcome = inside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return request.param, folder / "run"


@pytest.mark.xdist_group("lineage")
def test_a_recurrent_run_translates_and_scores(run: tuple[str, Path], corpus: Path) -> None:
    _, path = run
    translated = inside("translate", path, corpus / "test.ko", "--beam", "3")
    assert translated.code == 0, translated.err
    assert len(translated.lines) == 50
    packed = inside("translate", path, corpus / "test.ko", "--precision", "int8")
    assert len(packed.lines) == 50
    report = inside("evaluate", path, "--json").json()
    assert report["examples"] == 50
    assert report["metrics"]["nll"] > 0


@pytest.mark.xdist_group("lineage")
def test_inspect_shows_one_layer_and_one_head(run: tuple[str, Path], tmp_path: Path) -> None:
    name, path = run
    out = tmp_path / "attention.json"
    outcome = inside("inspect", path, "저는 학교에 갔어요.", "--target", "I went.", "--out", out)
    if name == "none":
        check_told(outcome, 2, "no attention to look at")
        return
    assert outcome.code == 0, outcome.err
    found = json.loads(out.read_text(encoding="utf-8"))
    cross = np.array(found["attention"]["cross"])
    size = (len(found["target_tokens"]), len(found["source_tokens"]))
    assert list(found["attention"]) == ["cross"]
    assert cross.shape == (1, 1, *size)
    np.testing.assert_allclose(cross.sum(axis=-1), 1, atol=1e-3)
    check_told(inside("inspect", path, "--positions", "--out", out), 2, "no positional encodings")


@pytest.mark.xdist_group("lineage")
def test_align_writes_links_of_words_that_are_there(
    run: tuple[str, Path], corpus: Path, tmp_path: Path
) -> None:
    name, path = run
    files = ("--source", corpus / "test.ko", "--target", corpus / "test.en")
    outcome = inside("align", path, *files)
    if name == "none":
        check_told(outcome, 2, "it cannot align")
        return
    check_links(outcome.lines, corpus)
    out = tmp_path / "links"
    assert inside("align", path, *files, "--output", out).code == 0
    assert out.read_text().splitlines() == outcome.lines


def check_links(lines: list[str], corpus: Path) -> None:
    """Every target word has at most one link, and all are within their sentences."""
    texts = [
        (corpus / f"test.{end}").read_text(encoding="utf-8").splitlines() for end in ("ko", "en")
    ]
    assert len(lines) == 50
    for line, source, target in zip(lines, *texts, strict=True):
        found = [tuple(map(int, link.split("-"))) for link in line.split()]
        assert found
        assert all(0 <= i < len(source.split()) for i, _ in found)
        assert all(0 <= j < len(target.split()) for _, j in found)
        assert len({j for _, j in found}) == len(found)


def test_a_transformer_aligns_too(trained: Path, corpus: Path, tmp_path: Path) -> None:
    files = ("--source", corpus / "test.ko", "--target", corpus / "test.en")
    check_links(inside("align", trained, *files).lines, corpus)
    (tmp_path / "s").write_text("하나 둘\n\n", encoding="utf-8")
    (tmp_path / "t").write_text("\none two\n", encoding="utf-8")
    blank = inside("align", trained, "--source", tmp_path / "s", "--target", tmp_path / "t")
    assert blank.out == "\n\n"


def test_an_impossible_combination_is_told_before_data_is_read(
    tmp_path: Path, corpus: Path
) -> None:
    attention = {"score": "none", "scope": "local-p"}
    recipe = rnn_recipe(tmp_path / "recipe.yaml", tmp_path / "nowhere", attention)
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    check_told(outcome, 2, "model.attention: scope: local-p needs attention, but score is none")
    assert "nowhere" not in outcome.err


def test_hard_attention_goes_on_to_the_bit_its_baseline_included(
    tmp_path: Path, corpus: Path
) -> None:
    attention, constant = {"score": "general", "weights": "hard"}, {"validate_every": 100}
    paths = []
    for name, steps in (("once", 8), ("again", 4)):
        recipe = rnn_recipe(
            tmp_path / f"{name}.yaml", corpus, attention, max_steps=steps, **constant
        )
        paths.append(tmp_path / name)
        assert inside("train", recipe, "--out", paths[-1]).code == 0
    outcome = inside("extend", paths[1], "--steps", 8)
    assert outcome.code == 0, outcome.err
    once, again = (dict(tensors_of(path)) for path in paths)
    assert "checkpoints/step-00000008/buffers.safetensors" in once
    assert once == again
