"""`polyhead translate`: one line out for each line in, whatever the lines are."""

from __future__ import annotations

import copy
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from polyhead_system import ENVIRONMENT, check_told, inside, outside

from polyhead import api
from polyhead.errors import PolyheadError, UsageError
from polyhead.use import translation

pytestmark = pytest.mark.xdist_group("trained")


@pytest.fixture(scope="module")
def translator(trained: Path) -> api.Translator:
    return api.load(trained)


@pytest.fixture(scope="module")
def texts(corpus: Path) -> list[str]:
    return (corpus / "test.ko").read_text(encoding="utf-8").splitlines()


def test_a_file_standard_input_and_the_library_translate_alike(
    trained: Path, corpus: Path, texts: list[str], translator: api.Translator
) -> None:
    from_file = outside("translate", trained, corpus / "test.ko")
    content = (corpus / "test.ko").read_bytes()
    assert from_file.code == 0
    assert from_file.err == ""
    assert from_file.lines == translator.translate(texts)
    assert len(set(from_file.lines)) > 5  # they do depend on the source
    assert inside("translate", trained, "-", stdin=content).out == from_file.out
    assert inside("translate", trained, stdin=content).out == from_file.out


def test_output_goes_into_a_file_and_nothing_to_stdout(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.en"
    outcome = inside("translate", trained, corpus / "test.ko", "--output", out)
    assert (outcome.code, outcome.out) == (0, "")
    assert out.read_text(encoding="utf-8").count("\n") == 50
    assert list(tmp_path.iterdir()) == [out]


def test_empty_lines_carriage_returns_and_separators_keep_one_line_each(
    trained: Path, texts: list[str]
) -> None:
    a, b = texts[0], texts[1]
    plain = inside("translate", trained, stdin=f"{a}\n{b}\n".encode()).lines
    odd = f"\ufeff{a}\r\n\r\n   \n{b}\u2028{b}\x85\x0b\x0c\n\n{b}"
    lines = inside("translate", trained, stdin=odd.encode()).lines
    assert len(lines) == 6
    assert lines[0] == plain[0]
    assert lines[1] == ""
    assert lines[4] == ""
    assert lines[5] == plain[1]


def test_nothing_in_gives_nothing_out(trained: Path) -> None:
    outcome = inside("translate", trained, stdin=b"")
    assert (outcome.code, outcome.out) == (0, "")
    assert inside("translate", trained, stdin=b"\n\n").out == "\n\n"


def test_a_line_too_long_is_cut_and_said_with_its_number(trained: Path, texts: list[str]) -> None:
    content = f"{texts[0]}\n{'아주 긴 문장 ' * 3000}\n{texts[1]}\n".encode()
    outcome = inside("translate", trained, "--beam", 1, stdin=content)
    assert outcome.code == 0
    assert len(outcome.lines) == 3
    assert "line 2: " in outcome.err
    assert "tokens, cut to the model's 127" in outcome.err
    assert "line 1:" not in outcome.err


def test_a_thousand_lines_of_all_lengths_give_a_thousand_lines_in_order(
    trained: Path, texts: list[str], translator: api.Translator, tmp_path: Path
) -> None:
    draw = random.Random(5)
    lines = [" ".join(draw.choices(texts, k=draw.choice((0, 1, 1, 1, 2)))) for _ in range(1000)]
    lines[:50] = texts
    draw.shuffle(lines)
    file = tmp_path / "many.ko"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = inside("translate", trained, file, "--beam", 1, "--max-length", 20)
    assert len(outcome.lines) == 1000
    assert all((line == "") == (out == "") for line, out in zip(lines, outcome.lines, strict=True))
    alone = translator.translate(texts, beam=1, max_length=20)
    place = {line: i for i, line in enumerate(lines)}
    assert [outcome.lines[place[text]] for text in texts] == alone


def test_a_line_alone_and_in_a_batch_give_the_same_text_and_score(
    trained: Path, corpus: Path, texts: list[str], translator: api.Translator
) -> None:
    outcome = inside("translate", trained, corpus / "test.ko", "--nbest", 2, "--scores")
    together = [line.split("\t") for line in outcome.lines]
    options = translator.options(beam=2)
    for number, text in enumerate(texts, start=1):
        alone = next(translator.search([text], options))
        rows = [row for row in together if row[0] == str(number)]
        assert [row[3] for row in rows] == [translator.text([h]) for h in alone]
        for row, hypothesis in zip(rows, alone, strict=True):
            assert abs(float(row[2]) - hypothesis.score) < 1e-4


def test_nbest_with_scores_writes_line_rank_score_and_text(trained: Path, texts: list[str]) -> None:
    content = f"{texts[0]}\n\n{texts[1]}\n".encode()
    outcome = inside("translate", trained, "--nbest", 3, "--scores", stdin=content)
    rows = [line.split("\t") for line in outcome.lines]
    assert [row[:2] for row in rows] == [[str(n), str(r)] for n in (1, 3) for r in (1, 2, 3)][
        :3
    ] + [["2", "1"]] + [["3", str(r)] for r in (1, 2, 3)]
    assert all(len(row) == 4 for row in rows)
    for number in ("1", "3"):
        scores = [float(row[2]) for row in rows if row[0] == number]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] < 0
    best = inside("translate", trained, "--beam", 3, stdin=content).lines
    assert best == [rows[0][3], "", rows[4][3]]


