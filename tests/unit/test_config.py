"""Recipes: everything wrong is told at once, and what is right means the same when read again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from polyhead import registry
from polyhead.config import Recipe, diff
from polyhead.errors import RecipeError, UsageError
from polyhead.recipe import text as recipe_text
from polyhead.recipe.reading import find_recipe, load_recipe, shipped_recipes

CORPUS = {"source": "a.ko", "target": "a.en"}


def raw(**changes: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "task": "translation",
        "model": {"kind": "transformer", "preset": "tiny"},
        "data": {
            "source_language": "ko",
            "target_language": "en",
            "train": dict(CORPUS),
            "valid": dict(CORPUS),
        },
        "training": {"max_steps": 10},
    } | changes


def problems(source: Any, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as error:
        load_recipe(source, list(overrides))
    assert error.value.exit_code == 2
    for problem in error.value.problems:
        assert f"  - {problem}" in str(error.value)
    return error.value.problems


def put(folder: Path, content: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def test_data_files_may_be_paths(tmp_path: Path) -> None:
    recipe = raw()
    recipe["data"]["train"] = {name: tmp_path / file for name, file in CORPUS.items()}
    source: Any = load_recipe(recipe).data
    assert source.train[0].source == str((tmp_path / "a.ko").resolve())
    language = raw(task="language_modeling", model={"kind": "gpt", "preset": "char-tiny"})
    language["data"] = dict.fromkeys(("train", "valid"), tmp_path / "a.txt") | {"context": 8}
    text: Any = load_recipe(language).data
    assert text.train[0].file == str((tmp_path / "a.txt").resolve())


# --- what is wrong


def test_all_problems_of_all_sections_are_told_at_once_with_nearest_names() -> None:
    recipe = raw(
        seeed=3,
        model={"kind": "transformer", "dropuot": 0.1, "num_layers": 0},
        tokenizer={"vocab_size": "many"},
    )
    recipe["data"] |= {"sorce_language": "ko", "max_length": -1}
    del recipe["data"]["target_language"]
    recipe["training"] |= {"optimizer": {"learning_rate": 1}, "scheduel": {}, "precision": "fp8"}
    found = problems(recipe)
    expected = [
        "model.dropuot: unknown key; did you mean 'dropout'?",
        "model.num_layers: input should be greater than or equal to 1 (found 0)",
        "data.target_language: missing",
        "data.sorce_language: unknown key; did you mean 'source_language'?",
        "data.max_length: input should be greater than or equal to 1 (found -1)",
        "tokenizer.vocab_size: input should be a valid integer",
        "training.optimizer.learning_rate: unknown key; valid here: kind, lr,",
        "training.scheduel: unknown key; did you mean 'schedule'?",
        "training.precision: input should be 'auto', 'fp32', 'bf16' or 'fp16' (found 'fp8')",
        "seeed: unknown key; did you mean 'seed'?",
    ]
    assert len(found) == len(expected)
    for line in expected:
        assert any(problem.startswith(line) for problem in found), (line, found)


@pytest.mark.parametrize(
    ("kind", "task", "needed"),
    [
        ("gpt", "translation", "conv_seq2seq or rnn_seq2seq or transformer"),
        ("bert", "language_modeling", "gpt"),
        ("gpt", "masked_lm", "bert"),
        ("rnn_seq2seq", "tagging", "bert or gpt"),
    ],
)
def test_a_model_that_cannot_learn_the_task_is_told_before_data_is_read(
    kind: str, task: str, needed: str
) -> None:
    found = problems(raw(model={"kind": kind}, task=task))
    assert f"model.kind: the task {task} needs {needed} (found {kind!r})" in found


def test_every_task_can_be_learnt_by_some_model() -> None:
    families = {registry.find("models", kind).Config.family for kind in registry.names("models")}
    for task in registry.names("tasks"):
        assert families.intersection(registry.find("tasks", task).Data.families), task


def test_early_stopping_watches_what_the_task_shows() -> None:
    [told] = problems(raw(), "training.early_stopping.metric=accuracy")
    assert "the task translation has no accuracy; it has bleu, chrf, nll, none" in told
    load_recipe(raw(), ["training.early_stopping.metric=chrf"])


@pytest.mark.parametrize(
    "change",
    ["optimizer.betas=[1.5, 2]", "optimizer.lr=.inf", "optimizer.betas=[0.9, 1.0]"],
)
def test_numbers_no_optimiser_takes_are_told(change: str) -> None:
    assert problems(raw(), f"training.{change}")


TWO_FORMS = "data.train: give either source and target, or file (or hub) with its columns"
NO_END = "training: say when to stop: max_steps, max_minutes, max_epochs or max_tokens"
NO_F1 = "training.early_stopping.metric: the task translation has no f1"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training": {"batch_tokenz": 3}}, ["training.batch_tokenz: unknown", NO_END]),
        ({"training": {"clip": -1}}, ["training.clip: input", NO_END]),
        (
            {"training": {"batch_tokenz": 3, "early_stopping": {"metric": "f1"}}},
            ["training.batch_tokenz: unknown", NO_END, NO_F1],
        ),
        (
            {
                "training": {"early_stopping": {"metric": "f1", "patience": 0}, "max_steps": 1},
                "model": {"kind": "transformer", "dropuot": 0.1},
            },
            ["model.dropuot: unknown", "training.early_stopping.patience: input", NO_F1],
        ),
        (
            {"training": {"max_steps": 1, "lora": {}, "sharding": "fsdp", "compile": True}},
            ["training.lora adds to", "training.lora does not go with training.sharding"],
        ),
        (
            {"model": {"kind": "transformer", "colour": 1, "d_model": 30, "num_heads": 4}},
            ["model.colour: unknown", "model: d_model 30 is not divisible by num_heads 4"],
        ),
        (
            {"model": {"kind": "transformer", "preset": "tiny", "dropout": 2, "num_heads": 3}},
            ["model.dropout: input", "model: d_model 128 is not divisible by num_heads 3"],
        ),
    ],
    ids=str,
)
def test_a_wrong_key_does_not_hide_what_is_wrong_with_the_others(
    changes: dict[str, Any], expected: list[str]
) -> None:
    found = problems(raw(**changes))
    assert len(found) == len(expected), found
    for line in expected:
        assert any(problem.startswith(line) for problem in found), (line, found)


@pytest.mark.parametrize("several", [False, True])
def test_a_wrong_key_of_a_corpus_does_not_hide_that_its_keys_do_not_go_together(
    several: bool,
) -> None:
    recipe = raw()
    wrong = {"source": "a.ko", "file": "a.tsv", "colour": "red"}
    recipe["data"]["train"] = [CORPUS, wrong] if several else wrong
    place = "data.train.1" if several else "data.train"
    unknown, forms = problems(recipe)
    assert unknown.startswith(f"{place}.colour: unknown key")
    assert forms == TWO_FORMS.replace("data.train", place)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"max_stepz": 100}},  # no: say when to stop
        {"training": {"max_steps": -1}},
        {"training": {"max_steps": 1, "early_stopping": {"metric": "blue"}}},
        {"training": {"max_steps": 1, "lora": {"rank": 0}}, "model": {"kind": "transformer"}},
        {"model": {"kind": "transformer", "d_model": "wide", "num_heads": 3}},
        {"model": {"kind": "transformer", "d_modell": 96, "num_heads": 3}},
        {"model": {"kind": "rnn_seq2seq", "attention": {"score": "cat", "width": 3}}},
        {"tokenizer": {"new": "x"}},
    ],
    ids=str,
)
def test_a_wrong_value_is_one_problem_and_none_comes_of_leaving_it_out(
    changes: dict[str, Any],
) -> None:
    found = problems(raw(**changes))
    if "lora" in str(changes):
        assert found.pop().startswith("training.lora adds to the weights of model.from")
    assert len(found) == 1, found


@pytest.mark.parametrize("corpus", [{"source": "a.ko", "taget": "b"}, {"source": 3, "target": "b"}])
def test_a_wrong_value_of_a_corpus_is_one_problem(corpus: dict[str, Any]) -> None:
    recipe = raw()
    recipe["data"]["valid"] = corpus
    assert len(problems(recipe)) == 1


def test_a_key_that_is_no_text_is_a_problem_beside_others() -> None:
    recipe = raw(training={3: 4, "clip": -1})
    assert len(problems(recipe)) >= 2


def test_a_key_in_the_wrong_section_is_shown_its_place() -> None:
    (found,) = problems(raw(batch_tokens=100))
    assert found == "batch_tokens: unknown key; did you mean training.batch_tokens?"


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"model": {"kind": "transfromer"}}, "model.kind: 'transfromer' is not one of"),
        ({"model": {"d_model": 32}}, "model.kind: missing"),
        ({"model": {}}, "model.kind: missing"),
        ({"model": 5}, "model: input should be a valid dictionary"),
        ({"model": None}, "model: input should be a valid dictionary"),
        ({"task": "translaton"}, "task: 'translaton' is not one of"),
        ({"data": None}, "data: input should be a valid dictionary"),
        ({"data": []}, "data: input should be a valid dictionary"),
        (
            {"training": {}},
            "training: say when to stop: max_steps, max_minutes, max_epochs or max_tokens",
        ),
        ({"training": 3}, "training: input should be a valid dictionary"),
        ({"name": "a/b"}, "name: string should match"),
    ],
    ids=str,
)
def test_one_fault_is_one_problem_and_never_a_traceback(
    changes: dict[str, Any], start: str
) -> None:
    (found,) = problems(raw(**changes))
    assert found.startswith(start)


@pytest.mark.parametrize("kind", ["transfromer", "translaton"])
def test_a_misspelt_kind_has_a_nearest_name(kind: str) -> None:
    changes = {"model": {"kind": kind}} if kind == "transfromer" else {"task": kind}
    (found,) = problems(raw(**changes))
    near = "transformer" if kind == "transfromer" else "translation"
    assert found.endswith(f"did you mean {near!r}?")


def test_a_run_to_start_from_that_cannot_be_named_is_told_with_the_rest(tmp_path: Path) -> None:
    for place, why in (("${NO_SUCH_VARIABLE}/run", "NO_SUCH_VARIABLE"), (3, "found 3")):
        found = problems(raw(model={"from": place}, seeed=1))
        assert any(one.startswith("model.from: ") and why in one for one in found), found
        assert any("seeed" in one for one in found)
    assert problems(raw(model={"from": str(tmp_path)})) == ["model.kind: missing"]


@pytest.mark.parametrize("key", ["name", "task", "model", "training"])
def test_a_missing_section_is_told(key: str) -> None:
    recipe = raw()
    del recipe[key]
    assert f"{key}: missing" in problems(recipe)


def test_a_missing_data_section_names_what_it_needs() -> None:
    recipe = raw()
    del recipe["data"]
    found = problems(recipe)
    assert "data.train: missing" in found
    assert "data.source_language: missing" in found


def test_faults_inside_a_list_are_told_with_their_place() -> None:
    recipe = raw()
    recipe["data"]["train"] = [CORPUS, {"source": "a.ko", "traget": "a.en"}]
    (found,) = [p for p in problems(recipe) if "unknown" in p]
    assert found == "data.train.1.traget: unknown key; did you mean 'target'?"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"d_model": 30, "num_heads": 4}, "d_model 30 is not divisible by num_heads 4"),
        ({"d_model": 9, "num_heads": 3}, "sinusoidal positions need an even d_model"),
    ],
)
def test_a_model_that_cannot_be_built_is_refused(model: dict[str, Any], message: str) -> None:
    (found,) = problems(raw(model={"kind": "transformer", **model}))
    assert message in found


@pytest.mark.parametrize("content", ["a: [1", "- 1\n- 2\n", "just text", ""])
def test_a_file_that_is_no_mapping_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    (found,) = problems(path)
    assert found.startswith(("not valid YAML", "a recipe is a mapping"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("name: a\nseed: 1\nname: b\n", "the key 'name' stands twice, in line 1 and in line 3"),
        ("data:\n  train:\n  - {file: a, weight: 1, file: b}\n", "'file' stands twice, in line 3"),
        ("name: a\ntraining:\n\tclip: 1\n", "line 3 has a tab where YAML allows only spaces"),
        ("name: a\nmodel: {kind: [x}\n", "line 2, column 17"),
    ],
)
def test_a_fault_of_yaml_is_told_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    (found,) = problems(path)
    assert told in found


def test_a_mapping_may_override_what_it_merges() -> None:
    text = "base: &b {lr: 1, kind: adam}\nown: {<<: *b, lr: 2}\n"
    assert recipe_text.parse(text)["own"] == {"lr": 2, "kind": "adam"}


def test_a_word_that_yaml_takes_for_true_or_false_is_told_as_such() -> None:
    (found,) = problems(raw(), "data.source_language=no")
    assert "data.source_language: " in found
    assert "put it in quotes (found False)" in found


def test_a_recipe_that_is_nowhere_has_a_nearest_shipped_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("polyhead.recipe.reading.shipped_recipes", lambda: {"ko-en": Path("x")})
    with pytest.raises(UsageError, match=r"no recipe 'ko-em'.*shipped recipe 'ko-en'\?"):
        find_recipe("ko-em")
    assert find_recipe("ko-en") == Path("x")


# --- overrides


def test_overrides_change_values_by_dotted_path() -> None:
    recipe = load_recipe(
        raw(),
        [
            "training.max_steps=7",
            "training.optimizer.lr=1e-4",
            "training.optimizer.betas=[0.8, 0.9]",
            "model.dropout=0",
            "tokenizer.shared=false",
            "data.train.source=b.ko",
            "training.clip=",
            "name=other",
        ],
    )
    assert recipe.training.max_steps == 7
    assert recipe.training.optimizer.lr == 1e-4
    assert recipe.training.optimizer.betas == (0.8, 0.9)
    assert recipe.model.dropout == 0
    assert recipe.tokenizer.shared is False
    assert recipe.data.train[0].source.endswith("/b.ko")
    assert recipe.training.clip is None
    assert recipe.name == "other"


def test_the_first_of_a_single_mapping_is_the_mapping() -> None:
    recipe = load_recipe(raw(), ["data.train.0.weight=3", "data.valid.0.source=b.ko"])
    assert [spec.weight for spec in recipe.data.train] == [3.0]
    assert recipe.data.valid[0].source.endswith("/b.ko")
    assert problems(raw(), "data.train.1.weight=3")
    assert problems(raw(), "model.0.dropout=0")


def test_an_override_reaches_into_a_list() -> None:
    source = raw()
    source["data"]["train"] = [dict(CORPUS), dict(CORPUS)]
    recipe = load_recipe(source, ["data.train.1.weight=3"])
    assert [spec.weight for spec in recipe.data.train] == [1.0, 3.0]
    for wrong in ("data.train.2.weight=3", "data.train.x.weight=3"):
        with pytest.raises(UsageError, match="not a position in a list of 2"):
            load_recipe(source, [wrong])


def test_overrides_leave_the_mapping_they_came_with_alone() -> None:
    source = raw()
    load_recipe(source, ["training.max_steps=3", "data.max_length=9"])
    assert source == raw()


@pytest.mark.parametrize(
    "text",
    ["training.max_steps", "=3", "name=a: b: c", "seed=[1", "training.optimizer.betas.0.x=1"],
)
def test_an_override_that_cannot_be_read_is_wrong_use(text: str) -> None:
    source = raw()
    source["training"]["optimizer"] = {"betas": [0.9, 0.98]}
    with pytest.raises(UsageError) as error:
        load_recipe(source, [text])
    assert text.partition("=")[0] in str(error.value)


def test_a_misspelt_override_is_told_like_any_key() -> None:
    assert problems(raw(), "training.max_step=3") == [
        "training.max_step: unknown key; did you mean 'max_steps'?"
    ]


# --- what is right


def test_paths_are_relative_to_the_recipes_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPORA", str(tmp_path / "corpora"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    content = raw()
    content["data"]["train"] = {"source": "${CORPORA}/x.ko", "target": "../sub/x.en"}
    content["data"]["valid"] = {"source": "~/v.ko", "target": str(tmp_path / "v.en")}
    (tmp_path / "recipes").mkdir()
    data = load_recipe(put(tmp_path / "recipes", content)).data
    assert data.train[0].source == str(tmp_path / "corpora" / "x.ko")
    assert data.train[0].target == str(tmp_path / "sub" / "x.en")
    assert data.valid[0].source == str(tmp_path / "home" / "v.ko")
    assert data.valid[0].target == str(tmp_path / "v.en")


def test_a_variable_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    content = raw()
    content["data"]["valid"] = {"source": "${NO_SUCH_PLACE}/x", "target": "y"}
    (found,) = problems(content)
    assert "data.valid.source: the environment variable NO_SUCH_PLACE is not set" in found


def test_a_presets_values_stand_where_no_own_key_does() -> None:
    model = load_recipe(raw(model={"kind": "transformer", "preset": "tiny", "d_ff": 99})).model
    assert (model.d_model, model.num_layers, model.dropout, model.d_ff) == (128, 4, 0.3, 99)
    assert load_recipe(raw(), ["model.num_layers=1"]).model.num_layers == 1


def test_a_single_corpus_is_a_list_of_one() -> None:
    assert len(load_recipe(raw()).data.train) == 1
    source = raw()
    source["data"]["train"] = []
    (found,) = problems(source)
    assert found.startswith("data.train: ")


def test_defaults_are_those_of_the_contract() -> None:
    recipe = load_recipe(raw())
    assert recipe.seed == 1
    assert recipe.data.max_length == 256
    assert (recipe.tokenizer.kind, recipe.tokenizer.vocab_size) == ("bpe", 8000)
    assert (recipe.training.batch_tokens, recipe.training.label_smoothing) == (4096, 0.1)
    assert (recipe.training.schedule.kind, recipe.training.schedule.warmup_steps) == ("noam", 4000)
    assert (recipe.decoding.beam, recipe.decoding.alpha) == (4, 0.6)


def test_a_resolved_recipe_means_the_same_anywhere(tmp_path: Path) -> None:
    source = raw()
    table = {"file": "표.tsv", "source_column": "원문", "target_column": "번역문"}
    source["data"]["train"] = [CORPUS, table | {"where": {"domain": ["a", 3, True]}, "weight": 0.5}]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    recipe = load_recipe(put(tmp_path / "one", source), ["model.dropout=0.25"])
    path = tmp_path / "two" / "recipe.yaml"
    path.write_text(recipe.as_yaml(), encoding="utf-8")
    again = load_recipe(path)
    assert again == recipe
    assert diff(recipe, again) == {}
    assert again.as_yaml() == recipe.as_yaml()
    assert "원문" in recipe.as_yaml()
    assert load_recipe(recipe.model_dump(mode="json")) == recipe


def test_a_difference_names_path_and_both_values() -> None:
    old = load_recipe(raw())
    new = load_recipe(raw(), ["training.max_steps=20", "model.dropout=0.2", "data.train.weight=2"])
    lines = list(diff(old, new).values())
    assert "training.max_steps: 10 -> 20" in lines
    assert "model.dropout: 0.3 -> 0.2" in lines
    assert len(lines) == 3
    assert any(line.startswith("data.train") for line in lines)


def test_a_recipe_is_frozen() -> None:
    recipe = load_recipe(raw())
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 2


def shipped() -> list[Path]:
    return sorted(shipped_recipes().values())


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYHEAD_DATA", "/data")
    assert isinstance(load_recipe(path), Recipe)


def test_a_recipe_keeps_the_vocabulary_of_the_run_that_it_says_to_start_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYHEAD_DATA", "/data")
    found = {}
    for path in shipped():
        header = " ".join(path.read_text(encoding="utf-8").replace("\n#", "").split())
        if advice := re.search(rf"polyhead finetune {path.stem} --from runs/([\w-]+)", header):
            found[path.stem] = advice[1]
    assert found == dict.fromkeys(("kornli", "korsts", "nsmc"), "nsmc-language")
    for name, origin in found.items():
        ours, theirs = load_recipe(find_recipe(name)), load_recipe(find_recipe(origin))
        assert (ours.tokenizer, ours.model) == (theirs.tokenizer, theirs.model)


# --- the registry


def test_models_and_tasks_are_found_by_name() -> None:
    assert "transformer" in registry.names("models")
    assert "translation" in registry.names("tasks")
    for room, attribute in (("models", "build"), ("tasks", "Task")):
        for name in registry.names(room):
            assert hasattr(registry.find(room, name), attribute)


def test_validation_data_may_come_from_several_places() -> None:
    content = raw()
    content["data"]["valid"] = [{"source": "a.ko", "target": "a.en"}, {"file": 3}]
    (found,) = problems(content)
    assert found.startswith("data.valid.1.file: ")
    content["data"]["valid"] = [{"source": f"{n}.ko", "target": f"{n}.en"} for n in "ab"]
    assert [Path(spec.target).name for spec in load_recipe(content).data.valid] == ["a.en", "b.en"]
