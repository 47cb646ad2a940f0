"""A small corpus, and one tiny trained run that the system tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from polyhead_system import inside, outside, write_recipe

from polyhead.data import korean_english


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, valid and test as aligned files: a little of the embedded corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    pairs = korean_english.generate(pairs=500)
    for name, part in (("train", pairs[:430]), ("valid", pairs[430:450]), ("test", pairs[450:])):
        for end, texts in (("ko", [p.korean for p in part]), ("en", [p.english for p in part])):
            lines = "".join(f"{text}\n" for text in texts)
            (folder / f"{name}.{end}").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A finished run: look, don't touch (`copy` is there to be changed)."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = write_recipe(
        folder / "recipe.yaml",
        corpus,
        training={"max_steps": 150, "validate_every": 50, "average_last": 2},
    )
    outcome = outside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"


@pytest.fixture(scope="session")
def rival(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """Another finished run on the same data, by another seed: look, don't touch."""
    folder = tmp_path_factory.mktemp("rival")
    training = {"max_steps": 300, "validate_every": 100}  # small weights begin slowly
    changes = {"seed": 2, "model": {"norm": "post"}, "training": training}
    recipe = write_recipe(folder / "recipe.yaml", corpus, **changes)
    outcome = inside("train", recipe, "--out", folder / "run")
    assert outcome.code == 0, outcome.err
    return folder / "run"
