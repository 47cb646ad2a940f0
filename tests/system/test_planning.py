"""What `plan` foretells is what training shows, and memory that does not suffice is told."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from polyhead_system import (
    ENVIRONMENT,
    Outcome,
    check_told,
    info,
    inside,
    journal,
    outside,
    write_recipe,
)

pytestmark = pytest.mark.xdist_group("planning")
KEYS = {"parameters", "peak_bytes", "disk_bytes", "seconds_per_step", "largest_batch_tokens"}
MIB = 2**20

TRAIN_AND_TELL = """
import sys
from polyhead import machine, memory
machine.prepare()
import polyhead.training.start
base = memory.used()
from polyhead import api
api.train(sys.argv[1], sys.argv[2], sys.argv[3:])
print(memory.peak() - base)
"""

OUT_OF_MEMORY_AT_THE_FIRST_STEP = """
import resource, sys
from polyhead import memory
from polyhead.cli.main import main
import polyhead.training.loop as loop
go = loop.Trainer.go

def limited(self):
    memory.trim()
    now, _ = memory._statm()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**20, now + 2**20))
    return go(self)

loop.Trainer.go = limited
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Large enough for its memory to be seen."""
    return write_recipe(
        tmp_path_factory.mktemp("planned") / "recipe.yaml",
        corpus,
        model={"d_model": 256, "num_heads": 4, "d_ff": 1024, "num_layers": 2},
        training={"batch_tokens": 6000, "max_steps": 4, "validate_every": 2, "keep": 2},
    )


ONE_THREAD = ENVIRONMENT | {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
PEAK_OF_ADDRESS_SPACE = """
import re, sys
from pathlib import Path
from polyhead.cli.main import main
try:
    main(sys.argv[1:])
finally:
    status = Path("/proc/self/status").read_text()
    print("VmPeak", re.search(r"VmPeak:\\s+(\\d+) kB", status)[1], file=sys.stderr)
