"""A run trained further than its recipe said: the same folder, and no step twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from polyhead_system import (
    change_info,
    check_told,
    info,
    inside,
    journal,
    tensors_of,
    write_recipe,
)

from polyhead.errors import RunError
from polyhead.training import start
from polyhead.training.loop import Trainer

pytestmark = pytest.mark.xdist_group("extending")


def train(folder: Path, corpus: Path, **training: object) -> Path:
    recipe = write_recipe(
        folder / "recipe.yaml", corpus, model={"dropout": 0.1}, training={"keep": 2} | training
    )
    outcome = inside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Complete after 6 steps, validated every 3."""
    return train(tmp_path_factory.mktemp("short"), corpus)


@pytest.fixture
def run(short: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(short, tmp_path / "run"))


def losses(run: Path) -> list[tuple[object, ...]]:
    return [(e["kind"], e["step"], e["nll"], e.get("lr")) for e in journal(run)]


def test_an_extended_run_is_to_the_bit_the_one_that_was_longer_from_the_start(
    run: Path, corpus: Path, tmp_path: Path
) -> None:
    outcome = inside("extend", run, "--steps", 12)
    assert outcome.code == 0, outcome.err
    assert "from step 6 to step 12" in outcome.err
    assert "constant schedule goes on as if it had never ended" in outcome.err
    (tmp_path / "other").mkdir()
    whole = train(tmp_path / "other", corpus, max_steps=12)
    assert losses(run) == losses(whole)
    assert dict(tensors_of(run)) == dict(tensors_of(whole))
    assert (run / "recipe.yaml").read_text() == (whole / "recipe.yaml").read_text()
    assert info(run)["step"] == 12
    assert (info(run)["complete"], info(run)["stopped_because"]) == (True, "max_steps")
    extension = {"from_step": 6, "to_step": 12, "stopped_because": "max_steps"}
    assert info(run)["extended"] == [extension]


@pytest.mark.parametrize("steps", [6, 1, 0, -3])
def test_a_step_already_reached_is_an_error_that_names_the_flag(run: Path, steps: int) -> None:
    before = dict(tensors_of(run)), info(run), journal(run)
    outcome = inside("extend", run, "--steps", steps)
    check_told(outcome, 2, f"--steps {steps}", "has reached step 6 already", "more than 6")
    assert (dict(tensors_of(run)), info(run), journal(run)) == before


@pytest.mark.parametrize("end", [{"max_epochs": 0.1}, {"max_minutes": 0.0001}])
def test_a_run_that_ended_by_epochs_or_the_clock_goes_on_by_steps(
    corpus: Path, tmp_path: Path, end: dict[str, float]
) -> None:
    run = train(tmp_path, corpus, max_steps=None, **end)
    reached = info(run)["step"]
    assert info(run)["stopped_because"] == next(iter(end))
    outcome = inside("extend", run, "--steps", reached + 2)
    assert outcome.code == 0, outcome.err
    assert info(run)["step"] == reached + 2
    steps = [e["step"] for e in journal(run) if e["kind"] == "train"]
    assert steps == list(range(1, reached + 3))
    saved = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["training"]
    assert [saved[key] for key in ("max_steps", *end)] == [reached + 2, None]


def test_early_stopping_begins_to_wait_anew(corpus: Path, tmp_path: Path) -> None:
    run = train(
        tmp_path,
        corpus,
        max_steps=50,
        validate_every=1,
        optimizer={"lr": 1e-12},
        early_stopping={"metric": "bleu", "patience": 2},
    )
    reached = info(run)["step"]
    assert (reached, info(run)["stopped_because"]) == (3, "early_stopping")
    assert inside("extend", run, "--steps", 10).code == 0
    assert info(run)["step"] == reached + 2
    assert info(run)["stopped_because"] == "early_stopping"


def test_a_falling_rate_is_that_of_a_run_of_the_new_length(corpus: Path, tmp_path: Path) -> None:
    schedule = {"kind": "linear", "warmup_steps": 0}
    run = train(tmp_path, corpus, schedule=schedule)
    outcome = inside("extend", run, "--steps", 12)
    assert "its linear schedule now falls to 0 at step 12" in outcome.err
    rates = {e["step"]: e["lr"] for e in journal(run) if e["kind"] == "train"}
    assert rates[6] == 0
    assert rates[7] == pytest.approx(0.01 * 5 / 12)
    assert rates[12] == 0


def test_an_extension_killed_before_it_began_or_on_its_way_goes_on(
    short: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", corpus, max_steps=12)
    run = Path(shutil.copytree(short, tmp_path / "run"))

    def killed(*_: object, **__: object) -> None:
        raise RunError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(start.Run, "update", killed)  # between the recipe and run.json
        assert inside("extend", run, "--steps", 12).code == 1
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "go", killed)
        assert inside("extend", run, "--steps", 12).code == 1
    assert info(run)["complete"] is False
    outcome = inside("train", "--resume", run)
    assert outcome.code == 0, outcome.err
    assert losses(run) == losses(whole)
    assert dict(tensors_of(run)) == dict(tensors_of(whole))


def test_a_run_whose_data_is_gone_stays_as_it_is(corpus: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    run = train(tmp_path, data)
    before = [(run / name).read_bytes() for name in ("run.json", "recipe.yaml")]
    data.rename(tmp_path / "elsewhere")
    check_told(inside("extend", run, "--steps", 12), 1, "train.ko")
    assert [(run / name).read_bytes() for name in ("run.json", "recipe.yaml")] == before


def test_a_complete_run_that_is_resumed_is_shown_the_way(short: Path) -> None:
    check_told(inside("train", "--resume", short), 1, "complete", f"polyhead extend {short}")


def test_a_run_whose_recipe_was_changed_is_not_extended(run: Path) -> None:
    path = run / "recipe.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("clip: 1.0", "clip: 2.0"))
    outcome = inside("extend", run, "--steps", 12)
    check_told(outcome, 1, "training.clip: 1.0 -> 2.0")
    assert "max_steps" not in outcome.err
    assert info(run)["complete"] is True


def test_extend_wants_a_run_and_steps(run: Path, tmp_path: Path) -> None:
    check_told(inside("extend", run), 2, "--steps")
    check_told(inside("extend", tmp_path / "no", "--steps", 9), 2, "no run folder")
    check_told(inside("extend", run, "--steps", "many"), 2, "many")
    change_info(run, format_version=99)
    check_told(inside("extend", run, "--steps", 9), 1, "run format 99")