def test_nbest_alone_writes_so_many_lines_for_each_line(
    trained: Path, texts: list[str], translator: api.Translator
) -> None:
    content = f"{texts[0]}\n\n{texts[1]}\n".encode()
    lines = inside("translate", trained, "--nbest", 3, stdin=content).lines
    first, empty, last = translator.translate([texts[0], "", texts[1]], nbest=3)
    assert empty == []
    assert lines == [*first, "", "", "", *last]
    forced = inside("translate", trained, "--nbest", 900, "--max-length", 1, stdin=content).lines
    assert len(forced) == 2700  # the vocabulary has not so many tokens
    assert forced[899] == ""


def test_the_library_samples_by_the_names_of_the_command_line(
    trained: Path, texts: list[str], translator: api.Translator
) -> None:
    options = ("--sample", "--seed", 7, "--top-k", 40, "--top-p", 0.9, "--temperature", 1.5)
    content = "".join(f"{text}\n" for text in texts[:4]).encode()
    lines = inside("translate", trained, *options, stdin=content).lines
    named = {"sample": True, "seed": 7, "top_k": 40, "top_p": 0.9, "temperature": 1.5}
    assert translator.translate(texts[:4], **named) == lines
    assert translator.translate(texts[2:3], **named) == lines[2:3]  # whatever else is in the file
    with pytest.raises(UsageError, match=r"--seed: about --sample.*sample=True"):
        translator.translate(texts, seed=2)
    with pytest.raises(UsageError, match=r"unknown option 'beems'; there are beam, "):
        translator.translate(texts, beems=2)


def test_what_a_run_of_another_task_does_is_refused_with_what_this_one_does(
    translator: api.Translator,
) -> None:
    with pytest.raises(PolyheadError, match=r"task translation: it cannot \.generate\(\)"):
        translator.generate(["a"])
    with pytest.raises(AttributeError, match="no attribute 'genrate'"):
        translator.genrate(["a"])


def test_samples_are_the_same_for_the_same_seed_and_others_for_another(
    trained: Path, corpus: Path
) -> None:
    def sample(seed: int) -> list[str]:
        options = ("--sample", "--seed", seed, "--top-k", 50, "--top-p", 0.9, "--temperature", 0.8)
        return inside("translate", trained, corpus / "test.ko", *options).lines

    first = sample(1)
    assert len(first) == 50
    assert first == sample(1)
    assert first != sample(2)


def test_a_prefix_begins_every_translation_and_no_ngram_stands_twice(
    trained: Path, corpus: Path, translator: api.Translator
) -> None:
    options = ("--prefix", "The man", "--no-repeat-ngram", 2)
    lines = inside("translate", trained, corpus / "test.ko", *options).lines
    assert all(line.startswith("The man") for line in lines)
    for line in lines:
        ids = translator.task.target_tokenizer.encode(line)
        pairs = list(pairwise(ids))
        assert len(pairs) - len(set(pairs)) <= 1  # a text may be cut into tokens another way


