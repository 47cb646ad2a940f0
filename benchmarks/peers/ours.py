"""Polyhead's own training step: the model, loss and optimiser of `polyhead train`."""

from __future__ import annotations

from polyhead import machine

machine.prepare()

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.peers.training import count_parameters, main  # noqa: E402
from benchmarks.workload import Pair, Shape, target_tokens  # noqa: E402
from polyhead.attention.evaluations import use_explicit_below  # noqa: E402
from polyhead.config import OptimizerConfig  # noqa: E402
from polyhead.data.examples import PairBatch, PairExamples, Ragged  # noqa: E402
from polyhead.layers.loss import cross_entropy  # noqa: E402
from polyhead.models import rnn_seq2seq, transformer  # noqa: E402
from polyhead.registry import find  # noqa: E402
from polyhead.training.optimiser import Optimiser  # noqa: E402

END = 0


def pair_batch(pairs: list[Pair], pad: int) -> PairBatch:
    """A batch of word ids as Polyhead's own tensors."""
    examples = PairExamples(
        Ragged([[*source, END] for source, _ in pairs]),
        Ragged([[*target, END] for _, target in pairs]),
        pad,
        pad,
    )
    return examples.batch(np.arange(len(pairs)))


def config_of(shape: Shape) -> transformer.Config | rnn_seq2seq.Config:
    """The recipe's model section for a benchmark's shape."""
    if shape.rnn:
        return rnn_seq2seq.Config(
            d_model=shape.d_model,
            num_layers=shape.num_layers,
            dropout=shape.dropout,
            input_feeding=shape.input_feeding,
        )
    return transformer.Config(
        d_model=shape.d_model,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        d_ff=shape.d_ff,
        dropout=shape.dropout,
    )


def build(shape: Shape) -> torch.nn.Module:
    """A benchmark's model, with one vocabulary."""
    config, size = config_of(shape), shape.vocab_size
    kind = find("models", config.kind)
    model: torch.nn.Module = kind.build(config, source_vocab=size, target_vocab=size, shared=True)
    return model


class Ours:
    """Forward, chunked loss, backward, Adam."""

    def prepare(self, shape: Shape, batches: list[list[Pair]], precision: str) -> dict[str, object]:
        choices = machine.choose(precision)
        machine.apply(machine.Choices(**{**choices.as_dict(), "threads": torch.get_num_threads()}))  # type: ignore[arg-type]
        use_explicit_below(choices.explicit_attention_below)
        size = shape.vocab_size
        model = build(shape)
        self.model = model.to(torch.bfloat16 if precision == "bf16" else torch.float32).train()
        self.optimiser = Optimiser(self.model, OptimizerConfig(lr=shape.learning_rate), clip=1.0)
        self.smoothing, self.lr = shape.label_smoothing, shape.learning_rate
        self.batches = [pair_batch(pairs, size - 1) for pairs in batches]
        self.tokens = [target_tokens(pairs) for pairs in batches]
        return {"parameters": count_parameters(self.model), "torch": torch.__version__}

    def step(self, index: int) -> float:
        batch = self.batches[index]
        hidden = self.model(batch.source, batch.source_positions, batch.inputs, batch.positions)
        real = batch.positions >= 0
        loss, nll = cross_entropy(
            hidden[real], self.model.head.weight, batch.labels[real], smoothing=self.smoothing
        )
        (loss / batch.tokens).backward()
        self.optimiser.step(self.lr)
        self.optimiser.zero()
        return nll.item() / self.tokens[index]


if __name__ == "__main__":
    main(Ours)
