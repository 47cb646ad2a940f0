"""Whatever a person gives by mistake: what was found, what was needed, what to do; nothing lost."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polyhead_system import change_info, check_told, inside, outside, write_recipe

pytestmark = pytest.mark.xdist_group("trained")
Damage = Callable[[Path], Any]


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """A run to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_mistake_gives_no_traceback_in_a_real_process_either(tmp_path: Path) -> None:
    check_told(outside("translate", tmp_path / "no"), 2, "no run folder", "polyhead train RECIPE")


# --- recipes


def test_every_mistake_in_a_recipe_is_listed_at_once_with_its_nearest_name(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(
        tmp_path / "recipe.yaml",
        corpus,
        model={"num_haeds": 4},
        tokenizer={"vocab_size": "many"},
        training={"optimiser": {"lr": 1}, "clip": -1.0},
        data={"train": [{"source": "a.ko", "taget": "a.en"}]},
        decodign={"beam": 4},
    )
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    check_told(
        outcome,
        2,
        f"{recipe}: ",
        "model.num_haeds: unknown key; did you mean 'num_heads'?",
        "tokenizer.vocab_size: ",
        "(found 'many')",
        "training.optimiser: unknown key; did you mean 'optimizer'?",
        "training.clip: input should be greater than 0 (found -1.0)",
        "data.train.0.taget: unknown key; did you mean 'target'?",
        "decodign: unknown key; did you mean 'decoding'?",
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "phrases"),
    [
        ("name: [1, 2", ("not valid YAML",)),
        ("just text", ("a recipe is a mapping",)),
        ("", ("a recipe is a mapping",)),
        ("name: a\ntask: translation\nname\n", ("not valid YAML", "line")),
        ("name: a/b\nseed: -1\n", ("name: ", "seed: ", "model: missing", "training: missing")),
        ("task: translatoin\nmodel: {}\n", ("did you mean 'translation'?", "model.kind: missing")),
        ("model: {kind: transfomer}\n", ("did you mean 'transformer'?",)),
    ],
)
def test_a_file_that_is_no_recipe_says_why(
    tmp_path: Path, content: str, phrases: tuple[str, ...]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(content, encoding="utf-8")
    check_told(inside("train", path, "--out", tmp_path / "run"), 2, path, *phrases)


def test_bytes_that_are_no_text_are_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    check_told(inside("train", path), 2, path, "not valid YAML")


@pytest.mark.parametrize(
    ("override", "phrases"),
    [
        ("training.max_steps", ("'training.max_steps' is not key=value",)),
        ("=3", ("is not key=value",)),
        ("training.max_step=3", ("training.max_step: unknown key; did you mean 'max_steps'?",)),
        ("training.max_steps=soon", ("training.max_steps: ", "(found 'soon')")),
        (
            "training.max_steps=null",
            ("say when to stop: max_steps, max_minutes, max_epochs or max_tokens",),
        ),
        ("model.d_model=33", ("d_model 33 is not divisible by num_heads 2",)),
        ("name=[", ("'name=['", "not valid YAML")),
        ("data.train.source=${NOT_SET_AT_ALL}/x", ("NOT_SET_AT_ALL is not set",)),
        ("seed=99999999999999999999", ("seed: input should be less than",)),
    ],
)
def test_a_wrong_override_is_wrong_use(
    corpus: Path, tmp_path: Path, override: str, phrases: tuple[str, ...]
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    check_told(inside("train", recipe, override, "--out", tmp_path / "run"), 2, *phrases)
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_is_not_there_is_named_with_a_near_one(tmp_path: Path) -> None:
    told = inside("train", "multi30k-en-de-lowercas")
    check_told(told, 2, "no recipe", "polyhead recipes", "'multi30k-en-de-lowercase'?")
    check_told(inside("train"), 2, "say which recipe to train", "polyhead recipes")


def test_a_precision_this_machine_lacks_is_refused_before_anything_is_made(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    out = tmp_path / "run"
    told = inside("train", recipe, "training.precision=fp16", "--out", out)
    check_told(told, 1, "fp16 needs a GPU", "auto, fp32 or bf16")
    assert not out.exists()


# --- training data


def tabs(path: Path, *rows: str) -> dict[str, Any]:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return {"file": str(path), "source_column": "ko", "target_column": "en"}


def missing_file(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    train = {"source": str(corpus / "trian.ko"), "target": str(corpus / "train.en")}
    return train, (f"{corpus}/trian.ko: no such file; did you mean {corpus}/train.ko?",)


def wrong_column(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    train = tabs(folder / "a.tsv", "korean\ten", "하나\tone")
    return train, ("a.tsv: no column 'ko'; there are 'korean', 'en'",)


def line_counts_that_differ(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    train = {"source": str(corpus / "train.ko"), "target": str(corpus / "valid.en")}
    return train, ("has 430 lines but", "has 20", "without a partner is 21")


def invalid_utf8(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    (folder / "bad.ko").write_bytes("하나\n둘\n".encode() + "셋".encode("euc-kr") + b"\n")
    train = {"source": str(folder / "bad.ko"), "target": str(corpus / "train.en")}
    return train, ("bad.ko, line 3: not valid UTF-8", "iconv -f EUC-KR")


def a_row_with_too_few_cells(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    train = tabs(folder / "a.tsv", "ko\ten", "하나\tone", "둘")
    return train, ("a.tsv, line 3: 1 columns, but the header has 2",)


def broken_json(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    train = tabs(folder / "a.jsonl", '{"ko": "하나", "en": "one"}', "{")
    return train, ("a.jsonl, line 2: not valid JSON",)


def an_unknown_ending(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    return tabs(folder / "a.docx", "ko\ten"), ("'.docx' is not one of .tsv, .csv, .jsonl",)


def a_broken_archive(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    packed = bytearray(gzip.compress((corpus / "train.ko").read_bytes()))
    packed[200] ^= 255
    (folder / "train.ko.gz").write_bytes(packed)
    train = {"source": str(folder / "train.ko.gz"), "target": str(corpus / "train.en")}
    return train, ("train.ko.gz",)


def nothing_that_passes(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    train = tabs(folder / "a.tsv", "ko\ten\tkind", "하나\tone\tnumber")
    return train | {"where": {"kind": "nubmer"}}, ("no row passes where", "kind has number")


def an_empty_file(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    for end in ("ko", "en"):
        (folder / f"empty.{end}").touch()
    train = {"source": str(folder / "empty.ko"), "target": str(folder / "empty.en")}
    return train, ("there is no text to train a tokenizer on",)


def a_folder(folder: Path, corpus: Path) -> tuple[Any, tuple[str, ...]]:
    train = {"source": str(corpus), "target": str(corpus / "train.en")}
    return train, (f"{corpus} is a folder; a file is needed",)


@pytest.mark.parametrize(
    "fault",
    [
        missing_file,
        wrong_column,
        line_counts_that_differ,
        invalid_utf8,
        a_row_with_too_few_cells,
        broken_json,
        an_unknown_ending,
        a_broken_archive,
        nothing_that_passes,
        an_empty_file,
        a_folder,
    ],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_fault_in_the_data_is_told_with_its_place_before_training_begins(
    corpus: Path, tmp_path: Path, fault: Any, part: str
) -> None:
    spec, phrases = fault(tmp_path, corpus)
    if part == "test" and fault is an_empty_file:
        phrases = ("there is no pair to evaluate on",)
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, data={part: spec})
    check_told(inside("train", recipe, "--out", tmp_path / "run"), 1, *phrases)
    assert not (tmp_path / "run").exists()


def test_all_missing_files_and_an_impossible_place_are_told_before_anything_is_read(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyhead.tasks.translation.read_pairs", None)
    recipe = write_recipe(
        tmp_path / "recipe.yaml",
        corpus,
        data={
            "valid": {"source": str(corpus / "vlaid.ko"), "target": str(corpus)},
            "test": {"source": str(tmp_path / "no" / "test.ko"), "target": str(corpus / "test.en")},
        },
    )
    check_told(
        inside("train", recipe, "--out", tmp_path / "run"),
        1,
        "3 files of the recipe cannot be read:",
        f"data.valid.source: {corpus}/vlaid.ko: no such file; did you mean {corpus}/valid.ko?",
        f"data.valid.target: {corpus} is a folder; a file is needed",
        f"data.test.source: {tmp_path}/no/test.ko: no such file (its folder {tmp_path}/no does",
    )
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    for place in (recipe / "run", Path("/proc/run")):
        told = inside("train", recipe, "--out", place)
        check_told(told, 1, "cannot write", place.parent, "choose another place")
    assert list(tmp_path.iterdir()) == [recipe]


def test_a_recipe_without_test_data_trains_and_says_so_when_it_is_wanted(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(
        tmp_path / "recipe.yaml", corpus, data={"test": None}, training={"max_steps": 1}
    )
    assert inside("train", recipe, "--out", tmp_path / "run").code == 0
    check_told(inside("evaluate", tmp_path / "run"), 1, "the recipe names no test data (data.test)")


def test_a_loss_that_is_no_number_names_its_batch_and_keeps_what_was_saved(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(
        tmp_path / "recipe.yaml", corpus, training={"optimizer": {"lr": 1e30}, "validate_every": 1}
    )
    run = tmp_path / "run"
    outcome = inside("train", recipe, "--out", run)
    check_told(
        outcome,
        1,
        "step 2: the loss is nan",
        f"{corpus / 'train.en'}, line ",
        "lower training.optimizer.lr",
        "a new run",
    )
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["complete"] is False
    assert len(inside("translate", run, stdin=b"a\nb\n").lines) == 2
    again = inside("train", "--resume", run)
    check_told(again, 1, f"resuming {run} at step 1", "step 2: the loss is nan")


# --- run folders


def set_text(name: str, text: str) -> Damage:
    return lambda run: (run / name).write_text(text, encoding="utf-8")


def cut(name: str, size: int) -> Damage:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:size])


def flip(name: str, place: int) -> Damage:
    """One bit of one byte."""

    def damage(run: Path) -> None:
        data = bytearray((run / name).read_bytes())
        data[place] ^= 0x40
        (run / name).write_bytes(data)

    return damage


def remove(name: str) -> Damage:
    return lambda run: (run / name).unlink()


@pytest.mark.parametrize(
    ("damage", "phrases"),
    [
        (lambda run: change_info(run, format_version=999), ("999", "up to format 1", "Upgrade")),
        (lambda run: change_info(run, format_version="x"), ("format_version is 'x'",)),
        (lambda run: change_info(run, model="gpt"), ("run.json says gpt for translation",)),
        (set_text("run.json", "garbage"), ("run.json is damaged",)),
        (set_text("run.json", "[]"), ("run.json is damaged", "a JSON object is needed")),
        (set_text("run.json", '{"format_version": 1}'), ("run.json is damaged", "no ", "task")),
        (remove("run.json"), ("run.json is missing", "damaged")),
        (remove("recipe.yaml"), ("recipe.yaml is missing", "damaged")),
        (cut("model.safetensors", 5000), ("model.safetensors is damaged",)),
        (cut("model.safetensors", 0), ("model.safetensors is damaged",)),
        (flip("model.safetensors", -1001), ("model.safetensors is damaged", "SHA-256")),
        (remove("model.safetensors"), ("model.safetensors is missing", "--resume")),
        (remove("tokenizer.json"), ("tokenizer.json is missing",)),
        (cut("tokenizer.json", 300), ("tokenizer.json", "not a tokenizer file")),
    ],
)
def test_a_damaged_or_newer_run_folder_is_named(
    copy: Path, damage: Damage, phrases: tuple[str, ...]
) -> None:
    damage(copy)
    check_told(inside("translate", copy, stdin=b"a\n"), 1, copy, *phrases)


def test_a_folder_that_is_no_run_is_wrong_use_like_one_that_is_not_there(
    trained: Path, tmp_path: Path
) -> None:
    check_told(inside("translate", tmp_path / "no", stdin=b"a\n"), 2, "no run folder")
    told = inside("translate", tmp_path, stdin=b"a\n")
    check_told(told, 2, "not a run folder: it has no run.json")
    told = inside("translate", trained.parent, stdin=b"a\n")
    check_told(told, 2, "not a run folder", f"Did you mean {trained}?")


def test_weights_of_another_shape_are_listed(copy: Path) -> None:
    recipe = (copy / "recipe.yaml").read_text(encoding="utf-8")
    wider = recipe.replace("d_ff: 64", "d_ff: 96")
    (copy / "recipe.yaml").write_text(wider, encoding="utf-8")
    told = inside("explain", copy, "a")
    assert told.code == 0  # which needs no weights
    check_told(
        inside("translate", copy, stdin=b"a\n"), 1, "do not fit the model", "(64, 32)", "(96, 32)"
    )


@pytest.mark.parametrize("text", ["name: [", "name: it\ntask: nothing\n", ""])
def test_a_run_whose_recipe_is_none_is_damaged(copy: Path, text: str) -> None:
    (copy / "recipe.yaml").write_text(text, encoding="utf-8")
    check_told(inside("explain", copy, "a"), 1, "the run folder is damaged", "recipe.yaml")


def test_data_that_moved_is_named_when_a_split_is_wanted(copy: Path, tmp_path: Path) -> None:
    recipe = (copy / "recipe.yaml").read_text(encoding="utf-8")
    (copy / "recipe.yaml").write_text(recipe.replace("test.ko", "tset.ko"), encoding="utf-8")
    check_told(inside("evaluate", copy), 1, "tset.ko: no such file; did you mean", "test.ko?")


# --- options and files


@pytest.mark.parametrize(
    ("options", "phrases"),
    [
        (("--beam", 0), ("beam 0 is not at least 1",)),
        (("--beam", "two"), ("--beam", '"two"')),
        (("--nbest", 0), ("nbest 0 is not at least 1",)),
        (("--alpha", -1), ("alpha -1.0 is not a number from 0 to 10",)),
        (("--alpha", "nan"), ("alpha nan is not a number from 0 to 10",)),
        (("--alpha", 500), ("alpha 500.0 is not a number from 0 to 10",)),
        (("--max-length", 0), ("max-length 0 is not at least 1",)),
        (("--no-repeat-ngram", -1), ("no-repeat-ngram -1 is not at least 0",)),
        (("--top-p", 0.5), ("--top-p", "--sample, which is not given")),
        (("--seed", 1, "--top-k", 3), ("--top-k, --seed: about --sample, which is not given",)),
        (("--sample", "--beam", 2), ("--beam is about searching, --sample draws", "leave one out")),
        (("--sample", "--top-p", 2), ("top-p 2.0 is not between 0 and 1",)),
        (("--sample", "--top-k", 0), ("top-k 0 is not at least 1",)),
        (("--sample", "--temperature", 0), ("temperature 0.0 is not between", "greedy search")),
        (("--sample", "--temperature", "nan"), ("temperature nan is not between",)),
        (("--sample", "--temperature", "inf"), ("temperature inf is not between 0.001 and 1000",)),
        (("--sample", "--seed", 2**70), ("seed ", "is not between 0 and 2^63")),
        (("--sample", "--seed", -1), ("seed -1 is not between 0 and 2^63",)),
        (("--precision", "fp8"), ('"fp8"', "fp32", "bf16", "int8")),
        (("--baem", 3), ("unknown option --baem", "mean --beam?", "translate --help")),
    ],
)
def test_a_wrong_option_of_translate_is_wrong_use(
    trained: Path, options: tuple[Any, ...], phrases: tuple[str, ...]
) -> None:
    check_told(inside("translate", trained, *options, stdin=b"a\n"), 2, *phrases)


def test_options_that_do_not_go_together_are_wrong_use(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    files = ("--source", corpus / "test.ko", "--reference", corpus / "test.en")
    told = inside("evaluate", trained, "--split", "test", *files)
    check_told(told, 2, "--split and --source", "leave one out")
    check_told(inside("evaluate", trained, "--seed", 3), 2, "--seed is about --corrupt")
    out = ("--out", tmp_path / "p.png")
    told = inside("inspect", trained, "--positions", "--target", "a", *out)
    check_told(told, 2, "--target is about a text; --positions needs neither")


def test_input_that_cannot_be_read_is_named_with_its_line(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    bad = b"\xea\xb0\x80\n\xea\xb0\n"
    told = inside("translate", trained, stdin=bad)
    check_told(told, 1, "standard input, line 2: not valid UTF-8", "byte 0xea")
    check_told(inside("translate", trained, corpus), 1, f"{corpus} is a folder; a file is needed")
    near = corpus / "tset.ko"
    check_told(inside("translate", trained, near), 1, "no such file; did you mean", "test.ko?")
    nowhere = tmp_path / "no" / "out.en"
    told = inside("translate", trained, "--output", nowhere, stdin=b"a\n")
    check_told(told, 1, f"cannot write {nowhere}")


def test_a_typed_text_that_is_no_utf8_is_wrong_use(trained: Path, tmp_path: Path) -> None:
    bad = b"a\xb0\xa1".decode("utf-8", "surrogateescape")
    out = tmp_path / "map.json"
    for command in (("explain", trained, bad), ("inspect", trained, bad, "--out", out)):
        check_told(inside(*command), 2, "is not valid UTF-8 at byte 2")
    assert not out.exists()


def test_files_to_judge_by_must_be_two_of_as_many_lines_and_not_empty(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    source, reference = corpus / "test.ko", corpus / "valid.en"
    told = inside("evaluate", trained, "--source", source)
    check_told(told, 2, "source and reference files go together")
    told = inside("evaluate", trained, "--source", source, "--reference", reference)
    check_told(told, 1, "has 50 lines but", "has 20")
    told = inside("score", trained, "--source", source, "--target", reference)
    check_told(told, 1, "has 50 lines but", "has 20")
    empty = tmp_path / "empty.txt"
    empty.touch()
    told = inside("evaluate", trained, "--source", empty, "--reference", empty)
    check_told(told, 1, "empty.txt", "there is no pair to evaluate on")
    assert inside("score", trained, "--source", empty, "--target", empty, "--json").json() == []
    check_told(inside("evaluate", trained, "--split", "train"), 2, '"train"', "test", "valid")


def test_closed_standard_streams_are_told(trained: Path) -> None:
    command = f"{sys.executable} -m polyhead translate {trained}"
    for redirected, phrase in (("<&-", "standard input is closed"), (">&-", "output is closed")):
        found = subprocess.run(
            ["sh", "-c", f"{command} {redirected}"], capture_output=True, text=True, check=False
        )
        assert found.returncode in (1, 2)
        assert phrase in found.stderr
        assert "Traceback" not in found.stderr
