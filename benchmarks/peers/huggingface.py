"""Hugging Face MarianMT in a plain training loop, as shipped or tuned by an expert.

As shipped: SDPA attention, the label smoother of its `Trainer`, torch's Adam. Tuned
(`--tuned`, with the allocator's variables set by the driver): eager attention, torch's fused
cross-entropy and fused Adam.
"""

from __future__ import annotations

import sys
from functools import partial

import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers.training import autocast, count_parameters, main
from benchmarks.workload import Pair, Shape, padded

EOS, UNK = 0, 1
IGNORED = -100


def marian(
    shape: Shape, *, attention: str, end: int = EOS, pad: int | None = None
) -> torch.nn.Module:
    """A randomly initialised MarianMT of this shape; its padding is by default the last id."""
    from transformers import MarianConfig, MarianMTModel

    pad = shape.vocab_size - 1 if pad is None else pad
    config = MarianConfig(
        vocab_size=shape.vocab_size,
        d_model=shape.d_model,
        encoder_layers=shape.num_layers,
        decoder_layers=shape.num_layers,
        encoder_ffn_dim=shape.d_ff,
        decoder_ffn_dim=shape.d_ff,
        encoder_attention_heads=shape.num_heads,
        decoder_attention_heads=shape.num_heads,
        dropout=shape.dropout,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=256,
        eos_token_id=end,
        forced_eos_token_id=None,
        pad_token_id=pad,
        decoder_start_token_id=pad,
        attn_implementation=attention,
    )
    return MarianMTModel(config)


class HuggingFace:
    """`MarianMTModel` with shared embeddings, trained on padded batches."""

    def __init__(self, *, tuned: bool) -> None:
        self.tuned = tuned

    def prepare(self, shape: Shape, batches: list[list[Pair]], precision: str) -> dict[str, object]:
        import transformers
        from transformers.trainer_pt_utils import LabelSmoother

        self.precision = precision
        self.model = marian(shape, attention="eager" if self.tuned else "sdpa")
        self.model.train()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=shape.learning_rate,
            betas=(0.9, 0.98),
            fused=self.tuned or None,
        )
        self.smoothing = shape.label_smoothing
        self.smoother = LabelSmoother(epsilon=shape.label_smoothing, ignore_index=IGNORED)
        self.batches = [self._batch(batch, pad=shape.vocab_size - 1) for batch in batches]
        return {
            "system": f"transformers {transformers.__version__}",
            "parameters": count_parameters(self.model),
        }

    def _batch(self, batch: list[Pair], *, pad: int) -> dict[str, torch.Tensor]:
        source = torch.tensor(padded([[*source, EOS] for source, _ in batch], padding=pad))
        return {
            "input_ids": source,
            "attention_mask": (source != pad).long(),
            "decoder_input_ids": torch.tensor(
                padded([[pad, *target] for _, target in batch], padding=pad)
            ),
            "labels": torch.tensor(
                padded([[*target, EOS] for _, target in batch], padding=IGNORED)
            ),
        }

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.tuned:
            return cross_entropy(
                logits.flatten(0, 1), labels.flatten(), label_smoothing=self.smoothing
            )
        return self.smoother({"logits": logits.float()}, labels)

    def step(self, index: int) -> float:
        batch = dict(self.batches[index])
        labels = batch.pop("labels")
        with autocast(self.precision):
            logits = self.model(**batch, use_cache=False).logits
            loss = self._loss(logits, labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.item())


if __name__ == "__main__":
    tuned = "--tuned" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--tuned"]
    main(partial(HuggingFace, tuned=tuned))
