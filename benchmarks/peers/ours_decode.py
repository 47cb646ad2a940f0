"""Polyhead's own decoding engine: that of `polyhead translate --precision fp32|bf16|int8`."""

from __future__ import annotations

from polyhead import machine

machine.prepare()

import torch  # noqa: E402

from benchmarks.peers.decoding import OUTPUT_LENGTH, main  # noqa: E402
from benchmarks.peers.ours import END, build  # noqa: E402
from benchmarks.workload import Shape  # noqa: E402
from polyhead.attention.masks import positions_of  # noqa: E402
from polyhead.data.examples import Ragged  # noqa: E402
from polyhead.decoding.search import Vocabulary, beam_search, one_by_one  # noqa: E402
from polyhead.layers.packed import pack  # noqa: E402


class OursDecoding:
    """Greedy and beam search with the end forbidden, so that every output has the full length."""

    def prepare(self, shape: Shape, precision: str, threads: int) -> dict[str, object]:
        choices = machine.choose("fp32", threads)
        machine.apply(choices)
        size = shape.vocab_size
        model = build(shape).eval()
        self.model = model if precision == "fp32" else pack(model, precision)  # type: ignore[arg-type]
        if precision != "bf16":
            self.model.quicken()
        self.vocabulary = Vocabulary(size - 1, END, (END, size - 1))
        return {"torch": torch.__version__, "threads": threads}

    @torch.inference_mode()
    def translate(self, batch: list[list[int]], *, beam: int) -> list[int]:
        longest_first = sorted(batch, key=len, reverse=True)  # as `polyhead translate` does
        ragged = Ragged([[*row, END] for row in longest_first])
        source, lengths = ragged.padded(range(len(batch)), END)
        state = self.model.begin(source, positions_of(lengths, source.shape[1]))
        limits = torch.full_like(lengths, OUTPUT_LENGTH)
        if beam == 1:
            found = one_by_one(self.model.step, state, limits, self.vocabulary)
            return [len(h.tokens) for h in found]
        best = beam_search(self.model.step, state, limits, self.vocabulary, beam=beam, alpha=1.0)
        return [len(hypotheses[0].tokens) for hypotheses in best]


if __name__ == "__main__":
    main(OursDecoding)