"""


def address_space(*arguments: object) -> int:
    """The most bytes of address space that a command takes where nothing limits it."""
    ended = subprocess.run(
        [sys.executable, "-c", PEAK_OF_ADDRESS_SPACE, *map(str, arguments)],
        env=ONE_THREAD,
        capture_output=True,
        check=True,
    )
    return int(ended.stderr.decode().rsplit("VmPeak", 1)[1]) * 1024


def limited(room: int, *arguments: object) -> Outcome:
    """Run the program under `ulimit -v` of so many bytes."""
    script = f'ulimit -v {room // 1024}; exec {sys.executable} -m polyhead "$@"'
    ended = subprocess.run(
        ["bash", "-c", script, "polyhead", *map(str, arguments)],
        env=ONE_THREAD,
        capture_output=True,
        check=False,
        timeout=400,
    )
    return Outcome(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


@pytest.mark.slow
def test_a_plan_foretells_memory_disk_and_parameters_within_a_fifth(
    recipe: Path, tmp_path: Path
) -> None:
    changes = ("model.d_model=128", "model.d_ff=512", "training.batch_tokens=3000")
    outcome = outside("plan", recipe, *changes, "--json")
    assert outcome.code == 0, outcome.err
    plan = outcome.json()
    assert plan.keys() == KEYS
    assert "taking 20 steps" in outcome.err
    run = tmp_path / "run"
    command = [sys.executable, "-c", TRAIN_AND_TELL, recipe, run, *changes]
    told = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True).stdout
    assert plan["peak_bytes"] == pytest.approx(int(told), rel=0.2)
    disk = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    assert plan["disk_bytes"] == pytest.approx(disk, rel=0.2)
    header = (run / "model.safetensors").read_bytes()
    tensors = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])
    shapes = [entry["shape"] for name, entry in tensors.items() if name != "__metadata__"]
    sizes = [shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in shapes]
    assert plan["parameters"] == sum(sizes)
    assert plan["seconds_per_step"] > 0
    assert plan["largest_batch_tokens"] > 3000


def test_a_plan_for_a_person_says_how_long_and_what_fits(corpus: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, training={"max_epochs": 2})
    outcome = inside("plan", recipe)
    assert outcome.code == 0, outcome.err
    for phrase in ("peak memory", "in the run folder", "s of 400 batch_tokens", "for 6 steps"):
        assert phrase in outcome.out
    assert "and at most" in outcome.out
    assert "for 2 validations" in outcome.out
    assert re.search(r"training\.batch_tokens=\d+ fits", outcome.out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recipe.yaml"]


def test_faults_that_only_the_dry_run_finds_are_told_as_training_would(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, data={"max_length": 1})
    check_told(inside("plan", recipe), 1, "no training pairs are left")
    check_told(inside("plan", tmp_path / "none.yaml"), 2, "no recipe")
    check_told(inside("plan", recipe, "training.keep=0"), 2, "training.keep")
    check_told(inside("plan", recipe, "model.from=nowhere"), 2, "no run folder")


def test_a_plan_knows_every_end(corpus: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus, training={"max_steps": None})
    outcome = inside("plan", recipe, "training.max_tokens=20000")
    assert outcome.code == 0, outcome.err
    steps = re.search(r"([\d,]+) steps", outcome.out + outcome.err)
    assert steps is not None, outcome.out
    run = tmp_path / "run"
    assert inside("train", recipe, "training.max_tokens=20000", "--out", run).code == 0
    assert int(steps[1].replace(",", "")) == pytest.approx(info(run)["step"], rel=0.2)


def test_auto_chooses_a_number_that_stands_in_the_run_from_then_on(
    corpus: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(
        tmp_path / "recipe.yaml", corpus, training={"batch_tokens": "auto", "max_steps": 2}
    )
    run = tmp_path / "run"
    outcome = inside("train", recipe, "--out", run)
    assert outcome.code == 0, outcome.err
    chosen = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["training"]
    number = chosen["batch_tokens"]
    assert number % 64 == 0
    assert f"training.batch_tokens: auto is {number:,} here" in outcome.err
    assert info(run)["batch_tokens"] == f"auto: {number}"
    override = f"training.batch_tokens={number}"
    assert inside("train", recipe, override, "--out", tmp_path / "same").code == 0
    losses = [[(e["step"], e["nll"]) for e in journal(r)] for r in (run, tmp_path / "same")]
    assert losses[0] == losses[1]
    assert inside("extend", run, "--steps", 4).code == 0
    assert info(run)["step"] == 4


@pytest.mark.parametrize("value", ["0", "-1", "much", "1.5", "true", "null"])
def test_batch_tokens_is_a_number_or_auto(corpus: Path, tmp_path: Path, value: str) -> None:
    recipe = write_recipe(tmp_path / "recipe.yaml", corpus)
    outcome = inside("train", recipe, f"training.batch_tokens={value}", "--out", tmp_path / "x")
    check_told(outcome, 2, "1 problem", "training.batch_tokens: a whole number of at least 1")


@pytest.mark.slow
def test_too_large_a_batch_is_foretold_with_one_that_fits(recipe: Path, tmp_path: Path) -> None:
    small = ("training.batch_tokens=256", "training.max_steps=1")
    base = address_space("train", recipe, *small, "--out", tmp_path / "small")
    room, out = base + 300 * MIB, ("--out", tmp_path / "run")
    outcome = limited(room, "train", recipe, *out)
    check_told(outcome, 1, "training would need about", "pairs of", "are free (ulimit -v)")
    assert not (tmp_path / "run").exists()
    found = re.search(
        r"training\.batch_tokens=(\d+) fits; with training\.accumulate=(\d+)", outcome.err
    )
    assert found, outcome.err
    fits, times = map(int, found.groups())
    assert 256 < fits < 6000
    assert times >= 2
    changes = (f"training.batch_tokens={fits}", "training.max_steps=1")
    smaller = limited(room, "train", recipe, *changes, *out)
    assert smaller.code == 0, smaller.err


@pytest.mark.slow
def test_memory_that_runs_out_in_training_is_told_and_nothing_saved_is_lost(
    recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", OUT_OF_MEMORY_AT_THE_FIRST_STEP]
    changes = ("training.batch_tokens=1000", "--out", run)
    ended = subprocess.run(
        [*command, "train", recipe, *changes], env=ENVIRONMENT, capture_output=True, check=False
    )
    outcome = Outcome(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
    check_told(outcome, 1, "out of memory: step ", ": a batch of", "pairs of", "does not fit")
    for phrase in ("training.batch_tokens=500", "training.accumulate=2", "train --resume"):
        assert phrase in outcome.err
    assert info(run)["complete"] is False
    assert inside("train", "--resume", run).code == 0
    assert info(run)["step"] == 4


@pytest.mark.slow
def test_decoding_that_does_not_fit_is_told_with_a_batch_that_does(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    lines = (corpus / "train.ko").read_text(encoding="utf-8").splitlines()[:120]
    (tmp_path / "source").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ("translate", trained, tmp_path / "source", "--beam", 120, "--max-length", 40)
    room = address_space(*command, "--batch-tokens", 1) + 150 * MIB
    outcome = limited(room, *command, "--batch-tokens", 10**6)
    check_told(outcome, 1, "out of memory: decoding 120 sentences of up to", "120 hypotheses each")
    found = re.search(r"--batch-tokens (\d+) \(decoding\.batch_tokens=", outcome.err)
    assert found, outcome.err
    smaller = limited(room, *command, "--batch-tokens", found[1])
    assert smaller.code == 0, smaller.err
    assert len(smaller.lines) == 120


@pytest.mark.slow
def test_judging_that_does_not_fit_is_told_with_a_batch_that_does(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    for end in ("ko", "en"):
        text = (corpus / f"train.{end}").read_text(encoding="utf-8")
        (tmp_path / f"many.{end}").write_text(text * 30, encoding="utf-8")
    files = ("--source", tmp_path / "many.ko", "--target", tmp_path / "many.en")
    command = ("score", trained, *files, "--batch-tokens")
    room = address_space(*command, 4000) + 100 * MIB
    outcome = limited(room, *command, 10**6)
    check_told(outcome, 1, "out of memory: judging 12900 pairs of", "together does not fit")
    found = re.search(r"--batch-tokens (\d+) \(decoding\.batch_tokens=", outcome.err)
    assert found, outcome.err
    smaller = limited(room, *command, found[1])
    assert smaller.code == 0, smaller.err
    assert len(smaller.lines) == 12900


@pytest.mark.parametrize("command", ["translate", "evaluate"])
def test_a_batch_of_nothing_is_wrong_use(trained: Path, command: str) -> None:
    outcome = inside(command, trained, "--batch-tokens", 0)
    check_told(outcome, 2, "batch-tokens 0 is not at least 1")
