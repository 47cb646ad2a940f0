"""`export` and `translate --engine ctranslate2`, on a trained run."""

from __future__ import annotations

import builtins
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from polyhead_system import check_told, inside, outside
from safetensors.torch import load_file, save_file

from polyhead import api
from polyhead.data.tokenizers import Tokenizer
from polyhead.errors import PolyheadError
from polyhead.export import ctranslate2_export

pytestmark = pytest.mark.xdist_group("trained")
pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture
def copy(rival: Path, tmp_path: Path) -> Path:
    """The engine keeps its export in the run. `rival` is post-norm."""
    run = tmp_path / "run"
    return Path(shutil.copytree(rival, run, ignore=shutil.ignore_patterns("checkpoints")))


@pytest.fixture(scope="module")
def lines(corpus: Path) -> list[str]:
    return (corpus / "test.ko").read_text(encoding="utf-8").splitlines()


# --- ctranslate2


@pytest.mark.parametrize(("quantization", "close"), [("float32", 1e-4), ("int8", 0.1)])
def test_an_export_is_compared_on_real_sentences_and_says_how_close_it_is(
    trained: Path, tmp_path: Path, quantization: str, close: float
) -> None:
    out = tmp_path / "model"
    options = ("--to", "ctranslate2", "--out", out, "--quantization", quantization)
    found = inside("export", trained, *options)
    assert found.code == 0, found.err
    assert found.lines[0] == str(out)
    assert "on 32 pairs of the test data" in found.lines[1]
    difference = float(found.lines[1].split(": ")[1].split(",")[0])
    assert 0 < difference < close
    assert {path.name for path in out.iterdir()} >= {"model.bin", "config.json", "tokenizer.json"}
    facts = json.loads((out / "polyhead.json").read_text(encoding="utf-8"))
    assert facts["quantization"] == quantization
    told = inside("export", trained, "--to", "ctranslate2", "--out", out)
    check_told(told, 2, f"{out} exists already", "--out names another place")


def test_a_run_without_its_data_is_compared_on_random_tokens(copy: Path, tmp_path: Path) -> None:
    recipe = yaml.safe_load((copy / "recipe.yaml").read_text(encoding="utf-8"))
    text = yaml.safe_dump(recipe).replace("test.ko", "gone.ko").replace("valid.ko", "gone.ko")
    (copy / "recipe.yaml").write_text(text, encoding="utf-8")
    found = inside("export", copy, "--to", "ctranslate2", "--out", tmp_path / "model")
    assert found.code == 0, found.err
    assert "on 32 pairs of random tokens (no data is there)" in found.lines[1]


