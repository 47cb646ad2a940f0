"""What `polyhead train` leaves behind, as the contract says it."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
from itertools import islice
from pathlib import Path

import pytest
from polyhead_system import check_told, info, inside, journal, write_recipe

from polyhead.data.korean_english import generate
from polyhead.files import read_lines

pytestmark = pytest.mark.xdist_group("trained")


def test_the_run_folder_holds_exactly_what_the_contract_lists(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "README.md",
        "checkpoints",
        "metrics.jsonl",
        "model.safetensors",
        "recipe.yaml",
        "run.json",
        "tokenizer.json",
    ]
    checkpoints = sorted(path.name for path in (trained / "checkpoints").iterdir())
    assert checkpoints == ["step-00000050", "step-00000100", "step-00000150"]
    files = {p.name for p in (trained / "checkpoints" / "step-00000150").iterdir()}
    assert {"checksums.json", "state.json", "model.safetensors"} <= files
    assert {Path(name).suffix for name in files} == {".json", ".safetensors"}  # no pickle


def test_run_json_says_what_the_run_is_and_that_it_is_complete(trained: Path) -> None:
    found = info(trained)
    assert found["format_version"] == 1
    assert found["task"] == "translation"
    assert found["model"] == "transformer"
    assert found["step"] == 150
    assert found["complete"] is True
    assert found["stopped_because"] == "max_steps"
    assert found["weights"] in {"best", "averaged", "last"}
    assert {"polyhead_version", "epoch"} <= found.keys()


def test_every_file_of_a_run_can_be_read_by_whom_the_umask_lets(trained: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    for file in (path for path in trained.rglob("*") if path.is_file()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~mask, file


def test_metrics_have_the_keys_of_the_contract_and_no_step_stands_twice(trained: Path) -> None:
    entries = journal(trained)
    steps = [e["step"] for e in entries if e["kind"] == "train"]
    assert steps == list(range(1, 151))
    assert [e["step"] for e in entries if e["kind"] == "valid"] == [50, 100, 150]
    for entry in entries:
        if entry["kind"] == "train":
            wanted = {"epoch", "loss", "nll", "lr", "tokens", "tokens_per_second", "seconds"}
        else:
            wanted = {"nll", "perplexity", "bleu", "chrf"}
        assert wanted <= entry.keys()
        assert all(isinstance(entry[key], int | float) for key in wanted)
    assert entries[149]["nll"] < entries[0]["nll"]


def test_the_recipe_in_the_run_is_resolved_and_trains_the_same_again(
    trained: Path, tmp_path: Path
) -> None:
    short = "training.max_steps=2"
    outcome = inside("train", trained / "recipe.yaml", short, "--out", tmp_path / "again")
    assert outcome.code == 0, outcome.err
    losses = [[e["loss"] for e in journal(run)[:2]] for run in (trained, tmp_path / "again")]
    assert losses[0] == losses[1]


def test_the_model_card_names_the_recipe_and_what_it_was_trained_on(trained: Path) -> None:
    card = (trained / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# tiny\n")
    assert "| training data | 430 pairs, " in card
    assert "kind: transformer" in card


def test_a_run_moved_elsewhere_without_checkpoints_still_translates(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(trained, moved, ignore=shutil.ignore_patterns("checkpoints"))
    before, after = (inside("translate", run, corpus / "test.ko") for run in (trained, moved))
    assert after.code == 0
    assert after.out == before.out


def test_an_existing_run_is_refused_and_left_alone(trained: Path, corpus: Path) -> None:
    before = (trained / "run.json").read_bytes()
    outcome = inside("train", trained / "recipe.yaml", "--out", trained)
    check_told(outcome, 2, "exists already", f"polyhead extend {trained} --steps N", "--out")
    assert (trained / "run.json").read_bytes() == before


def test_an_empty_folder_may_become_the_run(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "mounted"
    run.mkdir()
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, training={"max_steps": 1})
    assert inside("train", recipe, "--out", run).code == 0
    assert info(run)["complete"]


def test_the_run_goes_to_runs_and_its_name_where_nothing_is_said(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, training={"max_steps": 1})
    assert inside("train", recipe).code == 0
    assert info(tmp_path / "runs" / "tiny")["step"] == 1


def test_paths_in_a_recipe_are_relative_to_its_file(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "data")
    recipe = write_recipe(tmp_path / "recipe.yaml", Path("data"), training={"max_steps": 1})
    assert inside("train", recipe, "--out", tmp_path / "run").code == 0


def test_pairs_that_cannot_teach_are_left_out_counted_and_named(
    corpus: Path, tmp_path: Path
) -> None:
    pairs = generate(pairs=60)
    sources, targets = [p.korean for p in pairs], [p.english for p in pairs]
    sources[4] = ""
    targets[9] = "far too long " * 100
    for end, texts in (("ko", sources), ("en", targets)):
        (tmp_path / f"train.{end}").write_text("\n".join(texts) + "\n", encoding="utf-8")
    train = {"source": str(tmp_path / "train.ko"), "target": str(tmp_path / "train.en")}
    recipe = write_recipe(
        tmp_path / "recipe.yaml", corpus, data={"train": train}, training={"max_steps": 1}
    )
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    assert outcome.code == 0
    assert "left out of training: 1 pairs empty on one side" in outcome.err
    assert "left out of training: 1 pairs longer than 127 tokens" in outcome.err
    assert "train.en, line 5" in outcome.err
    assert "train.en, line 10" in outcome.err
    assert info(tmp_path / "run")["data"]["pairs"] == 58


def test_a_validation_pair_longer_than_the_model_takes_is_cut_and_said(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(
        tmp_path / "recipe.yaml", corpus, model={"max_length": 40}, training={"max_steps": 1}
    )
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    assert outcome.code == 0
    assert "cut to the model's 39" in outcome.err
    assert "valid.en, line " in outcome.err


def test_tables_gzip_and_weights_train_as_aligned_files_do(corpus: Path, tmp_path: Path) -> None:
    rows = [f"{p.korean}\t{p.english}\t{p.domain}" for p in generate(pairs=100)]
    table = tmp_path / "pairs.tsv"
    table.write_text("\n".join(["원문\t번역문\tdomain", *rows]) + "\n", encoding="utf-8")
    train = {"file": "pairs.tsv", "source_column": "원문", "target_column": "번역문"}
    chosen = [train | {"weight": 2.0}, train | {"where": {"domain": ["business", "medicine"]}}]
    recipe = write_recipe(
        tmp_path / "recipe.yaml", corpus, data={"train": chosen}, training={"max_steps": 1}
    )
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert 100 < info(tmp_path / "run")["data"]["pairs"] < 200


@pytest.mark.parametrize(
    ("name", "languages", "ending"),
    [("koen_tatoeba", ("ko", "en"), ""), ("multi30k_ende", ("en", "de"), ".gz")],
)
def test_a_run_on_real_data_trains_and_evaluates(
    data_folder: Path, tmp_path: Path, name: str, languages: tuple[str, str], ending: str
) -> None:
    parts: dict[str, dict[str, str]] = {}
    for part, end, count in (("train", ending, 1500), ("valid", "", 20), ("test", "", 40)):
        parts[part] = {}
        for side, language in zip(("source", "target"), languages, strict=True):
            lines = islice(read_lines(data_folder / name / f"{part}.{language}{end}"), count)
            small = tmp_path / f"{part}.{language}{end}"
            content = "".join(f"{line}\n" for line in lines).encode()
            small.write_bytes(gzip.compress(content) if end else content)
            parts[part][side] = str(small)
    source, target = languages
    recipe = write_recipe(
        tmp_path / "recipe.yaml",
        tmp_path,
        data={"source_language": source, "target_language": target, **parts},
        training={"max_steps": 24, "validate_every": 12, "batch_tokens": 600},
    )
    run = tmp_path / "run"
    assert inside("train", recipe, "--out", run).code == 0
    entries = [e for e in journal(run) if e["kind"] == "train"]
    assert [e["step"] for e in entries] == list(range(1, 25))
    assert entries[-1]["nll"] < entries[0]["nll"]
    assert len(inside("translate", run, parts["test"]["source"], "--beam", 1).lines) == 40
    assert inside("evaluate", run, "--json", "--beam", 1).json()["examples"] == 40
