"""A language model from the command line: train, resume, evaluate, generate, be refused."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from polyhead_system import check_told, info, inside, journal, outside, tensors_of

import polyhead
from polyhead.data.documents import Documents
from polyhead.data.stream import Stream
from polyhead.errors import DataError
from polyhead.evaluation.against_text import Judged, difference

pytestmark = pytest.mark.xdist_group("language")
WORDS = "the cat sat on the mat and the dog ran to the hen in the sun"


def write_language_recipe(folder: Path, **changes: Any) -> Path:
    """A tiny recipe: characters, 40 steps."""
    words = WORDS.split()
    for name, count in (("train", 300), ("valid", 20), ("test", 20)):
        lines = [" ".join(words[(i * 7 + j) % len(words)] for j in range(6)) for i in range(count)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe: dict[str, Any] = {
        "name": "lm",
        "task": "language_modeling",
        "model": {
            "kind": "gpt",
            **{"d_model": 32, "num_layers": 2, "num_heads": 2, "d_ff": 64, "max_length": 32},
            **{"dropout": 0.1, "activation": "gelu"},
        },
        "data": {**{part: f"{part}.txt" for part in ("train", "valid", "test")}, "context": 24},
        "tokenizer": {"kind": "char"},
        "training": {
            **{"batch_tokens": 192, "max_steps": 40, "validate_every": 20, "precision": "fp32"},
            "optimizer": {"kind": "adamw", "lr": 0.01, "weight_decay": 0.1},
            "schedule": {"kind": "cosine", "warmup_steps": 5},
        },
    }
    for section, values in changes.items():
        recipe[section] = recipe[section] | values
    path = folder / "lm.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: look, don't touch."""
    folder = tmp_path_factory.mktemp("language")
    recipe = write_language_recipe(folder)
    outcome = outside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


def test_training_learns_and_writes_what_a_run_needs(run: Path) -> None:
    entries = journal(run)
    valid = [e for e in entries if e["kind"] == "valid"]
    assert [e["step"] for e in valid] == [20, 40]
    assert valid[-1]["nll"] < 2.0 < math.log(20)
    assert valid[-1]["bits_per_byte"] == pytest.approx(valid[-1]["nll"] / math.log(2), rel=1e-6)
    assert all(e["loss"] == e["nll"] for e in entries if e["kind"] == "train"), "no smoothing"
    assert info(run)["task"] == "language_modeling"
    assert "1 documents, " in (run / "README.md").read_text(encoding="utf-8")


def test_the_folder_alone_is_enough_wherever_it_is(run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(run, tmp_path / "moved"))
    shutil.rmtree(moved / "checkpoints")
    generate = ("--prompt", "the ", "--greedy", "--max-tokens", 8, "--json")
    assert inside("generate", moved, *generate).json() == inside("generate", run, *generate).json()


def test_a_killed_training_goes_on_exactly(run: Path, tmp_path: Path) -> None:
    recipe = write_language_recipe(tmp_path)
    outcome = inside("train", recipe, "training.max_steps=20", "--out", tmp_path / "half")
    assert outcome.code == 0, outcome.err
    proof = inside("verify-resume", recipe, "--steps", 8, "--json")
    assert proof.json()["identical"] is True
    assert proof.json()["max_difference"] == 0
    assert dict(tensors_of(run))


# --- evaluating


def test_evaluation_counts_every_token_once_whatever_the_stride(run: Path) -> None:
    report = inside("evaluate", run, "--json").json()
    assert report["examples"] == 1
    assert (report["context"], report["stride"]) == (24, 12)
    metrics = report["metrics"]
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["nll"]))
    model = polyhead.load(run)
    corpus = model.task.read("test", print)
    assert report["metrics"]["bits_per_byte"] == pytest.approx(
        metrics["nll"] * corpus.predicted / math.log(2) / corpus.documents.bytes
    )
    total, ids = 0.0, torch.from_numpy(corpus.ids).long()
    with torch.no_grad():  # stride 1, token by token
        for place in range(1, len(ids)):
            begin = max(0, place - 24)
            logits = model.model.head(model.model(ids[None, begin:place]))[0, -1]
            total -= float(torch.log_softmax(logits, dim=-1)[ids[place]])
    closest = model.evaluate("test", stride=1)["metrics"]["nll"]
    assert closest == pytest.approx(total / corpus.predicted, abs=1e-5)
    assert metrics["nll"] == pytest.approx(closest, abs=0.2)
    assert "| nll |" in (run / "README.md").read_text(encoding="utf-8")