def test_an_export_that_scores_otherwise_is_no_export(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ctranslate2_export.save_ctranslate2

    def wrong(model: Any, *rest: Any) -> None:
        with torch.no_grad():
            norm = model.decoder[0].cross_residual.norm.weight
            norm.mul_(1.01)
            right(model, *rest)
            norm.div_(1.01)

    monkeypatch.setattr(ctranslate2_export, "save_ctranslate2", wrong)
    with pytest.raises(PolyheadError, match=r"nats a token otherwise .* nothing was written"):
        api.load(trained).export("ctranslate2", tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# --- the engine


def test_the_engine_writes_what_the_run_writes_line_for_line(
    copy: Path, corpus: Path, lines: list[str], tmp_path: Path
) -> None:
    source = tmp_path / "in.txt"
    source.write_text("\n".join([lines[0], "", *lines[1:20], " "]) + "\n", encoding="utf-8")
    ours = inside("translate", copy, source, "--beam", 1)
    engine = ("--engine", "ctranslate2", "--beam", 1)
    first = inside("translate", copy, source, *engine)
    assert first.code == 0, first.err
    assert first.lines == ours.lines
    assert len(first.lines) == 22
    assert first.lines[1] == first.lines[21] == ""
    assert f"exported to CTranslate2, float32, into {copy / 'ctranslate2-float32'}" in first.err
    again = inside("translate", copy, source, *engine)
    assert (again.lines, again.err) == (first.lines, "")
    int8 = inside("translate", copy, source, *engine, "--precision", "int8")
    assert int8.code == 0, int8.err
    assert len(int8.lines) == 22
    assert (copy / "ctranslate2-int8" / "model.bin").is_file()


def test_an_export_of_older_weights_is_made_anew(copy: Path, lines: list[str]) -> None:
    engine = ("--engine", "ctranslate2", "--beam", 1)
    stdin = f"{lines[0]}\n".encode()
    before = inside("translate", copy, *engine, stdin=stdin)
    weights = load_file(copy / "model.safetensors")
    rolled = {name: -value if value.ndim == 2 else value for name, value in weights.items()}
    save_file(rolled, copy / "model.safetensors", {"format": "pt"})
    after = inside("translate", copy, *engine, stdin=stdin)
    assert "exported to CTranslate2" in after.err
    assert after.lines == inside("translate", copy, "--beam", 1, stdin=stdin).lines
    assert after.lines != before.lines


@pytest.fixture(scope="module")
def pair(
    rival: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[api.Translator, api.Translator]:
    """One run in torch and in CTranslate2."""
    run = tmp_path_factory.mktemp("pair") / "run"
    shutil.copytree(rival, run, ignore=shutil.ignore_patterns("checkpoints"))
    return api.load(run), api.load(run, engine="ctranslate2")


@pytest.mark.parametrize(
    "options",
    [
        {"beam": 1},
        {"beam": 1, "max_length": 6},
        {"beam": 1, "prefix": "The"},
        {"beam": 1, "prefix": "The", "max_length": 3},
        {"beam": 1, "no_repeat_ngram": 2},
        {"beam": 4, "alpha": 0.0},
        {"beam": 4, "alpha": 0.6, "prefix": "I"},
        {"beam": 3, "alternatives": 3, "prefix": "The"},
    ],
    ids=str,
)
def test_the_engine_understands_every_option_of_the_search(
    pair: tuple[api.Translator, api.Translator], lines: list[str], options: dict[str, Any]
) -> None:
    ours, theirs = (list(one.search(lines[:20], one.options(**options))) for one in pair)
    same = 0
    for a, b in zip(ours, theirs, strict=True):
        assert len(a) == len(b)
        scores = [h.score for h in b]
        assert scores == sorted(scores, reverse=True)
        if [h.tokens for h in a] == [h.tokens for h in b]:
            same += 1
            for x, y in zip(a, b, strict=True):
                assert x.ended == y.ended
                assert x.score == pytest.approx(y.score, abs=0.05, rel=2e-3)
        if "max_length" in options:
            assert all(len(h.tokens) + h.ended <= options["max_length"] for h in b)
        if "prefix" in options and "max_length" not in options:
            assert all(pair[1].text([h]).startswith(options["prefix"]) for h in b)
    assert same >= (20 if options["beam"] == 1 else 12)


def test_a_sentence_is_the_same_whatever_it_is_batched_with(
    pair: tuple[api.Translator, api.Translator], lines: list[str]
) -> None:
    engine = pair[1]
    together = engine.translate(lines[:12], beam=1)
    assert [engine.translate([line], beam=1)[0] for line in lines[:12]] == together


def test_samples_are_repeatable_and_as_many_as_asked_for(
    pair: tuple[api.Translator, api.Translator], lines: list[str]
) -> None:
    engine = pair[1]

    def draw(seed: int, **options: Any) -> list[list[str]]:
        return engine.translate(lines[:5], sample=True, seed=seed, nbest=3, **options)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert all(len(group) == 3 for group in draw(1))
    greedy = engine.translate(lines[:5], beam=1)
    assert [group[0] for group in draw(1, top_k=1)] == greedy
    assert draw(1, top_k=10_000, temperature=0.001) == [[text] * 3 for text in greedy]


def test_what_the_engine_does_not_do_is_told(trained: Path, rival: Path, corpus: Path) -> None:
    engine = ("--engine", "ctranslate2")
    told = inside("translate", f"{trained},{rival}", corpus / "test.ko", *engine)
    check_told(told, 2, "the engine ctranslate2 takes one run")
    told = inside("translate", trained, corpus / "test.ko", *engine, "--precision", "bf16")
    check_told(told, 2, "no bf16 on a CPU; choose fp32 or int8")


def test_without_the_package_the_extra_is_named(
    trained: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name in ("ctranslate2", "transformers"):
            raise ModuleNotFoundError(name)
        return whole(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    told = inside("translate", trained, corpus / "test.ko", "--engine", "ctranslate2")
    check_told(told, 1, "pip install 'polyhead[ctranslate2]'")
    told = inside("export", trained, "--to", "huggingface", "--out", tmp_path / "x")
    check_told(told, 1, "pip install 'polyhead[interop]'")


# --- huggingface


def test_auto_classes_load_the_folder_and_do_as_the_run_does(
    rival: Path, lines: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "hf"
    found = outside("export", rival, "--to", "huggingface", "--out", out)
    assert found.code == 0, found.err
    assert found.lines[0] == str(out)
    assert "largest difference of a logit: " in found.lines[1]
    assert float(found.lines[1].split(": ")[1].split(",")[0]) < 1e-4
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(out).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    batch = tokenizer(lines[:10], return_tensors="pt", padding=True)
    written = model.generate(
        batch["input_ids"],
        attention_mask=batch["attention_mask"],
        num_beams=1,
        max_new_tokens=30,
        max_length=None,
    )
    texts = [" ".join(t.split()) for t in tokenizer.batch_decode(written, skip_special_tokens=True)]
    assert texts == api.load(rival).translate(lines[:10], beam=1, max_length=30)
    assert model.generation_config.num_beams == 2
    assert 1 not in written.flatten().tolist()  # <unk>


def test_what_marian_cannot_hold_is_refused_with_every_reason(
    trained: Path, tmp_path: Path
) -> None:
    told = inside("export", trained, "--to", "huggingface", "--out", tmp_path / "x")
    check_told(told, 2, "it is pre-norm (model.norm: pre)", "`--to ctranslate2` holds it")
    told = inside("export", trained, "--to", "huggingface", "--quantization", "int8",
                  "--out", tmp_path / "x")  # fmt: skip
    check_told(told, 2, "--quantization is about --to ctranslate2")
    assert list(tmp_path.iterdir()) == []


# --- ONNX


def test_an_onnx_graph_translates_as_the_run_does(
    trained: Path, lines: list[str], tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    out = tmp_path / "graph"
    found = inside("export", trained, "--to", "onnx", "--out", out)
    assert found.code == 0, found.err
    assert found.lines[0] == str(out)
    assert float(found.lines[1].split(": ")[1].split(",")[0]) < 1e-4
    session = runtime.InferenceSession(out / "model.onnx")
    cutter = Tokenizer.load(out / "tokenizer.json")
    for text, wanted in zip(lines[:3], api.load(trained).translate(lines[:3], beam=1), strict=True):
        ids = np.array([[*cutter.encode(text), cutter.end_id]])
        written = [cutter.pad_id]
        while written[-1] != cutter.end_id and len(written) <= ids.size + 50:
            feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
            (logits,) = session.run(None, feed | {"decoder_input_ids": np.array([written])})
            logits[0, -1, [1, cutter.pad_id]] = -np.inf
            written.append(int(logits[0, -1].argmax()))
        assert cutter.decode(written[1:]) == wanted
    told = inside("export", trained, "--to", "onnx", "--quantization", "int8", "--out", tmp_path)
    check_told(told, 2, "--quantization is about --to ctranslate2")


def test_without_onnx_runtime_the_extra_is_named(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = inside("export", trained, "--to", "onnx", "--out", tmp_path / "x")
    check_told(told, 1, "needs the package onnxruntime", "pip install 'polyhead[onnx]'")
