"""Recurrent models by the same commands as every translation model; alignments of any of them."""

from __future__ import annotations

import itertools
import json
import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from polyhead_system import change_info, check_told, inside, tensors_of, write_recipe

SIZES = {"d_model": 32, "dropout": 0.1, "max_length": 128}


def rnn(**attention: Any) -> dict[str, Any]:
    return {"kind": "rnn_seq2seq", **SIZES, "input_feeding": False, "attention": attention}


MODELS = {
    "rnn": rnn(score="general"),
    "local": rnn(score="general", scope="local-p", window=3),
    "none": rnn(score="none"),
    "conv": {"kind": "conv_seq2seq", **SIZES, "num_layers": 2},
}
SIDES = (("source", "in"), ("target", "out"))
LAYERS = {"rnn": 1, "local": 1, "conv": 2}


def recipe_of(path: Path, corpus: Path, model: dict[str, Any], **training: Any) -> Path:
    """The transformer's keys of the tiny recipe give way to this model's."""
    recipe = write_recipe(path, corpus, training={"max_steps": 20, "validate_every": 10} | training)
    recipe.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | {"model": model}))
    return recipe


@pytest.fixture(scope="module", params=list(MODELS))
def run(request: pytest.FixtureRequest, tmp_path_factory: Any, corpus: Path) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    recipe = recipe_of(folder / "recipe.yaml", corpus, MODELS[request.param])
    outcome = inside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return request.param, folder / "run"


@pytest.mark.xdist_group("lineage")
def test_a_run_translates_and_scores(run: tuple[str, Path], corpus: Path) -> None:
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
def test_inspect_shows_every_layer(run: tuple[str, Path], tmp_path: Path) -> None:
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
    assert cross.shape == (LAYERS[name], 1, *size)
    np.testing.assert_allclose(cross.sum(axis=-1), 1, atol=1e-3)
    if name != "conv":
        told = inside("inspect", path, "--positions", "--out", out)
        check_told(told, 2, "no positional encodings")


@pytest.mark.xdist_group("lineage")
def test_a_resumed_training_is_the_same_to_the_bit(run: tuple[str, Path], tmp_path: Path) -> None:
    _, whole = run
    again = Path(shutil.copytree(whole, tmp_path / "again"))
    shutil.rmtree(again / "checkpoints" / "step-00000020")
    change_info(again, complete=False)
    outcome = inside("train", "--resume", again)
    assert outcome.code == 0, outcome.err
    assert f"resuming {again} at step 10" in outcome.err
    assert dict(tensors_of(again)) == dict(tensors_of(whole))


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
    model = rnn(score="none", scope="local-p")
    recipe = recipe_of(tmp_path / "recipe.yaml", tmp_path / "nowhere", model)
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    check_told(outcome, 2, "model.attention: scope: local-p needs attention, but score is none")
    assert "nowhere" not in outcome.err


def test_hard_attention_goes_on_to_the_bit_its_baseline_included(
    tmp_path: Path, corpus: Path
) -> None:
    model, constant = rnn(score="general", weights="hard"), {"validate_every": 100}
    paths = []
    for name, steps in (("once", 8), ("again", 4)):
        recipe = recipe_of(tmp_path / f"{name}.yaml", corpus, model, max_steps=steps, **constant)
        paths.append(tmp_path / name)
        assert inside("train", recipe, "--out", paths[-1]).code == 0
    outcome = inside("extend", paths[1], "--steps", 8)
    assert outcome.code == 0, outcome.err
    once, again = (dict(tensors_of(path)) for path in paths)
    assert "checkpoints/step-00000008/buffers.safetensors" in once
    assert once == again


def test_the_reversed_digits_can_be_trained_judged_and_aligned(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "reversed_digits.py"
    runpy.run_path(str(example))["main"](tmp_path / "digits")
    for part, (_, end) in itertools.product(("valid", "test"), SIDES):  # 20 lines suffice here
        file = tmp_path / f"digits/{part}.{end}"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:20]))
    ends = ("training.max_steps=4", "training.max_minutes=null")
    outcome = inside("train", tmp_path / "digits/recipe.yaml", *ends, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert inside("evaluate", tmp_path / "run", "--json").json()["examples"] == 20
    digits = [f"--{side}={tmp_path}/digits/test.{end}" for side, end in SIDES]
    assert len(inside("align", tmp_path / "run", *digits).lines) == 20
