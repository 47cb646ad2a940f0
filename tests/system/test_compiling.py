"""torch.compile by one key: the losses of plain training, or a refusal before there is a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from polyhead_system import check_told, inside, journal
from test_check_texts import language

from polyhead.errors import TrainingError
from polyhead.training.compiling import check_compiler

COMMON = (
    *("model.dropout=0", "training.precision=fp32", "training.batch_tokens=64"),
    *("training.max_steps=6", "training.validate_every=6"),
)


@pytest.mark.slow
def test_compiled_training_has_the_losses_of_plain(tmp_path: Path) -> None:
    try:
        check_compiler("cpu")
    except TrainingError as error:
        pytest.skip(str(error))
    recipe = language(tmp_path)
    for name, more in (("plain", ()), ("compiled", ("training.compile=true",))):
        outcome = inside("train", recipe, *COMMON, *more, "--out", tmp_path / name)
        assert outcome.code == 0, outcome.err
    plain, compiled = (journal(tmp_path / name) for name in ("plain", "compiled"))
    assert len(plain) == len(compiled) == 7
    for one, other in zip(plain, compiled, strict=True):
        assert other["nll"] == pytest.approx(one["nll"], rel=1e-4)


def test_a_machine_that_cannot_compile_is_told_before_there_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> object:
        raise RuntimeError("No working C++ compiler found\nin this and that place")

    monkeypatch.setattr(torch, "compile", fails)
    out = tmp_path / "run"
    told = inside("train", language(tmp_path), "training.compile=true", "--out", out)
    check_told(told, 1, "torch.compile does not work", "(No working C++ compiler found)")
    assert not out.exists()


def test_compiling_does_not_go_with_sharding(tmp_path: Path) -> None:
    both = ("training.compile=true", "training.sharding=fsdp")
    told = inside("train", language(tmp_path), *both, "--out", tmp_path / "run")
    check_told(told, 2, "training.compile does not go with training.sharding")
