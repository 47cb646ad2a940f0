"""compare: the same data, the same tokens, one table."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from polyhead_system import check_told, finish, info, inside, journal, start, write_recipe
from test_labelled import write_task
from test_language_modeling import write_language_recipe
from test_masked_lm import write_masked_recipe

from polyhead.inspection import curves


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> tuple[Path, Any, Path]:
    folder = tmp_path_factory.mktemp("compare")
    recipe = write_recipe(folder / "recipe.yaml", corpus)
    outcome = inside(*_command(recipe, folder / "out"), "--json")
    assert outcome.code == 0, outcome.err
    return folder / "out", outcome.json(), recipe


def _command(recipe: Path, out: Path, tokens: int = 1500) -> tuple[object, ...]:
    changed = (recipe, "model.d_ff=32", "training.log_every=50")
    return ("compare", recipe, *changed, "name=narrow", "--tokens", tokens, "--out", out)


def test_every_model_has_what_the_contract_says(compared: tuple[Path, Any, Path]) -> None:
    out, report, _ = compared
    first, second = report["models"]
    assert [first["name"], second["name"]] == ["tiny", "narrow"]
    assert second["parameters"] < first["parameters"]
    for one in (first, second):
        assert 1500 <= one["tokens"] < 1500 + 400
        assert {"score", "low", "high"} <= one["metrics"]["bleu"].keys()
        assert one["tokens_per_second"] > 0
        assert one["peak_bytes"] > 50 << 20
        assert sum(group["examples"] for group in one["by_length"]) == 50
        assert info(out / one["name"])["stopped_because"] == "max_tokens"
    assert json.loads((out / "compare.json").read_text()) == report
    assert (out / "table.md").read_text().startswith("Scores on test:\n")
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_trained_is_not_trained_again(compared: tuple[Path, Any, Path]) -> None:
    out, report, recipe = compared
    again = inside(*_command(recipe, out))
    assert again.code == 0
    assert "narrow: trained and judged already" in again.err
    bleu = report["models"][1]["metrics"]["bleu"]["score"]
    assert f"| narrow | {bleu:.2f} [" in again.out


def test_a_model_made_with_another_recipe_is_never_taken_for_this_one(
    compared: tuple[Path, Any, Path],
) -> None:
    out, _, recipe = compared
    before = {path: path.read_bytes() for path in out.glob("*.*")}
    for _ in range(2):  # what the first refuses must not be what the second finds
        told = inside(*_command(recipe, out, tokens=3000))
        check_told(told, 2, "training.max_tokens: 1500 -> 3000", "--out names another place")
    assert {path: path.read_bytes() for path in out.glob("*.*")} == before


def test_a_folder_from_before_a_key_was_new_goes_on_without_results_of_lost_runs(
    compared: tuple[Path, Any, Path], tmp_path: Path
) -> None:
    out, _, recipe = compared
    copy = Path(shutil.copytree(out, tmp_path / "out"))
    shutil.rmtree(copy / "narrow")
    result = json.loads((copy / "tiny.json").read_text())
    del result["recipe"]["training"]["recompute"]
    (copy / "tiny.json").write_text(json.dumps(result))
    (copy / "tiny.yaml").write_text(yaml.safe_dump(result["recipe"]))
    again = inside(*_command(recipe, copy))
    assert again.code == 0, again.err
    assert "tiny: trained and judged already" in again.err
    assert "narrow: training" in again.err


def test_a_signal_is_passed_on_and_the_same_command_goes_on(corpus: Path, tmp_path: Path) -> None:
    recipe, out = write_recipe(tmp_path / "recipe.yaml", corpus), tmp_path / "out"
    command = ("compare", recipe, recipe, "seed=4", "--tokens", 16_000, "--out", out)
    process = start(*command)
    last, metrics = time.monotonic() + 60, out / "tiny" / "metrics.jsonl"
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2):
        assert process.poll() is None
        assert time.monotonic() < last
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    stopped = finish(process)
    assert stopped.code == 0, stopped.err
    assert "stopped by SIGTERM: the same command goes on with tiny;" in stopped.err
    step = info(out / "tiny")["step"]
    assert info(out / "tiny")["complete"] is False
    again = inside(*command)
    assert again.code == 0, again.err
    steps = [line["step"] for line in journal(out / "tiny") if line["kind"] == "train"]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > step
    assert info(out / "tiny")["complete"] is True


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The panels of every picture of curves."""
    pictures: list[Any] = []
    draw = curves.save_curves_picture

    def watched(panels: Any, *arguments: Any, **options: Any) -> Path:
        pictures.append(panels)
        return draw(panels, *arguments, **options)

    monkeypatch.setattr(curves, "save_curves_picture", watched)
    return pictures


