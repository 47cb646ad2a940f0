"""LoRA and recomputation by one key each: what learns, what a run keeps, exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from polyhead_system import check_told, info, inside, journal, tensors_of, write_recipe
from safetensors.torch import load_file
from test_labelled import write_task
from test_language_modeling import write_language_recipe
from test_masked_lm import write_masked_recipe

import polyhead

pytestmark = pytest.mark.xdist_group("lora")
MATRICES = (
    *("attention.query_key_value", "attention.output"),
    *("feedforward.inner", "feedforward.outer"),
)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model to start from."""
    folder = tmp_path_factory.mktemp("masked")
    recipe = write_masked_recipe(folder)
    outcome = inside("train", recipe, "training.max_steps=20", "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


def write_lora(folder: Path, origin: Path, *, kind: str = "bert", **training: Any) -> Path:
    path = write_task(folder, "classification", kind)
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipe["model"] = {"kind": kind, "from": str(origin)}
    del recipe["tokenizer"]
    recipe["training"] |= {"lora": {"rank": 2}, "max_steps": 8, "validate_every": 4, **training}
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tuned(masked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was fine-tuned from it: look, don't touch."""
    folder = tmp_path_factory.mktemp("tuned")
    outcome = inside("train", write_lora(folder, masked), "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    assert "of which" in outcome.err
    return folder / "run"


def test_only_additions_of_low_rank_and_what_is_new_learn(masked: Path, tuned: Path) -> None:
    before, after = (load_file(run / "model.safetensors") for run in (masked, tuned))
    changed = {name for name in after if name in before and not after[name].equal(before[name])}
    assert changed == {f"blocks.0.{name}.weight" for name in MATRICES}
    for name in changed:
        assert int(torch.linalg.matrix_rank(after[name] - before[name], atol=1e-6)) <= 2
    assert {name.partition(".")[0] for name in after.keys() - before.keys()} == {"answers"}
    assert inside("evaluate", tuned).code == 0
    judged = [e["nll"] for e in journal(tuned) if e["kind"] == "valid"]
    report = polyhead.load(tuned).evaluate("valid")
    assert report["metrics"]["nll"] == pytest.approx(min(judged), abs=1e-5)  # merged or not


def test_new_tokens_of_a_gpt_learn_beside_its_additions(tmp_path: Path) -> None:
    language = write_language_recipe(tmp_path, model={"num_layers": 1})
    origin = tmp_path / "origin"
    outcome = inside("train", language, "training.max_steps=4", "--out", origin)
    assert outcome.code == 0, outcome.err
    recipe = write_lora(tmp_path, origin, kind="gpt")
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    before, after = (load_file(run / "model.safetensors") for run in (origin, tmp_path / "run"))
    matrices = {f"blocks.0.{name}.weight" for name in MATRICES}
    old, new = before["embedding.weight"], after["embedding.weight"]
    assert len(new) == len(old) + 2, "<delimiter> and <extract>"
    first = load_file(tmp_path / "run/checkpoints/step-00000000/model.safetensors")
    assert not new[-2:].equal(first["embedding.weight"][-2:])
    same = {n for n in before.keys() & after.keys() if before[n].equal(after[n])}
    assert before.keys() - same == {*matrices, "embedding.weight"}
    for name in matrices:
        assert int(torch.linalg.matrix_rank(after[name] - before[name], atol=1e-6)) <= 2
    assert after.keys() - before.keys() == {"answers.weight", "answers.bias"}


def test_averaged_additions_are_merged_as_they_were_judged(masked: Path, tmp_path: Path) -> None:
    training = {
        **{"average_last": 3, "keep": 1, "max_steps": 9, "validate_every": 3},
        "optimizer": {"kind": "adamw", "lr": 0.03},
        "schedule": {"kind": "constant", "warmup_steps": 1},
    }
    recipe = write_lora(tmp_path, masked, **training)
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    judged = [e for e in journal(tmp_path / "run") if e["kind"] == "valid"]
    assert info(tmp_path / "run")["weights"] == "averaged", [e["weights"] for e in judged]
    report = polyhead.load(tmp_path / "run").evaluate("valid")
    assert report["metrics"]["nll"] == pytest.approx(min(e["nll"] for e in judged), abs=1e-5)
    assert not [n for n in load_file(tmp_path / "run/model.safetensors") if "parametriz" in n]


def test_transformers_gets_the_merged_model(tuned: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    made = inside("export", tuned, "--to", "huggingface", "--out", tmp_path / "hf")
    assert made.code == 0, made.err
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "hf")
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    line = "cat dog hen"
    (own,) = polyhead.load(tuned).classify([line])
    with torch.no_grad():
        p = theirs.eval()(**read(line, return_tensors="pt")).logits[0].softmax(0)
    found = {theirs.config.id2label[i]: value for i, value in enumerate(p.tolist())}
    assert found == pytest.approx(own["probabilities"], abs=1e-4)


def test_it_resumes_exactly(masked: Path, tmp_path: Path) -> None:
    recipe = write_lora(tmp_path, masked, recompute=True)
    proof = inside("verify-resume", recipe, "--steps", 4, "--json").json()
    assert (proof["identical"], proof["max_difference"]) == (True, 0)


def test_a_translator_can_be_tuned_so(trained: Path, corpus: Path, tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path / "recipe.yaml", corpus,
        training={"lora": {"rank": 4}, "max_steps": 4, "validate_every": 2},
    )  # fmt: skip
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    content["model"] = {"kind": "transformer"}
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    outcome = inside("finetune", recipe, "--from", trained, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    names = load_file(tmp_path / "run" / "model.safetensors").keys()
    assert names == load_file(trained / "model.safetensors").keys()
    made = inside("export", tmp_path / "run", "--to", "ctranslate2", "--out", tmp_path / "c")
    assert made.code == 0, made.err


def test_computing_again_changes_nothing(corpus: Path, tmp_path: Path) -> None:
    runs = []
    for recompute in (False, True):
        recipe = write_recipe(
            tmp_path / f"{recompute}.yaml", corpus, model={"dropout": 0.1},
            training={"max_steps": 4, "validate_every": 4, "recompute": recompute},
        )  # fmt: skip
        outcome = inside("train", recipe, "--out", tmp_path / str(recompute))
        assert outcome.code == 0, outcome.err
        runs.append(tmp_path / str(recompute))
    assert list(tensors_of(runs[0])) == list(tensors_of(runs[1]))


def test_wrong_use_is_told(masked: Path, tmp_path: Path) -> None:
    recipe = write_lora(tmp_path, masked)
    out = ("--out", tmp_path / "run")
    told = inside("train", recipe, "model.from=null", *out)
    check_told(told, 2, "training.lora adds to the weights of model.from, which is not given")
    told = inside("train", recipe, "training.sharding=fsdp", *out)
    check_told(told, 2, "training.lora does not go with training.sharding")
