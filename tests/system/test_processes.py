"""Several processes train as one does: losses, resume, signals, failures; gloo on the CPU."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from polyhead_processes import LIMIT, running, together
from polyhead_system import (
    ENVIRONMENT,
    Outcome,
    change_info,
    check_told,
    info,
    inside,
    journal,
    tensors_of,
    write_recipe,
)
from test_check_texts import language

from polyhead.runs.folder import read_weights

pytestmark = pytest.mark.xdist_group("processes")


def succeeded(outcomes: list[Outcome]) -> None:
    """All exited with 0; only the first had something to say."""
    assert [o.code for o in outcomes] == [0] * len(outcomes), outcomes
    assert outcomes[0].err
    assert [o.err for o in outcomes[1:]] == [""] * (len(outcomes) - 1)


def losses(run: Path) -> dict[int, tuple[float, float]]:
    return {e["step"]: (e["loss"], e["nll"]) for e in journal(run) if e["kind"] == "train"}


def timeless(run: Path) -> list[dict[str, Any]]:
    timings = {"seconds", "tokens_per_second"}
    return [{k: v for k, v in e.items() if k not in timings} for e in journal(run)]


def shapes(file: Path) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in read_weights(file).items()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A recipe without dropout; batches so small that a process often has no row of one."""
    return write_recipe(
        tmp_path_factory.mktemp("plain") / "recipe.yaml",
        corpus,
        training={"max_steps": 20, "validate_every": 20, "accumulate": 2, "batch_tokens": 60},
    )


@pytest.fixture(scope="module")
def alone(plain: Path) -> Path:
    """What one process makes of it."""
    run = plain.parent / "alone"
    outcome = inside("train", plain, "--out", run)
    assert outcome.code == 0, outcome.err
    return run


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_two_processes_have_the_losses_of_one_and_what_they_save_serves_one(
    plain: Path, alone: Path, tmp_path: Path, sharding: str
) -> None:
    run = tmp_path / "run"
    change = (f"training.sharding={sharding}", "training.max_steps=21")
    succeeded(together(2, "train", plain, *change, "--out", run))
    one, two = losses(alone), losses(run)
    assert len(one) == 20
    for step, values in one.items():
        assert two[step] == pytest.approx(values, rel=1e-5)
    for name in ("model", "optimiser"):
        mine, its = (
            shapes(r / f"checkpoints/step-00000020/{name}.safetensors") for r in (alone, run)
        )
        assert mine == its
    shutil.rmtree(run / "checkpoints" / "step-00000021")
    change_info(run, complete=False)
    outcome = inside("train", "--resume", run)
    assert outcome.code == 0, outcome.err
    assert "trained by 2 processes and goes on with 1" in outcome.err
    assert losses(run)[21] == pytest.approx(two[21], rel=1e-5)
    assert inside("translate", run, stdin="안녕\n".encode()).code == 0


MODELS: dict[str, dict[str, Any]] = {
    "general": {"kind": "rnn_seq2seq", "d_model": 16, "input_feeding": False},
    "additive": {"kind": "rnn_seq2seq", "d_model": 16, "attention": {"score": "additive"}},
    "convolutions": {"kind": "conv_seq2seq", "d_model": 16, "num_layers": 2},
}


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
@pytest.mark.parametrize("name", MODELS)
def test_two_processes_have_the_losses_of_one_whatever_the_model(
    corpus: Path, tmp_path: Path, name: str, sharding: str
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, training={"max_steps": 4})
    model = {**MODELS[name], "dropout": 0.0, "max_length": 128}
    written = yaml.safe_load(recipe.read_text(encoding="utf-8")) | {"model": model}
    recipe.write_text(yaml.safe_dump(written), encoding="utf-8")
    assert inside("train", recipe, "--out", tmp_path / "alone").code == 0
    change = f"training.sharding={sharding}"
    succeeded(together(2, "train", recipe, change, "--out", tmp_path / "both"))
    one, two = losses(tmp_path / "alone"), losses(tmp_path / "both")
    assert len(one) == 4
    for step, values in one.items():
        assert two[step] == pytest.approx(values, rel=1e-5)
    assert inside("translate", tmp_path / "both", stdin="안녕\n".encode()).code == 0


def test_processes_share_the_baseline_of_hard_attention(corpus: Path, tmp_path: Path) -> None:
    """What goes on from the first one's checkpoint is what went on with all of theirs."""
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    attention = {"weights": "hard", "reward": 1.0}
    model = {**MODELS["general"], "attention": attention, "max_length": 128}
    written = yaml.safe_load(recipe.read_text(encoding="utf-8")) | {"model": model}
    recipe.write_text(yaml.safe_dump(written), encoding="utf-8")
    run = tmp_path / "run"
    succeeded(together(2, "train", recipe, "--out", run))
    again = Path(shutil.copytree(run, tmp_path / "again"))
    shutil.rmtree(again / "checkpoints" / "step-00000006")
    change_info(again, complete=False)
    succeeded(together(2, "train", "--resume", again))
    assert dict(tensors_of(again)) == dict(tensors_of(run))
    buffers = read_weights(run / "checkpoints" / "step-00000006" / "buffers.safetensors")
    assert buffers["reinforce.begun"] == 1
    assert buffers["reinforce.baseline"] < 0


LANGUAGE = (
    *("model.dropout=0", "model.num_layers=2", "training.precision=fp32"),
    *("training.batch_tokens=60", "training.accumulate=2", "training.optimizer.lr=0.003"),
    *("training.schedule={kind: constant, warmup_steps: 5}", "training.validate_every=20"),
    "training.max_steps=20",
)