def test_language_models_are_compared_by_what_does_not_depend_on_the_tokenizer(
    tmp_path: Path, drawn: list[Any]
) -> None:
    recipe, out = write_language_recipe(tmp_path), tmp_path / "out"
    pieces = ("data.test=[]", "tokenizer.kind=bpe", "tokenizer.vocab_size=270", "name=pieces")
    operands = (recipe, "data.test=[]", "name=characters", recipe, *pieces)
    outcome = inside("compare", *operands, "--tokens", 1000, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    assert "the tokenizers differ: as many tokens are not as much text" in outcome.err
    (panels,) = drawn
    assert list(panels) == ["bits per byte"]
    assert list(panels["bits per byte"]) == ["characters", "pieces"]
    for one in outcome.json()["models"]:
        assert (one["split"], one["by_length"]) == ("valid", [])
        assert one["metrics"].keys() == {"nll", "perplexity", "bits_per_byte"}
        last = [line for line in journal(out / one["name"]) if line["kind"] == "valid"][-1]
        assert one["metrics"]["bits_per_byte"] == pytest.approx(last["bits_per_byte"], rel=1e-4)
    title, _, head = (out / "table.md").read_text().splitlines()[:3]
    assert title == (
        "Scores on valid (no test data is named; on valid the weights were chosen, too):"
    )
    assert head.startswith("| model | NLL | perplexity | bits per byte | parameters | tokens/s |")
    assert "BLEU" not in (out / "table.md").read_text()


def test_classifiers_are_compared_even_where_one_starts_from_a_run(
    tmp_path: Path, drawn: list[Any]
) -> None:
    few = ("training.max_steps=2", "tokenizer.vocab_size=50", "name=masked")
    masked = write_masked_recipe(tmp_path)
    assert inside("train", masked, *few, "--out", tmp_path / "masked").code == 0
    recipe = write_task(tmp_path, "classification")
    outcome = inside(
        *("compare", recipe, recipe, "model={kind: bert}", f"model.from={tmp_path / 'masked'}"),
        *("tokenizer={}", "name=started", "--tokens", 200, "--out", tmp_path / "out", "--json"),
    )
    assert outcome.code == 0, outcome.err
    assert "tokenizers differ" not in outcome.err
    assert list(drawn[0]) == ["accuracy", "f1", "NLL"]
    for one in outcome.json()["models"]:
        assert (one["split"], one["by_length"]) == ("test", [])
        assert one["metrics"].keys() == {"accuracy", "f1", "nll"}
        assert one["tokens"] >= 200
    assert "Scores on test:" in (tmp_path / "out" / "table.md").read_text()
    assert info(tmp_path / "out" / "started")["finetuned_from"]["run"] == str(tmp_path / "masked")


def test_what_cannot_be_compared_is_told(corpus: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    cases: list[tuple[tuple[object, ...], str]] = [
        ((recipe, recipe, "seed=4"), "say how long each model trains"),
        ((recipe, recipe, "seed=4", "--tokens", 9, "--minutes", 1), "say how long"),
        ((recipe, "--tokens", 9), "name at least two recipes"),
        ((recipe, recipe, "--tokens", 9), "two models are called tiny"),
        (("seed=4", recipe, "--tokens", 9), "changes no recipe"),
        ((recipe, recipe, "data.max_length=9", "--tokens", 9), "data.max_length: 256 -> 9"),
        (("kornli", "korsts", "--tokens", 9), "the task classification, korsts of regression"),
    ]
    for operands, message in cases:
        check_told(inside("compare", *operands, "--out", tmp_path / "out"), 2, message)
    assert not (tmp_path / "out").exists()


def test_layers_are_compared_as_the_contract_says(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "layers.png"
    outcome = inside("compare", "layers", "--lengths", "16,64", "--out", picture, "--json")
    assert outcome.code == 0, outcome.err
    report = outcome.json()
    kinds = list(dict.fromkeys(row["kind"] for row in report["layers"]))
    assert len(kinds) == 5
    assert [(row["kind"], row["length"]) for row in report["layers"]] == [
        (kind, length) for length in (16, 64) for kind in kinds
    ]
    for row in report["layers"]:
        assert min(row["forward_ms"], row["backward_ms"], row["peak_bytes"]) > 0
        recurrent = row["kind"] == "recurrent"
        assert row["sequential_operations"] == (row["length"] if recurrent else 1)
        assert 1 <= row["max_path_length"] <= row["length"]
    assert list(report["exponents"]) == kinds
    assert all({"forward", "memory"} <= found.keys() for found in report["exponents"].values())
    assert all(check["max_path_length"] == check["measured"] for check in report["path_checks"])
    assert {one["distance"] for one in report["gradients"]} == {0, 1, 2, 4, 8, 16, 32, 63}
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in outcome.err


def test_layers_are_compared_in_a_table(tmp_path: Path) -> None:
    outcome = inside("compare", "layers", "--lengths", "16", "--out", tmp_path / "x.png")
    assert outcome.code == 0, outcome.err
    assert "| recurrent | 16 | " in outcome.out
    assert "| local_self_attention | – | – | – |" in outcome.out


def test_what_compare_layers_does_not_take_is_told(tmp_path: Path) -> None:
    cases: list[tuple[tuple[object, ...], str]] = [
        (("layers", "--lengths", "64,x"), "'x' is not a length"),
        (("layers", "--lengths", ""), "'' is not a length"),
        (("layers", "recipe.yaml"), "`compare layers` trains nothing"),
        (("layers", "--minutes", 1), "`compare layers` trains nothing"),
        (("recipe.yaml", "--lengths", "64"), "--lengths goes with `compare layers`"),
        (("layers", "--out", tmp_path / "x.pdf"), "must end in .png"),
    ]
    for arguments, message in cases:
        check_told(inside("compare", *arguments), 2, message)
