"""The examples in the Python interface's docstrings, run as they stand."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import yaml

from polyhead import api
from polyhead.data.korean_english import generate
from polyhead.quickstart import Pair, split
from polyhead.use import load, translation

RECIPE = {
    "name": "ko-en",
    "task": "translation",
    "model": {"kind": "transformer", "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 32},
    "data": {"source_language": "ko", "target_language": "en"},
    "tokenizer": {"vocab_size": 400},
    "training": {"batch_tokens": 256, "max_steps": 1, "validate_every": 1},
}


@pytest.mark.xdist_group("doctests")
def test_the_examples_of_the_python_interface_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts = split([Pair(*pair) for pair in generate(pairs=200)], lambda _: None)
    data = dict(RECIPE["data"])  # type: ignore[call-overload]
    for name, pairs in parts.items():
        lines = ["s\tt", *(f"{p.source}\t{p.target}" for p in pairs)]
        Path(f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        data[name] = {"file": f"{name}.tsv", "source_column": "s", "target_column": "t"}
    Path("ko-en.yaml").write_text(yaml.safe_dump(RECIPE | {"data": data}), encoding="utf-8")
    api.train("ko-en.yaml", "runs/ko-en")
    for module in (api, load, translation):
        result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
        assert result.attempted >= 2
        assert result.failed == 0