def test_a_prefix_longer_than_the_limit_is_written_whole(
    translator: api.Translator, texts: list[str]
) -> None:
    for beam in (1, 4):
        lines = translator.translate(texts[:3], prefix="The man is here", max_length=2, beam=beam)
        assert lines == ["The man is here"] * 3
    most = translator.run.recipe.model.max_length
    with pytest.raises(UsageError, match=rf"leaves no place for more: .* at most {most}"):
        translator.translate(texts[:1], prefix="man " * most)


@pytest.mark.parametrize("engine", [{"engine": "ct2"}, {"precision": "fp16"}])
def test_a_loaded_run_is_copied_and_an_unknown_way_to_load_it_is_told(
    trained: Path, translator: api.Translator, texts: list[str], engine: dict[str, str]
) -> None:
    ((what, given),) = engine.items()
    with pytest.raises(UsageError, match=f"{what} '{given}' is not one of"):
        api.load(trained, **engine)
    twin = copy.deepcopy(translator)
    assert twin.translate(texts[:2]) == translator.translate(texts[:2])


def test_options_that_no_command_has_are_refused(
    translator: api.Translator, texts: list[str]
) -> None:
    with pytest.raises(UsageError, match="unknown option 'copies'; there are beam, "):
        translator.translate(texts[:1], copies=3)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_other_precisions_keep_one_line_each_too(
    trained: Path, corpus: Path, precision: str
) -> None:
    outcome = inside("translate", trained, corpus / "test.ko", "--precision", precision)
    assert outcome.code == 0, outcome.err
    assert len(outcome.lines) == 50


def test_lines_stream_through_a_window_and_are_not_gathered(
    translator: api.Translator, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "WINDOW", 4)
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield texts[taken % len(texts)]

    found = translator.search(endless(), translator.options(beam=1, max_length=5))
    for _ in range(5):
        next(found)
    assert taken == 8


def test_a_reader_that_leaves_early_causes_no_traceback(trained: Path, corpus: Path) -> None:
    program = f"'{sys.executable}' -m polyhead"
    many = " ".join([f"'{corpus / 'train.ko'}'"] * 4)
    pipe = f"cat {many} | {program} translate '{trained}' --beam 1 --max-length 30 | head -n 1"
    result = subprocess.run(
        ["bash", "-c", f"{pipe}; {program} recipes | true"],
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    assert result.stdout.count(b"\n") == 1
    assert result.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_stdout_is_told_in_plain_words(trained: Path, corpus: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        outcome = outside("translate", trained, corpus / "test.ko", "--beam", 1, stdout=full)
    check_told(outcome, 1, "No space left on device")


def test_stdout_is_utf8_whatever_the_locale_says(trained: Path) -> None:
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    outcome = outside("explain", trained, "그 다리는", "--json", env=locale)
    assert outcome.code == 0, outcome.err
    assert outcome.json()["unknown"] == []
    assert "▁그" in "".join(outcome.json()["tokens"])


def test_a_fault_in_the_input_loses_no_older_output(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.en"
    out.write_text("precious\n", encoding="utf-8")
    missing = inside("translate", trained, tmp_path / "tset.ko", "--output", out)
    check_told(missing, 1, "tset.ko: no such file")
    bad = tmp_path / "bad.ko"
    bad.write_bytes("하나\n".encode() + b"\xb0\xa1\n")
    check_told(inside("translate", trained, bad, "--output", out), 1, "bad.ko, line 2", "UTF-8")
    assert out.read_text(encoding="utf-8") == "precious\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.ko", "out.en"]


def test_a_file_may_be_written_over_by_its_own_translation(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both.txt"
    shutil.copy(corpus / "test.ko", both)
    assert inside("translate", trained, both, "--output", both, "--beam", 1).code == 0
    wanted = inside("translate", trained, corpus / "test.ko", "--beam", 1).out
    assert both.read_text(encoding="utf-8") == wanted
