"""Documents, the stream of tokens they become, and the blocks cut from it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from polyhead.config import TokenizerConfig
from polyhead.data import tokenizers
from polyhead.data.documents import Documents, TextSource, as_sources, read_documents
from polyhead.data.stream import Stream
from polyhead.errors import DataError, DataFault
from polyhead.models import gpt
from polyhead.tasks.language_modeling import windows_of


def stream_of(lengths: list[int], *, context: int, apart: bool = False) -> Stream:
    """Documents of so many tokens, all different, counted from 1; END is 0."""
    counter = iter(range(1, 10_000))
    rows = [np.array([next(counter) for _ in range(n)], np.int32) for n in lengths]
    names = [f"d{i}" for i in range(len(rows))]
    documents = Documents(["x" * n for n in lengths], names)
    return Stream.of(rows, documents, end_id=0, context=context, apart=apart)


def sources(*values: Any) -> list[TextSource]:
    return [TextSource.model_validate(one) for one in as_sources(list(values))]


# --- documents


def test_a_file_is_one_document_to_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfFirst\r\n\r\n  second\x0b line \n\n")
    (text,) = read_documents(sources(str(file))).texts
    assert text == "First\n\n  second\x0b line \n\n"


def test_lines_and_paragraphs_are_documents_with_their_places(tmp_path: Path) -> None:
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress(b"one\ntwo\n\n \nthree\n"))
    lines = read_documents(sources({"file": str(file), "documents": "line"}))
    assert lines.texts == ["one", "two", "three"]
    assert lines.places[-1] == f"{file}, line 5"
    assert lines.empty == 2
    paragraphs = read_documents(sources({"file": str(file), "documents": "paragraph"}))
    assert paragraphs.texts == ["one\ntwo", "three"]
    assert paragraphs.places == [f"{file}, line 1", f"{file}, line 5"]
    assert paragraphs.bytes == len("one\ntwo") + 1 + len("three") + 1


def test_a_table_has_a_document_a_row(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    rows = [{"text": "가\n나", "kind": "x"}, {"text": "", "kind": "x"}, {"text": "b", "kind": "y"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = read_documents(
        sources({"file": str(file), "text_column": "text", "where": {"kind": "x"}})
    )
    assert (found.texts, found.empty) == (["가\n나"], 1)
    assert found.places == [f"{file}, line 1"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"file": "a.jsonl"}, "a table needs text_column"),
        ({"file": "Texts.CSV"}, "a table needs text_column"),
        ({"file": "a.Parquet"}, "a table needs text_column"),
        ({"hub": "o/n", "split": "train"}, "a table needs text_column"),
        ({"documents": "line"}, "give a file, or hub"),
        ({"file": "a.jsonl", "text_column": "t", "documents": "line"}, "a table has one a row"),
        ({"file": "a.txt", "where": {"a": 1}}, "where belongs to a table"),
    ],
)
def test_a_source_that_makes_no_sense_is_told(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TextSource.model_validate(keys)


def test_a_name_with_several_endings_is_what_its_last_says(tmp_path: Path) -> None:
    file = tmp_path / "notes.csv.txt"
    file.write_text("one, two", encoding="utf-8")
    assert read_documents(sources(str(file))).texts == ["one, two"]


def test_an_empty_corpus_and_bad_bytes_are_told_with_their_place(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b" \n\n")
    with pytest.raises(DataError, match="there is no text; an empty corpus teaches nothing"):
        read_documents(sources(str(file)))
    file.write_bytes(b"good\nb\xffd\n")
    with pytest.raises(DataFault, match="line 2"):
        read_documents(sources(str(file)))


# --- tokenizers


@pytest.mark.parametrize(("kind", "size"), [("char", 300), ("bpe", 400)])
def test_long_texts_are_encoded_as_short_ones_and_come_back_whole(kind: Any, size: int) -> None:
    text = "ROMEO:\nIt is the east,\n\n  and 줄리엣 is\tthe sun.\n \n\nArise!\r\n'Tis so\n"
    config = TokenizerConfig(kind=kind, vocab_size=size)
    tokenizer = tokenizers.train(config, text.splitlines(keepends=True), verbatim=True)
    ids = tokenizer.encode_long(text)
    assert ids.tolist() == tokenizer.encode(text)
    assert tokenizer.text(ids) == text
    unseen = tokenizer.encode_long("Ж")
    assert (tokenizer.unknown_id in unseen) == (kind == "char")


# --- the stream


def test_documents_are_separated_by_ends_and_each_block_predicts_the_next_tokens() -> None:
    stream = stream_of([3, 2], context=4)
    assert stream.ids.tolist() == [0, 1, 2, 3, 0, 4, 5, 0]
    assert (stream.predicted, stream.length, len(stream)) == (7, 4, 1)
    batch = stream.batch(np.array([0, 2]))
    assert batch.inputs.tolist() == [[0, 1, 2, 3], [2, 3, 0, 4]]
    assert batch.labels.tolist() == [[1, 2, 3, 0], [3, 0, 4, 5]]
    assert batch.positions is None
    assert batch.tokens == 8
    assert stream.where(1) == "d0, token 2"
    assert stream.where(5) == "d1, token 2"


def test_apart_positions_and_documents_restart_where_a_document_begins() -> None:
    batch = stream_of([3, 2, 4], context=8, apart=True).batch(np.array([2]))
    assert batch.inputs.tolist() == [[2, 3, 0, 4, 5, 0, 6, 7]]
    assert batch.positions is not None
    assert batch.documents is not None
    assert batch.positions.tolist() == [[0, 1, 0, 1, 2, 0, 1, 2]]
    assert batch.documents.tolist() == [[0, 0, 1, 1, 1, 2, 2, 2]]


@torch.no_grad()
def test_apart_a_document_is_predicted_as_if_it_stood_alone() -> None:
    torch.manual_seed(1)
    config = gpt.Config(d_model=16, num_layers=2, num_heads=2, d_ff=32, max_length=16)
    model = gpt.build(config, vocab_size=20).eval()
    for parameter in model.parameters():
        parameter.mul_(8)
    whole = stream_of([5, 4], context=10, apart=True)
    batch = whole.batch(np.array([0]))
    together = model(batch.inputs, batch.positions, batch.documents)
    alone = model(torch.tensor([[0, 6, 7, 8]]))
    torch.testing.assert_close(together[:, 6:10], alone, atol=1e-5, rtol=1e-5)


def test_a_text_shorter_than_a_block_is_one_shorter_block() -> None:
    stream = stream_of([3], context=64)
    assert (stream.length, len(stream)) == (4, 1)
    (batch,) = stream.plan(batch_tokens=100, seed=1, epoch=0, shifted=True)
    assert stream.batch(batch).labels.tolist() == [[1, 2, 3, 0]]


@pytest.mark.parametrize("shifted", [True, False])
def test_an_epoch_is_a_pure_function_of_seed_and_epoch_without_overlaps(shifted: bool) -> None:
    stream = stream_of([1000], context=16)

    def plan(seed: int, epoch: int) -> list[list[int]]:
        plans = stream.plan(batch_tokens=64, seed=seed, epoch=epoch, shifted=shifted)
        return [batch.tolist() for batch in plans]

    assert plan(1, 3) == plan(1, 3)
    assert plan(1, 3) != plan(1, 4)
    assert plan(1, 3) != plan(2, 3)
    offsets = sorted(o for batch in plan(1, 3) for o in batch)
    assert set(np.diff(offsets)) == {16}
    assert offsets[0] < 16
    assert offsets[-1] + 16 <= stream.predicted
    assert len(offsets) >= len(stream) - 1
    firsts = {min(o for batch in plan(1, epoch) for o in batch) for epoch in range(8)}
    assert (len(firsts) > 3) == shifted
    assert all(len(batch) == 4 for batch in plan(1, 0)[:-1])


@pytest.mark.parametrize(("tokens", "context", "stride"), [(99, 16, 8), (99, 16, 16), (5, 16, 3)])
def test_the_windows_of_an_evaluation_count_every_token_once(
    tokens: int, context: int, stride: int
) -> None:
    stream = stream_of([tokens], context=context)
    counted = []
    for offsets, new in windows_of(stream, stride):
        for offset, count in zip(offsets.tolist(), new.tolist(), strict=True):
            labels = stream.windows(np.array([offset]), stream.length).labels[0].tolist()
            counted += labels[len(labels) - count :]
            assert offset == 0 or stream.length - count >= context - stride
    assert counted == stream.ids[1:].tolist()
