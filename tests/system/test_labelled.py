"""Learning from labelled texts, from scratch and from a pre-trained run; `classify`; bad files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from polyhead_system import check_told, info, inside, journal
from test_masked_lm import write_masked_recipe, write_pairs_recipe

import polyhead
from polyhead.errors import UsageError
from polyhead.runs.folder import Run, read_weights

pytestmark = pytest.mark.xdist_group("labelled")
ANIMALS, COLOURS = ("cat", "dog", "hen"), ("red", "blue", "pink")
SIZE = {"d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 64, "max_length": 32}
PARTS = (("train", 90), ("valid", 18), ("test", 18))


def table(folder: Path, header: str, row: Any) -> dict[str, str]:
    """TSV files of rows(i); the entries of `data` without their columns."""
    for name, count in PARTS:
        lines = [header, *(row(i) for i in range(count))]
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {name: f"{name}.tsv" for name, _ in PARTS}


def sentence(i: int) -> str:
    return f"a {COLOURS[i // 3 % 3]} {ANIMALS[i % 3]} sat here"


def write_task(folder: Path, task: str, kind: str = "bert", **changes: Any) -> Path:
    """A tiny recipe and its data: what is asked can be read off single words."""
    columns: dict[str, Any] = {"text_column": "text", "label_column": "label"}
    more: dict[str, Any] = {}
    if task == "classification":
        files = table(folder, "text\tlabel", lambda i: f"{sentence(i)}\t{ANIMALS[i % 3]}")
    elif task == "regression":
        files = table(
            folder, "text\tother\tlabel", lambda i: f"{sentence(i)}\ta {ANIMALS[0]}\t{i % 3 + 0.5}"
        )
        columns["pair_column"], more = "other", {"symmetric": True}
    elif task == "multiple_choice":
        files = table(
            folder, "text\ta\tb\tlabel",
            lambda i: "what is it\t" + ("red\tdog\tb", "cat\tpink\ta")[i % 2],
        )  # fmt: skip
        columns |= {"choice_columns": ["a", "b"]}
    elif task == "tagging":
        columns, files = {}, {}
        for name, count in PARTS:
            words = [(w, "B-ANIMAL" if w in ANIMALS else "O") for i in range(count)
                     for w in [*sentence(i).split(), ""]]  # fmt: skip
            text = "".join(f"{w}\tx\t{t}\n" if w else "\n" for w, t in words)
            (folder / f"{name}.conll").write_text(text, encoding="utf-8")
            files[name] = f"{name}.conll"
    else:
        columns, files = {}, {}
        for name, count in PARTS:
            questions = []
            for i in range(count):
                context, answer = f"it is near . {sentence(i)} . so it was", ANIMALS[i % 3]
                answers = [{"text": answer, "answer_start": context.index(answer)}]
                question = {"id": str(i), "question": "which animal ?", "answers": answers}
                questions.append({"context": context, "qas": [question]})
            content = {"data": [{"paragraphs": questions}]}
            (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
            files[name] = f"{name}.json"
    data = {name: {"file": file, **columns} for name, file in files.items()}
    recipe: dict[str, Any] = {
        "name": "it", "seed": 2, "task": task, "model": {"kind": kind, "dropout": 0.0, **SIZE},
        "data": {**data, **more}, "tokenizer": {"kind": "wordpiece", "vocab_size": 90},
        "training": {
            **{"batch_tokens": 256, "max_steps": 120, "validate_every": 60, "precision": "fp32"},
            "optimizer": {"kind": "adamw", "lr": 0.006},
            "schedule": {"kind": "linear", "warmup_steps": 5},
        },
    }  # fmt: skip
    for section, values in changes.items():
        recipe[section] = recipe[section] | values
    path = folder / "it.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def trained(folder: Path, *arguments: object, **options: Any) -> Path:
    recipe = write_task(folder, *map(str, arguments), **options)
    outcome = inside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.mark.parametrize("kind", ["bert", "gpt"])
@pytest.mark.parametrize(
    ("task", "metric", "line", "label"),
    [
        ("classification", "accuracy", "a blue hen sat here", "hen"),
        ("regression", "pearson", "a red cat sat here\ta cat", 0.5),
        ("multiple_choice", "accuracy", "what is it\tred\tdog", "1"),
        ("tagging", "f1", "a pink cat sat here", "a/O pink/O cat/B-ANIMAL sat/O here/O"),
        (
            "question_answering",
            "exact_match",
            "which animal ?\tit is near . a red hen sat here . so it was",
            "hen",
        ),
    ],
)
def test_every_task_is_learned_and_said(
    tmp_path: Path, kind: str, task: str, metric: str, line: str, label: Any
) -> None:
    run = trained(tmp_path, task, kind)
    report = inside("evaluate", run, "--against", run, "--json").json()
    assert report["metrics"][metric] > 0.9
    assert report["examples"] == 18
    same = {"value": 0, "low": 0, "high": 0, "p_value": 1}
    assert report["against"]["difference"][metric] == same
    assert report["against"]["metrics"] == report["metrics"]
    assert inside("evaluate", run, "--precision", "bf16").code == 0
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "`polyhead evaluate RUN --split test --precision bf16`" in card
    valid = [entry for entry in journal(run) if entry["kind"] == "valid"]
    assert valid[-1][metric] > 0.9
    assert valid[-1]["nll"] < valid[0]["nll"]
    outcome = inside("classify", run, "-", stdin=f"{line}\n{line}\n".encode())
    assert outcome.code == 0, outcome.err
    assert len(outcome.lines) == 2
    (found,) = inside("classify", run, "-", "--json", stdin=f"{line}\n".encode()).json()
    assert found["input"] == line
    if task == "regression":
        assert found["label"] == pytest.approx(label, abs=0.4)
        assert "probability" not in found
    else:
        assert found["label"] == label
        assert outcome.lines[0] == f"{label}\t{found['probability']:.4f}"
        assert 0 < found["probability"] <= 1
    if "probabilities" in found:
        assert sum(found["probabilities"].values()) == pytest.approx(1)
    drawn = inside("inspect", run, line, "--out", tmp_path / "a.json")
    assert drawn.code == 0, drawn.err


def test_only_runs_of_one_task_with_the_same_texts_are_compared(tmp_path: Path) -> None:
    little = {"max_steps": 2, "validate_every": 2}
    runs = []
    for name, task in (
        ("one", "classification"),
        ("two", "regression"),
        ("three", "classification"),
    ):
        (tmp_path / name).mkdir()
        runs.append(trained(tmp_path / name, task, "bert", training=little))
    one, two, three = runs
    check_told(inside("evaluate", one, "--against", two), 2, "two runs of one task are compared")
    with pytest.raises(UsageError, match="two runs of one task are compared"):
        polyhead.load(one).evaluate(against=polyhead.load(two))
    report = polyhead.load(Run.open(one)).evaluate(against=Run.open(three))
    assert report["against"]["run"] == str(three)
    test = tmp_path / "three" / "test.tsv"
    test.write_text("".join(test.read_text().splitlines(keepends=True)[:-1]))
    check_told(inside("evaluate", one, "--against", three), 1, "(18 texts and 17)")


def test_resuming_is_exact(tmp_path: Path) -> None:
    recipe = write_task(tmp_path, "classification", "gpt")
    proof = inside("verify-resume", recipe, "--steps", 4, "--json").json()
    assert (proof["identical"], proof["max_difference"]) == (True, 0)


def test_an_answer_is_the_same_whatever_it_is_batched_with(tmp_path: Path) -> None:
    model = polyhead.load(trained(tmp_path, "classification"))
    lines = ["a red cat", "hen", "a blue dog sat here and there was another cat and a hen", "dog"]
    together = model.classify(lines)
    for line, found in zip(lines, together, strict=True):
        (alone,) = model.classify([line])
        assert alone["probability"] == pytest.approx(found["probability"], abs=1e-4)


def test_fine_tuning_carries_what_was_learned_from_text(tmp_path: Path) -> None:
    masked = write_masked_recipe(tmp_path)
    outcome = inside("train", masked, "training.max_steps=4", "--out", tmp_path / "masked")
    assert outcome.code == 0, outcome.err
    recipe = write_task(tmp_path, "classification")
    wanted = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    wanted["model"] = {"kind": "bert"}
    del wanted["tokenizer"]
    recipe.write_text(yaml.safe_dump(wanted), encoding="utf-8")
    outcome = inside("finetune", recipe, "--from", tmp_path / "masked", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    carried = info(tmp_path / "run")["finetuned_from"]
    assert sorted(carried["fresh"]) == [
        *("answers.output.bias", "answers.output.weight"),
        *("answers.pooler.dense.bias", "answers.pooler.dense.weight"),
    ]
    assert all(name.startswith("head.") for name in carried["dropped"])
    assert inside("evaluate", tmp_path / "run").code == 0


def finetuned(folder: Path, origin: Path, task: str, kind: str = "bert", **changes: Any) -> Path:
    """A step on the task's data, from a run's weights."""
    folder.mkdir(exist_ok=True)
    recipe = write_task(folder, task, kind, **changes)
    wanted = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    wanted["model"], wanted["training"]["max_steps"] = {"kind": kind}, 1
    del wanted["tokenizer"]
    recipe.write_text(yaml.safe_dump(wanted), encoding="utf-8")
    return finetuned_by(recipe, origin, folder / "run")


def finetuned_by(recipe: Path, origin: Path, out: Path) -> Path:
    outcome = inside("finetune", recipe, "--from", origin, "--out", out)
    assert outcome.code == 0, outcome.err
    assert inside("evaluate", out, "--split", "valid").code == 0
    return out


def labels(run: Path) -> Any:
    return json.loads((run / "labels.json").read_text(encoding="utf-8"))


HEADS = {
    "bert": ["answers.output.bias", "answers.output.weight"],
    "gpt": ["answers.bias", "answers.weight"],
}


@pytest.mark.parametrize("kind", ["bert", "gpt"])
def test_labels_are_those_of_the_new_data_whatever_the_run_before_knew(
    tmp_path: Path, kind: str
) -> None:
    one_step = {"training": {"max_steps": 1}}
    origin = trained(tmp_path, "classification", kind, **one_step)
    same = finetuned(tmp_path / "same", origin, "classification", kind)
    assert info(same)["finetuned_from"]["fresh"] == []
    assert labels(same) == {"names": sorted(ANIMALS)}

    numbers = finetuned(tmp_path / "numbers", origin, "regression", kind)
    carried = info(numbers)["finetuned_from"]
    assert sorted(carried["fresh"]) == HEADS[kind] == carried["dropped"]
    assert labels(numbers)["mean"] == pytest.approx(1.5)

    recipe = tmp_path / "same" / "it.yaml"
    for name, _ in PARTS:
        table = tmp_path / "same" / f"{name}.tsv"
        other = re.sub(r"\t(dog|hen)$", "\tother", table.read_text(), flags=re.MULTILINE)
        table.write_text(other, encoding="utf-8")
    two = finetuned_by(recipe, origin, tmp_path / "two")
    assert labels(two) == {"names": ["cat", "other"]}
    assert sorted(info(two)["finetuned_from"]["fresh"]) == HEADS[kind]

    again = finetuned(tmp_path / "again", numbers, "classification", kind)
    assert labels(again) == {"names": sorted(ANIMALS)}
    for name, _ in PARTS:
        table = tmp_path / "numbers" / f"{name}.tsv"
        table.write_text(re.sub(r"(\d)\.5", r"4\1", table.read_text()), encoding="utf-8")
    scaled = finetuned_by(tmp_path / "numbers" / "it.yaml", numbers, tmp_path / "scaled")
    assert labels(scaled)["mean"] == pytest.approx(41)
    assert sorted(info(scaled)["finetuned_from"]["fresh"]) == HEADS[kind]


def test_the_pooler_learned_with_next_sentences_is_carried_over(tmp_path: Path) -> None:
    pairs = write_pairs_recipe(tmp_path)
    outcome = inside("train", pairs, "training.max_steps=2", "--out", tmp_path / "pairs")
    assert outcome.code == 0, outcome.err
    run = finetuned(tmp_path / "a", tmp_path / "pairs", "classification")
    carried = info(run)["finetuned_from"]
    assert sorted(carried["fresh"]) == HEADS["bert"]
    assert not [name for name in carried["dropped"] if "pooler" in name]
    before = read_weights(tmp_path / "pairs" / "model.safetensors")
    begun = read_weights(run / "checkpoints" / "step-00000000" / "model.safetensors")
    for part in ("weight", "bias"):
        theirs = before[f"next_sentence.pooler.dense.{part}"]
        assert begun[f"answers.pooler.dense.{part}"].equal(theirs)


def test_a_gpt_gets_two_new_tokens_and_a_linear_layer(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a red cat sat here\n" * 60, encoding="utf-8")
    recipe: dict[str, Any] = {
        "name": "lm", "task": "language_modeling", "model": {"kind": "gpt", **SIZE},
        "data": {"train": "a.txt", "valid": "a.txt", "context": 16},
        "tokenizer": {"kind": "char"}, "training": {"max_steps": 3, "batch_tokens": 64},
    }  # fmt: skip
    (tmp_path / "lm.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert inside("train", tmp_path / "lm.yaml", "--out", tmp_path / "lm").code == 0
    path = write_task(tmp_path, "regression", "gpt")
    wanted = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted["model"] = {"kind": "gpt"}
    del wanted["tokenizer"]
    path.write_text(yaml.safe_dump(wanted), encoding="utf-8")
    outcome = inside("finetune", path, "--from", tmp_path / "lm", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    carried = info(tmp_path / "run")["finetuned_from"]
    assert sorted(carried["fresh"]) == ["answers.bias", "answers.weight"]
    assert carried["dropped"] == []
    assert carried["vocabulary"]["token"]["new"] == 2
    resumed = inside("train", "--resume", tmp_path / "run")
    check_told(resumed, 1, "is complete")


@pytest.mark.parametrize(
    ("task", "name", "text", "said"),
    [
        ("classification", "valid.tsv", "text\tlabel\na cat\tcow\n", "'cow' is not known; there"),
        ("classification", "valid.tsv", "text\tlabel\na cat\t\n", "the column 'label' is empty"),
        ("classification", "train.tsv", "text\tlabel\na cat\tx\n", "nothing to tell apart"),
        ("regression", "train.tsv", "text\tother\tlabel\na\tb\tmuch\n", "'much' is not a number"),
        ("multiple_choice", "train.tsv", "text\ta\tb\tlabel\na\tb\tc\t2\n", "'2' is no choice"),
        ("tagging", "train.conll", "a\tx\tO\nb\tO\n", "line 2: 2 columns, but line 1 has 3"),
        ("tagging", "valid.conll", "a\tx\tB-Z\n", "the tag 'B-Z' is not known"),
        ("question_answering", "train.json", "[1]", "is not SQuAD's JSON"),
    ],
)
def test_bad_files_are_told_with_file_and_line(
    tmp_path: Path, task: str, name: str, text: str, said: str
) -> None:
    recipe = write_task(tmp_path, task)
    (tmp_path / name).write_text(text, encoding="utf-8")
    outcome = inside("train", recipe, "--out", tmp_path / "run")
    check_told(outcome, 1, said, *([name] if "apart" not in said else []))


def test_sources_with_differing_numbers_of_choices_are_told(tmp_path: Path) -> None:
    recipe = write_task(tmp_path, "multiple_choice")
    three = tmp_path / "three.tsv"
    three.write_text("text\ta\tb\tc\tlabel\nwhat\tx\ty\tz\tc\n", encoding="utf-8")
    wanted = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    own = wanted["data"]["train"]
    other = own | {"file": "three.tsv", "choice_columns": ["a", "b", "c"]}
    said = "three.tsv, line 2: 3 choices, and training has 2"
    for split, sources in (("train", [own, other]), ("valid", other)):
        data = wanted["data"] | {split: sources}
        recipe.write_text(yaml.safe_dump(wanted | {"data": data}), encoding="utf-8")
        check_told(inside("train", recipe, "--out", tmp_path / "run"), 1, said)


def test_wrong_use_is_told(tmp_path: Path) -> None:
    recipe = write_task(tmp_path, "classification")
    out = ("--out", tmp_path / "run")
    check_told(inside("train", recipe, "model.kind=transformer", *out), 2, "needs bert or gpt")
    check_told(inside("train", recipe, "data.lm_weight=1", *out), 2, "leave it out")
    assert inside("train", recipe, "training.max_steps=2", *out).code == 0
    told = inside("classify", tmp_path / "run", "-", stdin=b"a\tb\tc\n")
    check_told(told, 2, "input 1", "a text, as in training, is needed, found 3")
    check_told(inside("fill", tmp_path / "run", "[MASK]"), 2, "it cannot .fill()", ".classify")
    told = inside("export", tmp_path / "run", "--to", "ctranslate2", "--out", tmp_path / "c")
    check_told(told, 2, "'ctranslate2' (it has no head that answers about texts", "onnx")


def test_a_model_of_pairs_takes_pairs_and_names_the_line_that_is_none(tmp_path: Path) -> None:
    recipe = write_task(tmp_path, "regression", training={"max_steps": 1})
    out = ("--out", tmp_path / "run")
    told = inside("train", recipe, "data.valid.pair_column=null", *out)
    check_told(told, 2, "data.symmetric: pairs are needed", "in data.valid has no pair_column")
    assert inside("train", recipe, *out).code == 0
    told = inside("classify", tmp_path / "run", "-", stdin=b"a\tb\nc\n")
    check_told(told, 2, "input 2: 'c': a pair with a tab between, as in training, is needed")
    assert len(inside("classify", tmp_path / "run", "-", stdin=b"a\tb\nc\td\n").lines) == 2


@pytest.mark.parametrize(
    ("task", "pipeline", "line"),
    [
        ("classification", "text-classification", "a blue hen sat here"),
        ("tagging", "token-classification", "a pink cat sat here"),
        ("regression", None, "a red cat sat here\ta cat"),
        ("multiple_choice", None, "what is it\tred\tdog"),
        ("question_answering", None, "which animal ?\tit is near . a red hen sat here ."),
    ],
)
def test_a_fine_tuned_bert_is_at_home_in_transformers(
    tmp_path: Path, task: str, pipeline: str | None, line: str
) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    changes = {"data": {"symmetric": False}} if task == "regression" else {}
    run = trained(tmp_path, task, **changes)
    out = tmp_path / "out"
    outcome = inside("export", run, "--to", "huggingface", "--out", out)
    assert outcome.code == 0, outcome.err
    assert "18 examples" in outcome.lines[1] or "16 examples" in outcome.lines[1]
    (ours,) = polyhead.load(run).classify([line])
    if pipeline is not None:
        said = transformers.pipeline(pipeline, model=str(out))(line)
        if task == "classification":
            assert [one["label"] for one in said] == [ours["label"]]
        else:
            assert [(one["word"].strip("▁"), one["entity"]) for one in said] == [
                ("cat", "B-ANIMAL")
            ]
        return
    read = transformers.AutoTokenizer.from_pretrained(out)
    if task == "multiple_choice":
        model = transformers.AutoModelForMultipleChoice.from_pretrained(out)
        text, *choices = line.split("\t")
        rows = read([text] * 2, choices, return_tensors="pt", padding=True)
        logits = model(
            **{name: rows[name][None] for name in ("input_ids", "attention_mask", "token_type_ids")}
        ).logits
        assert str(int(logits.argmax())) == ours["label"]
    elif task == "regression":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(out)
        number = model(**read(*line.split("\t"), return_tensors="pt")).logits.item()
        assert number == pytest.approx(ours["label"], abs=1e-4)
    else:
        model = transformers.AutoModelForQuestionAnswering.from_pretrained(out)
        ids = read(*line.split("\t"), return_tensors="pt")
        found = model(**ids)
        first, last = int(found.start_logits.argmax()), int(found.end_logits.argmax())
        assert read.decode(ids["input_ids"][0, first : last + 1]) == ours["label"]


@pytest.mark.parametrize(
    ("task", "norm"),
    [
        ("classification", "pre"),
        ("classification", "post"),
        ("regression", "pre"),
        ("tagging", "pre"),
        ("question_answering", "pre"),
    ],
)
def test_a_fine_tuned_gpt_is_at_home_in_transformers(tmp_path: Path, task: str, norm: str) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    changes = {"data": {"symmetric": False}} if task == "regression" else {}
    model = {"norm": norm, "d_ff": 4 * SIZE["d_model"]}
    run = trained(tmp_path, task, "gpt", **changes, model=model, training={"max_steps": 3})
    out = tmp_path / "out"
    outcome = inside("export", run, "--to", "huggingface", "--out", out)
    assert outcome.code == 0, outcome.err
    lines = {
        "classification": ["a blue hen sat here", "a red cat"],
        "regression": ["a red cat sat here\ta cat", "a dog\ta dog sat"],
    }
    ours = polyhead.load(run).classify(lines.get(task, []))
    read = transformers.AutoTokenizer.from_pretrained(out)
    if task == "classification":  # two lines together: of the shorter one the end is padding
        said = transformers.pipeline("text-classification", model=str(out))(
            lines[task], batch_size=2
        )
        assert [one["label"] for one in said] == [one["label"] for one in ours]
        assert [one["score"] for one in said] == pytest.approx(
            [max(one["probabilities"].values()) for one in ours], abs=1e-4
        )
    elif task == "regression":
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(out)
        for line, one in zip(lines[task], ours, strict=True):
            number = theirs(**read(*line.split("\t"), return_tensors="pt")).logits.item()
            assert number == pytest.approx(one["label"], abs=1e-3)


def test_what_transformers_cannot_hold_is_told(tmp_path: Path) -> None:
    for kind, task, said in (
        ("gpt", "multiple_choice", "GPT2ForMultipleChoice cannot hold this model: there is no"),
        ("bert", "regression", "both orders"),
    ):
        (tmp_path / kind).mkdir()
        run = trained(tmp_path / kind, task, kind, training={"max_steps": 1})
        outcome = inside("export", run, "--to", "huggingface", "--out", tmp_path / "out")
        check_told(outcome, 2, said, "--to onnx")
