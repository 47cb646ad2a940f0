"""Model FLOPs utilisation: the formula by hand, peaks by names, and the share of a time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyhead.data.masking import MaskedBatch
from polyhead.data.stream import BlockBatch
from polyhead.models import bert, gpt, transformer
from polyhead.training.utilisation import Cost, Meter, peak_of

ROWS = np.arange(2)


def blocks(length: int) -> BlockBatch:
    ids = torch.zeros(2, length, dtype=torch.long)
    return BlockBatch(ids, ids, None, None, ROWS)


def small(**keys: Any) -> gpt.GPT:
    config = gpt.Config(d_model=8, num_layers=3, num_heads=2, d_ff=16, max_length=32)
    return gpt.build(config, vocab_size=50, **keys)


def test_gpt2_costs_what_palms_formula_says() -> None:
    """6 N + 12 L H Q T, N without the table of positions, which nothing is multiplied with."""
    with torch.device("meta"):
        model = gpt.build(gpt.Config(preset="gpt2"), vocab_size=50_257)
    n = gpt.parameter_count(model.config, vocab_size=50_257) - 1024 * 768
    final_norm = 2 * 768
    each = 6 * (n - final_norm) + 12 * 12 * 12 * 64 * 1024
    assert each == pytest.approx(8.55e8, rel=1e-3)
    assert Cost.of(model)(blocks(1024)) == 2 * 1024 * each


@pytest.mark.parametrize("padded", [False, True])
def test_berts_output_counts_for_masked_tokens_alone_and_padding_for_none(padded: bool) -> None:
    shape = {"d_model": 8, "num_layers": 3, "num_heads": 2, "d_ff": 16, "max_length": 32}
    model = bert.build(bert.Config(**shape), vocab_size=50)
    ids = torch.zeros(2, 10, dtype=torch.long)
    positions: Tensor | None = torch.arange(10).repeat(2, 1)
    if padded:
        positions[1, 6:] = -1  # type: ignore[index]
    chosen = ids.bool()
    chosen[:, 2] = True
    labels = torch.zeros(2, dtype=torch.long)
    batch = MaskedBatch(ids, chosen, labels, ROWS, positions if padded else None)
    block = 4 * (8 * 8 + 8) + 2 * 8 * 16 + 16 + 8 + 2 * 2 * 8
    head = 50 * 8 + 50 + 8 * 8 + 8 + 2 * 8
    tokens = 16 if padded else 20
    each = 6 * 3 * block + 12 * 3 * 8 * 10
    assert Cost.of(model)(batch) == tokens * each + 2 * 6 * head


def test_weights_that_do_not_learn_cost_less_and_answers_no_vocabulary() -> None:
    model = small()
    whole = Cost.of(model)
    model.blocks.requires_grad_(False)
    assert Cost.of(model).token * 6 == whole.token * 4
    assert whole.predicted == 6 * 50 * 8
    assert Cost.of(small(purpose="sequence", outputs=3)).predicted == 0


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA GH200 480GB", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("Tesla V100-PCIE-16GB", 112),
        ("Tesla V100-SXM2-16GB", 125),
        ("Tesla T4", 65),
        ("NVIDIA A10G", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("a pretended GPU", None),
    ],
)
def test_peaks_are_known_by_name(name: str, tera: float | None) -> None:
    assert peak_of(name) == (None if tera is None else tera * 1e12)


def metered(monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> Meter:
    """Two batches learned from in so many seconds."""
    clock = iter((0.0, 50.0, 50.0 + seconds))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    meter = Meter(small(), "cuda")
    meter.add(blocks(7))  # before the start: not counted
    meter.start()
    meter.add(blocks(30))
    meter.add(blocks(10))
    return meter


def test_a_share_of_the_peak_is_found_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Cost.of(small())
    flops = cost(blocks(30)) + cost(blocks(10))
    meter = metered(monkeypatch, "NVIDIA H100 80GB HBM3", flops / 400e12)
    found = meter.read()
    assert found == {
        "model_flops_per_second": pytest.approx(400e12, rel=1e-6),
        "model_flops_utilisation": pytest.approx(400 / 989, abs=1e-4),
    }
    assert meter.describe(found) == (
        "400 TFLOP/s of the model: model FLOPs utilisation 40.4% of the 989 TFLOP/s that "
        "NVIDIA H100 80GB HBM3 has in 16 bits"
    )


def test_a_device_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = metered(monkeypatch, "Next 9000", 1e-6)
    found = meter.read()
    assert found.keys() == {"model_flops_per_second"}
    assert "utilisation unknown" in meter.describe(found)
    assert "peak of Next 9000" in meter.describe(found)


def test_nothing_is_found_without_a_gpu_or_of_other_models() -> None:
    shape = {"d_model": 8, "num_layers": 1, "num_heads": 2, "d_ff": 8, "max_length": 9}
    other = transformer.build(
        transformer.Config(**shape), source_vocab=9, target_vocab=9, shared=True
    )
    for meter in (Meter(small(), "cpu"), Meter(other, "cuda")):
        meter.add(blocks(9))
        assert meter.read() == {}
