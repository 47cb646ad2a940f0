"""What is timed on a machine decides; that it is timed right shows in benchmarks alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from polyhead import machine


@pytest.fixture
def untimed() -> Iterator[None]:
    machine.explicit_attention_below.cache_clear()
    yield
    machine.explicit_attention_below.cache_clear()


@pytest.mark.usefixtures("untimed")
@pytest.mark.parametrize(
    ("explicit", "below"), [((0.7, 0.7), 1025), ((0.9, 0.7), 513), ((0.9, 0.9), 384)]
)
def test_explicit_attention_goes_as_far_as_it_is_clearly_faster(
    explicit: tuple[float, float], below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(explicit)  # at 1,024 keys, then at 512; the fused kernel takes 1

    def seconds(work: Callable[[], object]) -> float:
        work()
        return left.pop(0) if work.__name__ == "explicit" else 1.0

    monkeypatch.setattr(machine, "_seconds", seconds)
    assert machine.choose("bf16").explicit_attention_below == below
    assert machine.choose("fp32").explicit_attention_below == 0
