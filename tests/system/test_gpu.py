"""Everything on a GPU that is pretended: nothing is left behind, and the results are the CPU's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from polyhead_system import info, inside, journal, write_recipe
from pretend_gpu import pretended
from test_check_texts import language
from test_labelled import write_task

import polyhead

pytestmark = pytest.mark.xdist_group("gpu")
TEXTS = ["커피 한 잔 주세요.", "어제 친구를 만났어요.", "비가 와요."]
MODELS: dict[str, dict[str, Any]] = {
    "transformer": {"kind": "transformer", "num_layers": 2, "num_heads": 2, "d_ff": 64},
    "rnn": {"kind": "rnn_seq2seq"},
    "bahdanau": {"kind": "rnn_seq2seq", "attention": {"score": "additive"}},
    "local": {"kind": "rnn_seq2seq", "attention": {"scope": "local-p"}},
    "hard": {"kind": "rnn_seq2seq", "attention": {"weights": "hard"}},
    "conv": {"kind": "conv_seq2seq", "num_layers": 2},
}


def trained(monkeypatch: pytest.MonkeyPatch, recipe: Path, out: Path) -> Path:
    steps = ["training.max_steps=4", "training.validate_every=2", "training.average_last=2"]
    with monkeypatch.context() as patch, pretended(patch):
        run = polyhead.train(recipe, out, steps)
        resumed = polyhead.load(run.path)
        assert next(resumed.model.parameters()).device.type == "cuda"
    return Path(run.path)


def test_a_tensor_left_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pretence itself: it fails where a GPU would."""
    layer = torch.nn.Linear(2, 3)
    with monkeypatch.context() as patch, pretended(patch):
        layer.to("cuda")
        there = torch.ones(4, 2, device="cuda")
        assert layer(there).device.type == "cuda"
        assert (there[0] * 2.0).sum().item() == 4
        with pytest.raises(RuntimeError, match="on the CPU"):
            layer(torch.ones(4, 2))
        with pytest.raises(RuntimeError, match="on the CPU"):
            torch.cat([there, torch.ones(4, 2)])
        with pytest.raises(TypeError, match=r"use .cpu\(\) first"):
            there.numpy()
        assert there.cpu().numpy().shape == (4, 2)


@pytest.mark.parametrize("name", MODELS)
def test_translators(
    name: str, tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    model = {"d_model": 32, "dropout": 0.1, "max_length": 128, **MODELS[name]}
    recipe.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | {"model": model}))
    run = trained(monkeypatch, recipe, tmp_path / "run")
    here = polyhead.load(run)
    options: list[dict[str, Any]] = [
        {"beam": 1},
        {"beam": 3},
        {"beam": 2, "prefix": "I", "no_repeat_ngram": 2},
        {"sample": True, "seed": 3, "top_k": 5, "top_p": 0.9},
    ]
    wanted = [here.translate(TEXTS, max_length=8, **each) for each in options]
    with monkeypatch.context() as patch, pretended(patch):
        there = polyhead.load(run)
        assert [there.translate(TEXTS, max_length=8, **each) for each in options] == wanted
        assert there.alternatives(TEXTS[:1], count=2, max_length=8)
        scores = there.score(TEXTS, ["a", "b c", "d"])
        there.evaluate("valid")
        assert there.attention(TEXTS[0]).attention
        there.align(TEXTS[:2], ["a b", "c"])
        polyhead.load(f"{run},{run}").translate(TEXTS[:1], max_length=4)
        polyhead.load(run, "int8").translate(TEXTS[:1], max_length=4)
    assert np.allclose(scores, here.score(TEXTS, ["a", "b c", "d"]), atol=1e-4)


@pytest.mark.parametrize("task", ["language_modeling", "masked_lm"])
def test_models_of_language(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained(monkeypatch, language(tmp_path, task), tmp_path / "run")
    here = polyhead.load(run)
    with monkeypatch.context() as patch, pretended(patch):
        there = polyhead.load(run)
        report = there.evaluate("valid")
        there.attention("train line")
        if task == "masked_lm":
            assert there.fill("train [MASK]ine") == here.fill("train [MASK]ine")
            vectors = there.embed(["train line", "goes"])
        else:
            prompts = ["train", "goes on"]
            several: list[dict[str, Any]] = [
                {"greedy": True, "max_tokens": 20},
                {"seed": 3, "n": 2, "max_tokens": 5},
                {"beam": 2, "max_tokens": 5},
                {"repetition_penalty": 1.2, "no_repeat_ngram": 2, "max_tokens": 9},
            ]
            for options in several:
                ours = [one.text for one in here.generate(prompts, **options)]
                assert [one.text for one in there.generate(prompts, **options)] == ours
    assert report["metrics"]["nll"] == pytest.approx(here.evaluate("valid")["metrics"]["nll"])
    if task == "masked_lm":
        assert np.allclose(vectors, here.embed(["train line", "goes"]), atol=1e-5)


@pytest.mark.parametrize("name", ["NVIDIA H100 80GB HBM3", "Next 9000"])
def test_how_much_of_the_gpu_was_used_is_told_and_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = language(tmp_path, "language_modeling")
    with monkeypatch.context() as patch, pretended(patch):
        patch.setattr(torch.cuda, "get_device_name", lambda: name)
        run = polyhead.train(recipe, tmp_path / "run", ["training.max_steps=2"])
    (valid,) = (entry for entry in journal(Path(run.path)) if entry["kind"] == "valid")
    told = capsys.readouterr().err
    assert valid["model_flops_per_second"] > 0
    assert name in told
    assert ("model_flops_utilisation" in valid) == ("NVIDIA" in name)
    assert ("model FLOPs utilisation" in told) == ("NVIDIA" in name)


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("classification", "a blue hen sat here"),
        ("regression", "a red cat sat here\ta cat"),
        ("multiple_choice", "what is it\tred\tdog"),
        ("tagging", "a pink cat sat here"),
        ("question_answering", "which animal ?\tit is near . a red hen sat here ."),
    ],
)
def test_labelled_texts(
    kind: str, task: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(monkeypatch, write_task(tmp_path, task, kind), tmp_path / "run")
    here = polyhead.load(run).classify([line])
    with monkeypatch.context() as patch, pretended(patch):
        there = polyhead.load(run)
        there.evaluate("valid")
        there.attention(line)
        (found,) = there.classify([line])
    assert found["label"] == (
        pytest.approx(here[0]["label"], rel=1e-4) if task == "regression" else here[0]["label"]
    )


def test_resuming_planning_and_adapting(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, model={"dropout": 0.1})
    run = trained(monkeypatch, recipe, tmp_path / "run")
    tuned = write_recipe(tmp_path / "tuned.yaml", corpus, training={"lora": {"rank": 2}})
    with monkeypatch.context() as patch, pretended(patch):
        for command in (
            ("extend", run, "--steps", 6),
            ("plan", recipe, "--json"),
            ("finetune", tuned, "--from", run, "--out", tmp_path / "tuned"),
        ):
            outcome = inside(*command)
            assert outcome.code == 0, outcome.err
    assert info(run)["step"] == 6
    assert polyhead.load(tmp_path / "tuned").translate(TEXTS[:1])
