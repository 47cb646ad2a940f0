"""Polyhead's own decoding engine."""

from __future__ import annotations

from benchmarks.peers.decoding import main
from benchmarks.workload import Shape


class OursDecoding:
    """FOR THE LEAD TO FILL: the engine of `polyhead translate --precision fp32|bf16|int8`."""

    def prepare(self, shape: Shape, precision: str, threads: int) -> dict[str, object]:
        raise ModuleNotFoundError("Polyhead's decoding is not connected yet")

    def translate(self, batch: list[list[int]], *, beam: int) -> list[int]:
        raise NotImplementedError


if __name__ == "__main__":
    main(OursDecoding)
