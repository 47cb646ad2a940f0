"""Scores by group on a real set: the values of a column divide the test sentences."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from polyhead_system import inside, write_recipe


def table(data: Path, split: str, count: int, out: Path) -> list[str]:
    """Write the set's sentences with their style as a table; returns the styles."""
    folder = data / "koen_synthetic"
    read = [
        (folder / f"{split}.{end}").read_text(encoding="utf-8").splitlines()
        for end in ("ko", "en", "meta.tsv")
    ]
    header, *rows = read[2]
    column = header.split("\t").index("style")
    styles = [row.split("\t")[column] for row in rows[:count]]
    lines = ["ko\ten\tstyle", *map("\t".join, zip(read[0], read[1], styles))]  # noqa: B905
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return styles


def test_every_style_of_a_real_set_has_scores_of_its_own(data_folder: Path, tmp_path: Path) -> None:
    styles = {
        split: table(data_folder, split, count, tmp_path / f"{split}.tsv")
        for split, count in (("train", 300), ("valid", 10), ("test", 40))
    }
    columns = {"source_column": "ko", "target_column": "en", "group_column": "style"}
    data = {split: {"file": str(tmp_path / f"{split}.tsv"), **columns} for split in styles}
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path, data=data)
    run = tmp_path / "run"
    told = inside("train", recipe, "--out", run)
    assert told.code == 0, told.err
    report = inside("evaluate", run, "--beam", 1, "--json").json()
    expected = Counter(styles["test"])
    assert len(expected) > 1
    assert {name: part["examples"] for name, part in report["by_group"].items()} == expected
    assert sum(part["examples"] for part in report["by_group"].values()) == report["examples"] == 40
    for part in report["by_group"].values():
        assert {"bleu", "chrf"} <= set(part["metrics"])
        assert all(0 <= part["metrics"][name]["score"] <= 100 for name in ("bleu", "chrf"))
    shown = inside("evaluate", run, "--beam", 1)
    assert all(f"  {name}: {count} examples  " in shown.out for name, count in expected.items())
    assert (
        "by_group"
        not in inside(
            "evaluate",
            run,
            "--beam",
            1,
            "--json",
            "--source",
            data_folder / "koen_jhe/valid.ko",
            "--reference",
            data_folder / "koen_jhe/valid.en",
        ).json()
    )
