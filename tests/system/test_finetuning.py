"""Training from another run's weights: what is kept, what is new, what is dropped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from polyhead_system import check_told, info, inside, tensors_of, write_recipe
from test_masked_lm import write_masked_recipe

from polyhead.data.tokenizers import Tokenizer
from polyhead.runs.folder import Run, read_weights

pytestmark = pytest.mark.xdist_group("finetuning")
TABLE = "target_embedding.weight"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("origin")
    recipe = write_recipe(folder / "recipe.yaml", corpus)
    outcome = inside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture
def recipe(tmp_path: Path, corpus: Path) -> Path:
    """Other data, and neither a model's size nor a tokenizer: those are the run's."""
    path = write_recipe(tmp_path / "recipe.yaml", corpus, name="finer")
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    whole["model"] = {"kind": "transformer", "dropout": 0.2}
    del whole["tokenizer"]
    whole["data"]["train"] = whole["data"]["test"]
    path.write_text(yaml.safe_dump(whole, allow_unicode=True), encoding="utf-8")
    return path


def first(run: Path) -> dict[str, torch.Tensor]:
    """The weights before the first step."""
    return read_weights(run / "checkpoints" / "step-00000000" / "model.safetensors")


def test_a_finetuned_run_begins_with_the_runs_weights_and_vocabulary(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    before = dict(tensors_of(origin)), info(origin)
    outcome = inside("finetune", recipe, "--from", origin, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert f"starting from {origin} (step 6)" in outcome.err
    assert "rows of the shared vocabulary: 500 kept, 0 new, 0 dropped" in outcome.err
    ours, theirs = first(tmp_path / "run"), read_weights(origin / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (tmp_path / "run" / "tokenizer.json").read_text() == (
        origin / "tokenizer.json"
    ).read_text()
    assert info(tmp_path / "run")["finetuned_from"] == {
        "run": str(origin),
        "step": 6,
        "vocabulary": {"shared": {"kept": 500, "new": 0, "dropped": 0}},
        "carried": len(ours),
        "fresh": [],
        "dropped": [],
        "partly": [],
    }
    assert f"| started from | {origin}, step 6" in (tmp_path / "run" / "README.md").read_text()
    model = Run.open(tmp_path / "run").recipe.model.model_dump()
    assert (model["d_model"], model["norm"], model["dropout"]) == (32, "pre", 0.2)
    assert (dict(tensors_of(origin)), info(origin)) == before


def test_a_new_vocabulary_takes_over_the_rows_of_the_tokens_both_have(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    outcome = inside("finetune", recipe, "tokenizer.vocab_size=400", "--from", origin, "--out", run)
    assert outcome.code == 0, outcome.err
    new, old = (Tokenizer.load(place / "tokenizer.json").inner for place in (run, origin))
    ours, theirs = first(run)[TABLE], read_weights(origin / "model.safetensors")[TABLE]
    assert len(ours) == 400
    common = new.get_vocab().keys() & old.get_vocab().keys()
    assert {"</s>", "<unk>", "<pad>"} <= common
    for token in common:
        assert torch.equal(ours[new.token_to_id(token)], theirs[old.token_to_id(token)]), token
    others = [new.token_to_id(token) for token in new.get_vocab().keys() - common]
    assert others
    assert not any((theirs == row).all(dim=1).any() for row in ours[others])
    counts = {"kept": len(common), "new": 400 - len(common), "dropped": 500 - len(common)}
    assert info(run)["finetuned_from"]["vocabulary"] == {"shared": counts}
    shown = ", ".join(f"{count} {what}" for what, count in counts.items())
    assert f"rows of the shared vocabulary: {shown}" in outcome.err


def test_a_new_vocabulary_of_the_same_settings_is_trained_when_asked_for(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    outcome = inside("finetune", recipe, "tokenizer.new=true", "--from", origin, "--out", run)
    assert outcome.code == 0, outcome.err
    counts = info(run)["finetuned_from"]["vocabulary"]["shared"]
    assert counts["kept"] + counts["new"] == 500
    assert 0 < counts["new"] == counts["dropped"] < 250


def test_two_vocabularies_are_carried_over_each_by_its_own_tokens(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, tokenizer={"shared": False})
    assert inside("train", recipe, "training.max_steps=1", "--out", tmp_path / "a").code == 0
    changed = ("tokenizer.vocab_size=400", "training.max_steps=1")
    outcome = inside(
        "finetune", recipe, *changed, "--from", tmp_path / "a", "--out", tmp_path / "b"
    )
    assert outcome.code == 0, outcome.err
    assert info(tmp_path / "b")["finetuned_from"]["vocabulary"].keys() == {"source", "target"}
    for side in ("source", "target"):
        new, old = (
            Tokenizer.load(tmp_path / run / f"{side}_tokenizer.json").inner for run in ("b", "a")
        )
        ours = first(tmp_path / "b")[f"{side}_embedding.weight"]
        theirs = read_weights(tmp_path / "a" / "model.safetensors")[f"{side}_embedding.weight"]
        for token in new.get_vocab().keys() & old.get_vocab().keys():
            assert torch.equal(ours[new.token_to_id(token)], theirs[old.token_to_id(token)])


def test_the_bias_of_masked_tokens_goes_along_by_token(tmp_path: Path) -> None:
    recipe = write_masked_recipe(tmp_path)
    assert inside("train", recipe, "training.max_steps=3", "--out", tmp_path / "a").code == 0
    changed = ("tokenizer.vocab_size=28", "training.max_steps=1")
    out = ("--from", tmp_path / "a", "--out", tmp_path / "b")
    outcome = inside("finetune", recipe, *changed, *out)
    assert outcome.code == 0, outcome.err
    new, old = (Tokenizer.load(tmp_path / run / "tokenizer.json").inner for run in "ba")
    ours = first(tmp_path / "b")["head.bias"]
    theirs = read_weights(tmp_path / "a" / "model.safetensors")["head.bias"]
    assert len(ours) == new.get_vocab_size() < len(theirs)
    for token in new.get_vocab().keys() & old.get_vocab().keys():
        assert ours[new.token_to_id(token)] == theirs[old.token_to_id(token)], token


def test_model_from_in_a_recipe_is_the_same_and_resumes_without_the_run(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(origin, tmp_path / "copy"))
    assert inside("finetune", recipe, "--from", copy, "--out", tmp_path / "a").code == 0
    override = "model.from=copy"  # relative to the recipe's file
    assert inside("train", recipe, override, "--out", tmp_path / "b").code == 0
    assert dict(tensors_of(tmp_path / "a")) == dict(tensors_of(tmp_path / "b"))
    shutil.rmtree(copy)
    assert inside("extend", tmp_path / "a", "--steps", 8).code == 0
    assert inside("translate", tmp_path / "a", stdin=b"\n").code == 0


def test_a_recipe_need_not_say_what_the_runs_model_is(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    keys = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    del keys["model"]
    recipe.write_text(yaml.safe_dump(keys, allow_unicode=True), encoding="utf-8")
    assert inside("finetune", recipe, "--from", origin, "--out", tmp_path / "a").code == 0
    size = "model.d_model=32"  # right for the run's 2 heads, wrong for the 8 of the defaults
    outcome = inside("finetune", recipe, size, "--from", origin, "--out", tmp_path / "b")
    assert outcome.code == 0, outcome.err
    told = inside("finetune", recipe, "model.d_model=30", "--from", origin)
    check_told(told, 2, "model.d_model: 30 here, 32 in the run")


def test_every_key_that_does_not_fit_is_listed_at_once(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    outcome = inside(
        *("finetune", recipe, "--from", origin, "--out", tmp_path / "run"),
        *("model.d_model=64", "model.num_layers=2", "model.norm=post", "tokenizer.shared=false"),
    )
    check_told(
        outcome,
        2,
        f"does not fit {origin}",
        "4 problems",
        "model.d_model: 64 here, 32 in the run",
        "model.num_layers: 2 here, 1 in the run",
        "model.norm: 'post' here, 'pre' in the run",
        "tokenizer.shared: False here, True in the run",
        "leave these keys out",
    )
    assert not (tmp_path / "run").exists()


def test_of_learned_positions_the_first_are_carried_over_and_more_are_refused(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, model={"positions": "learned"})
    assert inside("train", recipe, "training.max_steps=1", "--out", tmp_path / "a").code == 0
    run = tmp_path / "b"
    outcome = inside(
        *("finetune", recipe, "model.max_length=99", "training.max_steps=1"),
        *("--from", tmp_path / "a", "--out", run),
    )
    assert outcome.code == 0, outcome.err
    ours, theirs = first(run), read_weights(tmp_path / "a" / "model.safetensors")
    assert torch.equal(ours["positions.table"], theirs["positions.table"][:99])
    assert info(run)["finetuned_from"]["dropped"] == ["positions.table[99:]"]
    assert "are dropped: positions.table[99:]" in outcome.err
    outcome = inside(
        *("finetune", recipe, "model.max_length=200"),
        *("--from", tmp_path / "a", "--out", tmp_path / "c"),
    )
    check_told(
        *(outcome, 1, "positions.table: 128 learned positions in the run, 200 here"),
        "set model.max_length to at most 128",
    )


def test_a_kept_vocabulary_and_another_one_exclude_each_other(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    changes = ("tokenizer.new=false", "tokenizer.vocab_size=400")
    out = ("--out", tmp_path / "run")
    outcome = inside("finetune", recipe, *changes, "--from", origin, *out)
    check_told(outcome, 2, "tokenizer.vocab_size: 400 here, 500 in the run")
    outcome = inside("train", recipe, "tokenizer.new=true", *out)
    check_told(outcome, 2, "tokenizer.new is about model.from, which is not given")


def test_finetune_wants_a_run_with_weights_and_a_place(
    origin: Path, recipe: Path, tmp_path: Path
) -> None:
    check_told(inside("finetune", recipe), 2, "--from")
    check_told(inside("finetune", recipe, "--from", tmp_path / "no"), 2, "no run folder")
    check_told(inside("finetune", recipe, "--from", recipe.parent), 2, "not a run folder")
    outcome = inside("finetune", recipe, "--from", origin, "--out", origin)
    check_told(outcome, 2, f"{origin} exists already")