def test_the_card_gives_the_options_that_were_not_the_usual_ones(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    options = ("--stride", 5, "--precision", "bf16")
    metrics = inside("evaluate", copy, *options, "--json").json()["metrics"]
    card = (copy / "README.md").read_text(encoding="utf-8")
    command = "evaluate RUN --split test --precision bf16 --stride 5"
    assert f"`polyhead {command}`" in card
    words = [str(copy) if word == "RUN" else word for word in command.split()]
    assert inside(*words, "--json").json()["metrics"] == metrics
    inside("evaluate", copy, "--stride", 12)
    assert "`polyhead evaluate RUN --split test`" in (copy / "README.md").read_text()
    check_told(inside("evaluate", copy, "--stride", 25), 2, "stride 25 is not between 1 and the")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of other tokens and a shorter context, for which every line is a document."""
    folder = tmp_path_factory.mktemp("pieces")
    recipe = write_language_recipe(folder)
    outcome = inside(
        *("train", recipe, "training.max_steps=5", "tokenizer={kind: bpe, vocab_size: 270}"),
        *("data.context=16", "data.test={file: test.txt, documents: line}"),
        *("--out", folder / "run"),
    )
    assert outcome.code == 0, outcome.err
    return folder / "run"


def test_two_runs_of_the_same_tokens_are_compared_window_by_window(
    run: Path, tmp_path: Path
) -> None:
    recipe = write_language_recipe(tmp_path)
    few = ("training.max_steps=5", "data.context=20", "data.test=[]")
    assert inside("train", recipe, *few, "--out", tmp_path / "few").code == 0
    report = inside("evaluate", run, "--against", tmp_path / "few", "--json").json()
    against = report["against"]
    assert against["run"] == str(tmp_path / "few")
    assert against["difference"].keys() == {"nll", "perplexity", "bits_per_byte"}
    for name, found in against["difference"].items():
        value = report["metrics"][name] - against["metrics"][name]
        assert found["value"] == pytest.approx(value)
        assert found["low"] < found["value"] < found["high"] < 0
        assert found["p_value"] < 0.01
    assert report["metrics"] == inside("evaluate", run, "--json").json()["metrics"]
    itself = inside("evaluate", run, "--against", run, "--json").json()["against"]["difference"]
    assert itself["nll"] == {"value": 0, "low": 0, "high": 0, "p_value": 1}
    lines = inside("evaluate", run, "--against", tmp_path / "few").lines
    assert f"{tmp_path / 'few'}, on the same data" in lines
    assert lines[-3].split()[0] == "nll"
    assert "p = 0.0" in lines[-3]


def test_runs_of_other_tokens_are_compared_by_the_bytes_of_documents(
    run: Path, pieces: Path
) -> None:
    report = inside("evaluate", pieces, "--against", run, "--json").json()
    assert report["examples"] == 20
    against = report["against"]
    (found,) = against["difference"].values()
    value = report["metrics"]["bits_per_byte"] - against["metrics"]["bits_per_byte"]
    assert against["difference"]["bits_per_byte"] == found
    assert found["value"] == pytest.approx(value)
    assert 0 < found["low"] < found["value"] < found["high"]
    told = inside("evaluate", run, "--against", pieces)
    check_told(told, 1, "only whole documents can be paired, and the test data are one")


def test_a_tally_has_the_nats_tokens_and_bytes_of_every_stretch() -> None:
    documents = Documents(["aé", "bcd"], ["one", "two"])  # 4 and 4 bytes with their ends
    rows = [np.array([1, 2], np.int32), np.array([3], np.int32)]
    stream = Stream.of(rows, documents, end_id=0, context=2, apart=False)
    nats = np.array([1.0, 2.0, 3.0, 4.0, 5.0])  # of a é end bcd end
    judged = Judged(stream, -nats, np.array([4, 4]))
    assert judged.tally(stream.starts).tolist() == [[6, 3, 4], [9, 2, 4]]
    windows = judged.tally(np.array([0, 2, 4]))
    np.testing.assert_allclose(windows, [[3, 2, 8 / 3], [7, 2, 4 / 3 + 2], [5, 1, 2]])
    metrics = judged.metrics()
    assert metrics["nll"] == 3
    assert metrics["bits_per_byte"] == pytest.approx(15 / math.log(2) / 8)


def test_a_text_of_one_window_cannot_be_drawn_again() -> None:
    stream = Stream.of(
        [np.array([1, 2], np.int32)], Documents(["ab"], ["x"]), end_id=0, context=9, apart=False
    )
    judged = Judged(stream, -np.ones(3), np.array([3]))
    with pytest.raises(DataError, match="one window of a text, there is nothing to draw"):
        difference(judged, judged, same_tokens=True)


# --- generating


def test_prompts_of_a_file_give_what_each_gives_alone(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    prompts = ["the cat", "d", "in the sun the "]
    file.write_text("\n".join(prompts) + "\n", encoding="utf-8")
    common = ("--max-tokens", 40, "--seed", 5, "--temperature", 0.7, "--top-k", 5, "--json")
    together = inside("generate", run, "--prompts", file, *common)
    found = together.json()
    assert [one["prompt"] for one in found] == prompts
    for prompt, one in zip(prompts, found, strict=True):
        (alone,) = inside("generate", run, "--prompt", prompt, *common).json()
        assert alone["text"] == one["text"]
        assert alone["log_probability"] == pytest.approx(one["log_probability"], abs=1e-3)
        assert one["finish_reason"] in ("stop", "length")
        assert one["tokens"] == len(one["text"])
    assert "the context of 24 tokens was full" in together.err


def test_text_streams_to_stdout_and_equals_the_json(run: Path) -> None:
    several = (("--greedy",), ("--seed", 3), ("--seed", 3, "--stop", "t"), ("--beam", 3))
    for more in (*several, ("--beam", 3, "--stop", "t")):
        command = ("generate", run, "--prompt", "the ", "--max-tokens", 15, *more)
        (one,) = inside(*command, "--json").json()
        assert inside(*command).out == "the " + one["text"] + "\n"
        assert "t" not in one["text"] or "--stop" not in more
    several = inside("generate", run, "-n", 3, "--max-tokens", 5, "--seed", 1)
    assert several.out.count("\n---\n") == 2


def test_a_beam_ends_with_the_context_where_no_length_was_asked_for(
    run: Path, tmp_path: Path
) -> None:
    prompts = ["the cat", "d"]
    (tmp_path / "prompts").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    together = inside("generate", run, "--prompts", tmp_path / "prompts", "--beam", 3, "--json")
    assert together.code == 0, together.err
    assert (
        "a beam does not go past the context of 24 tokens, and the longest prompt has 7: at most "
        "18 tokens are written after it"
    ) in together.err
    for prompt, one in zip(prompts, together.json(), strict=True):
        alone = inside("generate", run, "--prompt", prompt, "--beam", 3, "--json")
        assert alone.json()[0]["text"] == one["text"]
        assert one["tokens"] == 25 - len(prompt) or one["finish_reason"] == "stop"
    quiet = inside("generate", run, "--prompt", "d", "--beam", 3, "--max-tokens", 24)
    assert (quiet.code, quiet.err) == (0, "")


def test_python_gives_the_same(run: Path) -> None:
    model = polyhead.load(run)
    found = model.generate(["the ", "a"], n=2, max_tokens=6, seed=2)
    text = inside(
        *("generate", run, "--prompts", "-", "-n", 2, "--max-tokens", 6, "--seed", 2, "--json"),
        stdin=b"the \na\n",
    )
    assert [one.as_dict() for one in found] == text.json()
    assert inside("explain", run, "a cz", "--json").json()["tokens"] == ["a", "▁", "c", "<unk>"]


@torch.inference_mode()
def test_int8_judges_with_the_head_it_decodes_with(run: Path) -> None:
    plain, small = (polyhead.load(run, precision) for precision in ("fp32", "int8"))
    part = small.task.read("test", print).first(24)  # one window
    batch = part.windows(np.array([0]), part.length)
    logits = small.model.head(small.model(batch.inputs, batch.positions, batch.documents))
    wanted = torch.nn.functional.cross_entropy(logits[0], batch.labels[0])
    found, exact = (one.task.judge(one.model, part).nll for one in (small, plain))
    assert found == pytest.approx(float(wanted), abs=1e-6)
    assert found == pytest.approx(exact, abs=0.02)


def test_dropout_is_drawn_again_where_blocks_are_computed_again(tmp_path: Path) -> None:
    recipe, kept = write_language_recipe(tmp_path), []
    for again in ("false", "true"):
        steps = ("training.max_steps=4", f"training.recompute={again}")
        outcome = inside("train", recipe, *steps, "--out", tmp_path / again)
        assert outcome.code == 0, outcome.err
        kept.append(dict(tensors_of(tmp_path / again)))
    assert kept[0] == kept[1]


def test_a_beam_of_one_is_greedy(run: Path) -> None:
    command = ("generate", run, "--prompt", "the ", "--max-tokens", 20, "--no-repeat-ngram", 3)
    greedy, beam = (inside(*command, *more, "--json") for more in (("--greedy",), ("--beam", 1)))
    assert (beam.code, beam.json()) == (0, greedy.json())
    assert inside(*command, "--beam", 1).out == "the " + greedy.json()[0]["text"] + "\n"


@pytest.mark.parametrize("more", [(), ("--beam", 2), ("-n", 2)], ids=str)
def test_of_a_file_without_prompts_nothing_comes(run: Path, more: tuple[object, ...]) -> None:
    empty = ("generate", run, "--prompts", "-", *more)
    assert inside(*empty, "--json").json() == []
    plain = inside(*empty)
    assert (plain.code, plain.out, plain.err) == (0, "", "")


def test_a_prompt_that_is_blank_or_too_long_is_told_with_its_line(run: Path) -> None:
    for line, phrase in ((b"", "prompt 2 has no tokens"), (b"a" * 40, "prompt 2 has 40 tokens")):
        told = inside("generate", run, "--prompts", "-", stdin=b"the\n" + line + b"\ncat\n")
        check_told(told, 2, phrase)


def test_int8_generates_too(run: Path) -> None:
    (one,) = inside(
        *("generate", run, "--prompt", "the ", "--greedy", "--max-tokens", 5, "--json"),
        *("--precision", "int8"),
    ).json()
    assert one["tokens"] == 5


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (("--prompt", ""), "prompt 1 has no tokens"),
        (("--prompt", "the cat sat on the mat and"), "prompt 1 has 26 tokens, the model looks"),
        (("--prompt", "a", "--prompts", "x"), "give one of them"),
        (("--greedy", "--seed", 1), "--greedy does not draw at random, --seed is about drawing"),
        (("--beam", 2, "-n", 2), "--beam 2 does not draw at random, -n is about drawing"),
        (("--beam", 2, "--max-tokens", 90), "a beam does not go past the context"),
        (("--beam", 1, "--seed", 1), "--beam 1 does not draw at random, --seed is about drawing"),
        (("--greedy", "--beam", 1), "choose one"),
        (("--sample", "--beam", 2), "choose one"),
        (("--max-tokens", 10**30), "is more than 2,147,483,647"),
        (("--beam", 0), "beam 0 is not at least 1"),
        (("-n", -1), "n -1 is not at least 1"),
        (("--max-tokens", 0), "max-tokens 0 is not at least 1"),
        (("--top-k", -1), "top-k -1 is not at least 1"),
        (("--top-p", -0.5), "top-p -0.5 is not between 0 and 1"),
        (("--temperature", -1), "temperature -1.0 is not between"),
        (("--seed", -1), "seed -1 is not between"),
        (("--min-p", 2), "min-p 2.0 is not between 0 and 1"),
        (("--min-p", -0.1), "min-p -0.1 is not between 0 and 1"),
        (("--repetition-penalty", 0), "repetition-penalty 0.0 is not a number above 0"),
        (("--repetition-penalty", "inf"), "repetition-penalty inf is not a number above 0"),
        (("--no-repeat-ngram", -1), "no-repeat-ngram -1 is not at least 0"),
        (("--stop", ""), "an empty stop text"),
    ],
    ids=str,
)
def test_wrong_use_is_told(run: Path, arguments: tuple[object, ...], phrase: str) -> None:
    check_told(inside("generate", run, *arguments), 2, phrase)


def test_a_run_of_another_task_is_told(run: Path, tmp_path: Path) -> None:
    told = inside("translate", run, "-")
    check_told(told, 2, "it cannot", ".generate, .evaluate, .attention, .export, .explain")
    check_told(inside("evaluate", run, "--beam", 2), 2, "beam does not go with a run of the task")
    check_told(inside("evaluate", run, "--batch-tokens", 9), 2, "batch-tokens is about translating")
    with pytest.raises(polyhead.PolyheadError, match="pass \\[text\\]"):
        polyhead.load(run).generate("the")


# --- data


def test_faulty_data_is_told_before_training(tmp_path: Path) -> None:
    recipe = write_language_recipe(tmp_path)
    out = tmp_path / "run"
    check_told(
        inside("train", recipe, "data.context=33", "--out", out),
        *(2, "data.context: 33 is more than model.max_length 32"),
    )
    (tmp_path / "train.txt").write_text("\n \n", encoding="utf-8")
    check_told(inside("train", recipe, "--out", out), 1, "train.txt", "an empty corpus")
    (tmp_path / "train.txt").write_bytes(b"fine\nnot \xff\n")
    check_told(inside("train", recipe, "--out", out), 1, "train.txt, line 2")
    check_told(inside("train", recipe, "data.train=no.txt", "--out", out), 1, "no such file")
    check_told(inside("train", recipe, "data.contxt=3"), 2, "did you mean 'context'?")
    assert not out.exists()


def test_documents_of_a_table_may_stand_apart(tmp_path: Path) -> None:
    recipe = write_language_recipe(tmp_path)
    rows = [json.dumps({"text": f"{WORDS[i % 9 :]}"}) for i in range(40)]
    (tmp_path / "train.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    outcome = inside(
        *("train", recipe, "data.train={file: train.jsonl, text_column: text}"),
        *("data.separate_documents=true", "tokenizer.kind=bpe", "tokenizer.vocab_size=300"),
        *("training.max_steps=4", "training.validate_every=2", "--out", tmp_path / "run"),
    )
    assert outcome.code == 0, outcome.err
    assert info(tmp_path / "run")["data"]["documents"] == 40
    assert (
        inside("evaluate", tmp_path / "run", "--split", "valid", "--json").json()["examples"] == 1
    )


def test_each_token_attends_to_those_before_it(run: Path, tmp_path: Path) -> None:
    outcome = inside("inspect", run, "the cat", "--out", tmp_path / "a.json")
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert found["target_tokens"] == list("the▁cat")
    weights = torch.tensor(found["attention"]["decoder"])
    assert weights.shape == (2, 2, 7, 7)
    assert bool((weights.triu(1) == 0).all())
    assert inside("inspect", run, "the cat", "--out", tmp_path / "a.png").code == 0
    told = inside("inspect", run, "the", "--target", "a", "--out", tmp_path / "b.json")
    check_told(told, 2, "this run does not translate")


def test_ctranslate2_hinders_and_stops_a_post_norm_model(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")
    recipe = write_language_recipe(tmp_path, model={"norm": "post"}, tokenizer={"kind": "word"})
    trained = inside("train", recipe, "training.max_steps=15", "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    prompts = ["the cat", "and the dog ran", "sun"]  # one of a single token
    (tmp_path / "prompts").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    several = ("--prompts", tmp_path / "prompts")
    seen: list[Any] = []
    for more in (
        (),  # they count what is written alone, and torch without a prompt has nothing else
        ("--repetition-penalty", 3),
        ("--no-repeat-ngram", 2),
        several,
        (*several, "--stop", " the", "--stop", " s"),
        (*several, "--beam", 3),
    ):
        searching = () if "--beam" in more else ("--greedy",)
        command = ("generate", tmp_path / "run", *searching, "--max-tokens", 12, "--json", *more)
        ours, theirs = inside(*command), inside(*command, "--engine", "ctranslate2")
        assert (ours.code, theirs.code) == (0, 0), theirs.err
        for one, other in zip(ours.json(), theirs.json(), strict=True):
            assert other == {**one, "log_probability": other["log_probability"]}
            assert other["log_probability"] == pytest.approx(one["log_probability"], abs=1e-3)
        assert ours.json() not in seen, "this option changes nothing"
        seen.append(ours.json())
    assert any(one["text"] == "" and one["tokens"] == 1 for one in seen[-2]), "stopped at once"
    engine = polyhead.load(tmp_path / "run", engine="ctranslate2")
    for hindered in ({"repetition_penalty": 3.0}, {"no_repeat_ngram": 2}):
        options = {"greedy": True, "max_tokens": 12, **hindered}
        together = engine.generate(prompts, **options)
        alone = [engine.generate([prompt], **options)[0] for prompt in prompts]
        for one, other in zip(together, alone, strict=True):
            assert one == replace(other, log_probability=one.log_probability)
            # CTranslate2 sums in another order where there are more rows
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-5)


def test_ctranslate2_writes_what_torch_writes(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed")
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    made = inside("export", copy, "--to", "ctranslate2", "--out", tmp_path / "c")
    assert made.code == 0, made.err
    assert "16 lines of the test data" in made.lines[1]
    assert float(made.lines[1].split(": ")[1].split(",")[0]) < 1e-4
    (tmp_path / "prompts").write_text("the cat\nand the d\nthe\n", encoding="utf-8")
    options = ("--prompts", tmp_path / "prompts", "--max-tokens", 12, "--json")
    for more in (("--greedy",), ("--greedy", "--stop", "a"), ("--beam", 3)):
        ours = inside("generate", copy, *options, *more).json()
        outcome = inside("generate", copy, *options, *more, "--engine", "ctranslate2")
        assert outcome.code == 0, outcome.err
        assert ("exported to CTranslate2, float32" in outcome.err) == (more == ("--greedy",))
        for one, other in zip(ours, outcome.json(), strict=True):
            assert other == {**one, "log_probability": other["log_probability"]}
            assert other["log_probability"] == pytest.approx(one["log_probability"], abs=1e-3)
    unset = ("generate", copy, *options[:2], "--beam", 3, "--json")
    ours, theirs = inside(*unset), inside(*unset, "--engine", "ctranslate2")
    assert (ours.code, theirs.code) == (0, 0), theirs.err
    assert [one["text"] for one in theirs.json()] == [one["text"] for one in ours.json()]
    ends = inside("generate", copy, "--prompt", "the", "--greedy", "--engine", "ctranslate2")
    assert ends.code == 0
    assert "does not go past the context of 24 tokens, and the longest prompt has 3" in ends.err
    drawn = ("--prompt", "the", "-n", 3, "--max-tokens", 8, "--seed", 4, "--engine", "ctranslate2")
    first, second = (inside("generate", copy, *drawn, "--precision", "int8") for _ in range(2))
    assert (first.code, first.out) == (0, second.out)
    long = inside("generate", copy, "--max-tokens", 90, "--engine", "ctranslate2")
    check_told(long, 2, "does not go past the context of 24 tokens")
    told = inside("generate", copy, "--min-p", 0.1, "--max-tokens", 4, "--engine", "ctranslate2")
    check_told(told, 2, "has no --min-p")
    both = ("--beam", 2, "--stop", "a", "--max-tokens", 4, "--engine", "ctranslate2")
    check_told(inside("generate", copy, *both), 2, "has no --stop with --beam")
