"""Hugging Face `generate` on a random MarianMT, SDPA attention, fp32 or bf16 weights."""

from __future__ import annotations

import torch

from benchmarks.peers.decoding import OUTPUT_LENGTH, main
from benchmarks.peers.huggingface import EOS, marian
from benchmarks.workload import Shape, padded


class HuggingFaceDecoding:
    """`MarianMTModel.generate` with its own cache and beam search."""

    def prepare(self, shape: Shape, precision: str, threads: int) -> dict[str, object]:
        import transformers

        if precision == "int8":
            raise ValueError("generate has no int8 on a CPU")
        self.model = marian(shape, attention="sdpa").eval()
        if precision == "bf16":
            self.model = self.model.to(torch.bfloat16)
        self.pad = shape.vocab_size - 1
        return {"system": f"transformers {transformers.__version__}", "threads": threads}

    def translate(self, batch: list[list[int]], *, beam: int) -> list[int]:
        source = torch.tensor(padded([[*words, EOS] for words in batch], padding=self.pad))
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=source,
                attention_mask=(source != self.pad).long(),
                num_beams=beam,
                do_sample=False,
                min_new_tokens=OUTPUT_LENGTH,
                max_new_tokens=OUTPUT_LENGTH,
            )
        written = output[:, 1:].tolist()
        return [row.index(EOS) if EOS in row else len(row) for row in written]


if __name__ == "__main__":
    main(HuggingFaceDecoding)
