"""Joey NMT 2.3: its model, batch, loss and optimiser, stepped as its trainer does."""

from __future__ import annotations

import logging
import sys
from types import ModuleType, SimpleNamespace

import torch

from benchmarks.peers.training import autocast, count_parameters, main
from benchmarks.workload import FIRST_WORD, Pair, Shape, padded

PAD, BOS, EOS = 1, 2, 3


class JoeyNMT:
    """`build_model` with a Transformer or RNN configuration; dropout where Joey NMT puts it."""

    def prepare(self, shape: Shape, batches: list[list[Pair]], precision: str) -> dict[str, object]:
        logging.disable(logging.WARNING)
        # Its data readers import Hugging Face's `datasets`, which random batches have no use for.
        sys.modules.setdefault("datasets", _empty_datasets_module())
        from joeynmt import __version__
        from joeynmt.builders import build_gradient_clipper, build_optimizer
        from joeynmt.model import build_model
        from joeynmt.vocabulary import Vocabulary

        symbols = SimpleNamespace(
            unk_token="<unk>",
            pad_token="<pad>",
            bos_token="<s>",
            eos_token="</s>",
            sep_token=None,
            unk_id=0,
            pad_id=PAD,
            bos_id=BOS,
            eos_id=EOS,
            sep_id=None,
            lang_tags=[],
        )
        vocabulary = Vocabulary([], symbols)
        # `add_tokens` searches a list for every word; the same result without the wait.
        words = [f"w{i}" for i in range(FIRST_WORD, shape.vocab_size)]
        vocabulary._itos.extend(words)
        vocabulary._stoi.update({word: i for i, word in enumerate(words, FIRST_WORD)})

        self.precision = precision
        self.model = build_model(self._config(shape), vocabulary, vocabulary)
        self.model.loss_function = ("crossentropy", shape.label_smoothing)
        self.model.train()
        training = {
            "optimizer": "adam",
            "adam_betas": (0.9, 0.98),
            "learning_rate": shape.learning_rate,
            "clip_grad_val": None,
            "clip_grad_norm": 1.0,
        }
        self.clip = build_gradient_clipper(training)
        self.optimizer = build_optimizer(training, self.model.parameters())
        self.batches = [self._tensors(batch) for batch in batches]
        return {
            "system": f"Joey NMT {__version__}",
            "parameters": count_parameters(self.model),
        }

    def _config(self, shape: Shape) -> dict[str, object]:
        if shape.rnn:
            return _recurrent(shape)

        def side() -> dict[str, object]:
            return {
                "type": "transformer",
                "num_layers": shape.num_layers,
                "num_heads": shape.num_heads,
                "hidden_size": shape.d_model,
                "ff_size": shape.d_ff,
                "dropout": shape.dropout,
                "layer_norm": "pre",
                "embeddings": {"embedding_dim": shape.d_model, "scale": True},
            }

        return {
            "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform",
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": side(),
            "decoder": side(),
        }

    def _tensors(self, batch: list[Pair]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        source = padded([[*source, EOS] for source, _ in batch], padding=PAD)
        target = padded([[BOS, *target, EOS] for _, target in batch], padding=PAD)
        lengths = torch.tensor([len(source) + 1 for source, _ in batch])
        return torch.tensor(source), lengths, torch.tensor(target)

    def step(self, index: int) -> float:
        from joeynmt.batch import Batch

        source, lengths, target = self.batches[index]
        batch = Batch(
            src=source,
            src_length=lengths,
            src_prompt_mask=None,
            trg=target,
            trg_prompt_mask=None,
            indices=torch.arange(len(source)),
            device=torch.device("cpu"),
            pad_index=PAD,
            eos_index=EOS,
        )
        batch.sort_by_src_length()
        with autocast(self.precision):
            total, _, _, correct = self.model(return_type="loss", **vars(batch))
        loss = batch.normalize(total, normalization="tokens")
        loss.backward()
        correct.item()
        self.clip(parameters=self.model.parameters())
        self.optimizer.step()
        self.model.zero_grad()
        return float(loss.item())


def _recurrent(shape: Shape) -> dict[str, object]:
    common = {
        "type": "recurrent",
        "rnn_type": "lstm",
        "num_layers": shape.num_layers,
        "dropout": shape.dropout,
        "embeddings": {"embedding_dim": shape.d_model, "dropout": shape.dropout},
    }
    return {
        "initializer": "xavier_uniform",
        "embed_initializer": "xavier_uniform",
        "tied_embeddings": True,
        "tied_softmax": True,
        "encoder": {**common, "hidden_size": shape.d_model // 2, "bidirectional": True},
        "decoder": {
            **common,
            "hidden_size": shape.d_model,
            "hidden_dropout": shape.dropout,
            "attention": "luong",
            "input_feeding": shape.input_feeding,
            "init_hidden": "bridge",
        },
    }


def _empty_datasets_module() -> ModuleType:
    module = ModuleType("datasets")
    module.__dict__.update(Dataset=object, load_dataset=None, load_from_disk=None)
    return module


if __name__ == "__main__":
    main(JoeyNMT)