@pytest.fixture(scope="module", params=["language_modeling", "masked_lm"])
def of_language(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A tiny recipe of GPT or BERT without dropout, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("language")
    recipe = language(folder, request.param)
    outcome = inside("train", recipe, *LANGUAGE, "--out", folder / "alone")
    assert outcome.code == 0, outcome.err
    return recipe, folder / "alone"


@pytest.mark.parametrize("sharding", ["none", "fsdp"])
def test_models_of_language_have_the_losses_of_one_process(
    of_language: tuple[Path, Path], tmp_path: Path, sharding: str
) -> None:
    recipe, alone = of_language
    run = tmp_path / "run"
    change = f"training.sharding={sharding}"
    succeeded(together(2, "train", recipe, *LANGUAGE, change, "--out", run))
    one, two = losses(alone), losses(run)
    assert len(one) == 20
    assert one[20][1] < one[1][1]
    for step, values in one.items():
        assert two[step] == pytest.approx(values, rel=1e-5)
    reports = [inside("evaluate", r, "--split", "valid", "--json").json() for r in (alone, run)]
    first, second = (report["metrics"]["nll"] for report in reports)
    assert second == pytest.approx(first, rel=1e-4)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A recipe with dropout, whose random numbers differ from process to process."""
    return write_recipe(
        tmp_path_factory.mktemp("recipe") / "recipe.yaml",
        corpus,
        model={"dropout": 0.1},
        training={"max_steps": 60, "validate_every": 20, "average_last": 2},
    )


@pytest.fixture(scope="module")
def whole(recipe: Path) -> Path:
    """The training of two processes that nobody interrupted."""
    run = recipe.parent / "whole"
    succeeded(together(2, "train", recipe, "--out", run))
    return run


def test_a_signal_to_one_process_stops_all_and_resuming_is_to_the_bit(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with running(2, "train", recipe, "--out", run) as processes:
        processes.wait_for_step(run, 23)
        os.kill(processes.pid(1), signal.SIGTERM)
        outcomes = processes.ends()
    succeeded(outcomes)
    assert "stopped by SIGTERM at step " in outcomes[0].err
    assert info(run)["complete"] is False
    assert 20 < info(run)["step"] < 60
    last = run / "checkpoints" / f"step-{info(run)['step']:08}"
    assert read_weights(last / "random.safetensors").keys() == {"cpu", "cpu.1"}
    resumed = together(2, "train", "--resume", run)
    succeeded(resumed)
    assert "not be the same to the bit" not in resumed[0].err
    assert timeless(run) == timeless(whole)
    assert dict(tensors_of(run)) == dict(tensors_of(whole))


def test_where_one_process_is_killed_the_other_says_so_and_ends(
    recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with running(2, "train", recipe, "training.max_steps=100000", "--out", run) as processes:
        processes.wait_for_step(run, 3)
        os.kill(processes.pid(1), signal.SIGKILL)
        first, _ = processes.ends()
    check_told(first, 1, "another process of this training has ended", "process 1 of 2")


def test_a_fault_of_one_process_is_told_by_it_alone_and_ends_all(
    recipe: Path, corpus: Path, tmp_path: Path
) -> None:
    """The second machine's copy of the data has a line more."""
    first, second = corpus, Path(shutil.copytree(corpus, tmp_path / "corpus"))
    for end in ("ko", "en"):
        with (second / f"train.{end}").open("a", encoding="utf-8") as file:
            file.write("하나 더\n")
    text = recipe.read_text(encoding="utf-8").replace(str(corpus), "${HERE}")
    elsewhere = tmp_path / "recipe.yaml"
    elsewhere.write_text(text, encoding="utf-8")
    places = [{"HERE": str(first)}, {"HERE": str(second)}]
    with running(2, "train", elsewhere, "--out", tmp_path / "run", each=places) as processes:
        outcomes = processes.ends()
    told = "process 2 of 2: this process reads other training data than the first one"
    check_told(outcomes[1], 1, told)
    assert outcomes[0].code == 1
    assert "other training data" not in outcomes[0].err
    assert not (tmp_path / "run").exists()


def test_what_torchrun_starts_again_goes_on_with_its_run_to_the_bit(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = ["--nproc-per-node", "2", "--max-restarts", "1", "-m", "polyhead", "train"]
    with subprocess.Popen(
        [*launcher, *command, str(recipe), "--out", str(run)],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as torchrun:
        try:
            last = time.monotonic() + LIMIT
            while not (run / "checkpoints" / "step-00000020").is_dir():
                assert torchrun.poll() is None, torchrun.communicate()
                assert time.monotonic() < last, "no step in time"
                time.sleep(0.01)
            os.kill(children(torchrun.pid)[1], signal.SIGKILL)
            _, err = torchrun.communicate(timeout=LIMIT)
        finally:
            for pid in children(torchrun.pid):
                os.kill(pid, signal.SIGKILL)
            torchrun.kill()
    assert torchrun.returncode == 0, err
    assert "torchrun has started the training again" in err
    assert f"resuming {run} at step 20" in err
    assert timeless(run) == timeless(whole)
    assert dict(tensors_of(run)) == dict(tensors_of(whole))


def test_a_run_of_another_launch_is_refused_by_every_attempt(
    recipe: Path, alone: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(alone, tmp_path / "run"))
    before = dict(tensors_of(run))
    command = ["--nproc-per-node", "1", "--max-restarts", "1", "-m", "polyhead", "train"]
    outcome = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *command, str(recipe), "--out", str(run)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert outcome.returncode != 0
    assert outcome.stderr.count("exists already") == 2
    assert dict(tensors_of(run)) == before


def children(pid: int) -> list[int]:
    """Processes that a process has started, oldest first; none once it has ended."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return sorted(int(number) for number in found.stdout.split())
