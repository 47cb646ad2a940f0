"""Translating a file in parts: one output, byte for byte that of a single process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from polyhead_system import ENVIRONMENT, check_told, inside

from polyhead import api
from polyhead.cluster import shards
from polyhead.cluster.shards import Shard
from polyhead.use import translation

pytestmark = pytest.mark.xdist_group("shards")
PARTS = 3


@pytest.fixture(scope="module")
def source(corpus: Path) -> Path:
    return corpus / "test.ko"


@pytest.fixture(scope="module")
def single(trained: Path, source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What one process makes of the file."""
    return whole(trained, source, tmp_path_factory.mktemp("single") / "out.en")


def whole(run: Path, source: Path, output: Path, *options: object) -> bytes:
    outcome = inside("translate", run, source, "--output", output, *options)
    assert outcome.code == 0, outcome.err
    return output.read_bytes()


def translate(run: Path, source: Path, output: Path, part: int, *options: object) -> str:
    """Translate one part; returns what was said."""
    shard = ("--shard", f"{part}/{PARTS}")
    outcome = inside("translate", run, source, "--output", output, *shard, *options)
    assert outcome.code == 0, outcome.err
    return outcome.err


@pytest.mark.parametrize("options", [(), ("--nbest", 2, "--scores"), ("--precision", "int8")])
def test_parts_in_any_order_make_one_output_equal_to_that_of_one_process(
    trained: Path, source: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    output = tmp_path / "out.en"
    for part in (3, 1):
        said = translate(trained, source, output, part, *options)
        assert f"out.en.0000{part}-of-00003" in said
        assert not output.exists()
    assert f"all 3 shards are finished: {output}" in translate(trained, source, output, 2, *options)
    expected = whole(trained, source, tmp_path / "single.en", *options)
    assert output.read_bytes().count(b"\n") == expected.count(b"\n")
    if "--scores" in options:  # a sum in another batch may differ in its last printed digit
        same_but_for_rounding(output.read_text("utf-8"), expected.decode())
    else:
        assert output.read_bytes() == expected


def same_but_for_rounding(one: str, other: str) -> None:
    for a, b in zip(one.splitlines(), other.splitlines(), strict=True):
        first, second = a.split("\t"), b.split("\t")
        assert float(first.pop(2)) == pytest.approx(float(second.pop(2)), abs=1e-4)
        assert first == second


def test_a_finished_part_is_left_alone_and_another_translation_begins_anew(
    trained: Path, source: Path, tmp_path: Path, single: bytes
) -> None:
    output = tmp_path / "out.en"
    translate(trained, source, output, 1)
    part = Shard(1, PARTS).output(output)
    before = part.stat()
    assert "finished already" in translate(trained, source, output, 1)
    assert part.stat().st_mtime_ns == before.st_mtime_ns
    assert "another run, input or options" in translate(trained, source, output, 1, "--beam", 1)
    for number in (2, 3):
        translate(trained, source, output, number)
    assert not output.exists()  # its parts are not of one translation
    part.write_bytes(part.read_bytes()[:-5])  # damaged: made again
    assert "all 3 shards" in translate(trained, source, output, 1)
    assert output.read_bytes() == single


def test_a_part_that_was_stopped_goes_on_where_it_was(
    trained: Path,
    source: Path,
    tmp_path: Path,
    single: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "WINDOW", 4)
    monkeypatch.setattr(translation, "WINDOW", 4)
    output, seen = tmp_path / "out.en", []
    search = api.Translator.search

    def stops(self: api.Translator, texts: Any, *rest: Any, **options: Any) -> Any:
        given = list(texts)
        seen.append(len(given))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return search(self, given, *rest, **options)

    monkeypatch.setattr(api.Translator, "search", stops)
    stopped = inside("translate", trained, source, "--output", output, "--shard", "1/3")
    assert stopped.code == 1
    manifest = json.loads(Shard(1, PARTS).manifest(output).read_text())
    assert (manifest["complete"], manifest["lines_done"]) == (False, 8)
    with Shard(1, PARTS).output(output).with_suffix(".00001-of-00003.part").open("ab") as file:
        file.write(b"half a li")
    for part in range(1, PARTS + 1):
        translate(trained, source, output, part)
    total = len(source.read_text("utf-8").splitlines())
    assert sum(seen) == total + 4  # the window it was stopped in, and no other, was made again
    assert output.read_bytes() == single


@pytest.mark.parametrize("total", [0, 1, 5, 12_287, 12_288, 50_001])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_parts_cover_every_line_once_and_long_inputs_are_cut_at_windows(
    total: int, count: int
) -> None:
    parts = [Shard(number, count).lines(total) for number in range(1, count + 1)]
    assert [line for part in parts for line in part] == list(range(total))
    if total >= count * translation.WINDOW:
        assert all(part.start % translation.WINDOW == 0 for part in parts)
    assert max(map(len, parts)) - min(map(len, parts)) <= max(translation.WINDOW, 1)


def test_a_line_that_was_cut_is_told_with_its_number_in_the_file(
    trained: Path, tmp_path: Path
) -> None:
    file, output = tmp_path / "in.ko", tmp_path / "out.en"
    lines = ["안녕", "고마워", "길다 " * 400, "안녕"]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    outcome = inside("translate", trained, file, "--output", output, "--shard", "2/2")
    assert outcome.code == 0, outcome.err
    assert "line 3: " in outcome.err
    assert "cut to the model's" in outcome.err


def test_wrong_use_is_told(trained: Path, source: Path, tmp_path: Path) -> None:
    output = ("--output", tmp_path / "out.en")
    for text in ("0/3", "4/3", "1", "a/b", "1/0"):
        outcome = inside("translate", trained, source, *output, "--shard", text)
        check_told(outcome, 2, f"--shard {text}", "i from 1 to n")
    part = ("--shard", "1/2")
    check_told(inside("translate", trained, "-", *output, *part), 2, "--shard needs a FILE")
    check_told(inside("translate", trained, source, *part), 2, "--output")
    sample = inside("translate", trained, source, *output, *part, "--sample")
    check_told(sample, 2, "--shard does not go with --sample")
    both = inside("translate", trained, source, *output, *part, "--ray", 2)
    check_told(both, 2, "leave --shard out")
    none = inside("translate", trained, source, *output, "--ray", 0)
    check_told(none, 2, "at least 1 worker")


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_makes_the_same_output(
    trained: Path, source: Path, tmp_path: Path, single: bytes
) -> None:
    pytest.importorskip("ray", reason="the extra `cluster` (ray[data]) is not installed")
    output = tmp_path / "out.en"
    command = [sys.executable, "-m", "polyhead", "translate", str(trained), str(source)]
    process = subprocess.Popen(
        [*command, "--output", str(output), "--ray", "2"],
        env=ENVIRONMENT | {"RAY_DISABLE_MEMORY_MONITOR": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, err = process.communicate(timeout=300)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # Ray's own processes, too
    assert process.returncode == 0, err
    assert output.read_bytes() == single
    assert Shard(1, 8).output(output).is_file()
