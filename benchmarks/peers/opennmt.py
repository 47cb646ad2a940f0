"""OpenNMT-py 3.5: its own model, loss and optimiser with its defaults, stepped as its trainer does.

Its trainer's autocast is for CUDA only; on a CPU a user wraps the forward pass in torch's, as here.
"""

from __future__ import annotations

import warnings

import torch

from benchmarks.peers.training import autocast, count_parameters, main
from benchmarks.workload import FIRST_WORD, Pair, Shape, padded, target_tokens

PAD, BOS, EOS = 1, 2, 3


class OpenNMT:
    """`NMTModel`, `LossCompute` and `Optimizer` built from OpenNMT-py's own options."""

    def prepare(self, shape: Shape, batches: list[list[Pair]], precision: str) -> dict[str, object]:
        warnings.simplefilter("ignore", FutureWarning)
        import onmt
        import onmt.opts
        import pyonmttok
        from onmt.model_builder import build_model
        from onmt.utils.loss import LossCompute
        from onmt.utils.optimizers import Optimizer
        from onmt.utils.parse import ArgumentParser

        parser = ArgumentParser()
        onmt.opts.train_opts(parser)
        options = parser.parse_args(self._arguments(shape))
        ArgumentParser.update_model_opts(options)
        options.dropout, options.attention_dropout = (
            options.dropout[0],
            options.attention_dropout[0],
        )
        words = [f"w{i}" for i in range(FIRST_WORD, shape.vocab_size)]
        vocabulary = pyonmttok.build_vocab_from_tokens(["<unk>", "<blank>", "<s>", "</s>", *words])
        vocabularies = {"src": vocabulary, "tgt": vocabulary, "data_task": "seq2seq"}

        self.precision = precision
        self.model = build_model(options, options, vocabularies, None, -1)
        self.loss = LossCompute.from_opts(options, self.model, vocabulary)
        self.optimizer = Optimizer.from_opt(self.model, options)
        self.batches = [self._batch(batch) for batch in batches]
        self.normalizations = [target_tokens(batch) for batch in batches]
        self.model.train()
        return {
            "system": f"OpenNMT-py {onmt.__version__}",
            "parameters": count_parameters(self.model),
        }

    def _arguments(self, shape: Shape) -> list[str]:
        values = {
            "data": "{}",
            "src_vocab": "none",
            "encoder_type": "transformer",
            "decoder_type": "transformer",
            "layers": shape.num_layers,
            "hidden_size": shape.d_model,
            "word_vec_size": shape.d_model,
            "transformer_ff": shape.d_ff,
            "heads": shape.num_heads,
            "dropout": shape.dropout,
            "label_smoothing": shape.label_smoothing,
            "optim": "adam",
            "adam_beta2": 0.98,
            "learning_rate": shape.learning_rate,
            "param_init": 0,
            "normalization": "tokens",
        }
        arguments = [f"--{name}={value}" for name, value in values.items()]
        flags = (
            "position_encoding",
            "param_init_glorot",
            "share_vocab",
            "share_embeddings",
            "share_decoder_embeddings",
        )
        return arguments + [f"--{flag}" for flag in flags]

    def _batch(self, batch: list[Pair]) -> dict[str, torch.Tensor]:
        source = padded([[*source, EOS] for source, _ in batch], padding=PAD)
        target = padded([[BOS, *target, EOS] for _, target in batch], padding=PAD)
        return {
            "src": torch.tensor(source).unsqueeze(-1),
            "srclen": torch.tensor([len(source) + 1 for source, _ in batch]),
            "tgt": torch.tensor(target).unsqueeze(-1),
        }

    def step(self, index: int) -> float:
        batch, normalization = self.batches[index], self.normalizations[index]
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.precision):
            output, attention = self.model(batch["src"], batch["tgt"], batch["srclen"])
            loss, statistics = self.loss(batch, output, attention)
        self.optimizer.backward(loss / normalization)
        self.optimizer.step()
        return float(statistics.xent())


if __name__ == "__main__":
    main(OpenNMT)
