"""Sockeye 3.1: its model traced, its loss and its optimiser, stepped as its trainer does.

Its `--amp` is for CUDA only; on a CPU the trace and the forward pass go under torch's autocast with
the weight cache off, which is what its trainer does on a GPU.
"""

from __future__ import annotations

import logging
import warnings

import torch

from benchmarks.peers.training import count_parameters, main
from benchmarks.workload import Pair, Shape, padded

PAD, BOS, EOS = 0, 2, 3


class Sockeye:
    """`SockeyeModel` with Sockeye's defaults: pre-norm, dropout also in attention and ReLU."""

    def prepare(self, shape: Shape, batches: list[list[Pair]], precision: str) -> dict[str, object]:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        import sockeye
        from sockeye import constants, loss, optimizers
        from sockeye.model import SockeyeModel, initialize_parameters
        from sockeye.training import ModelWithLoss

        model = SockeyeModel(self._config(shape))
        model.apply(initialize_parameters)
        model.train()
        losses = [
            loss.CrossEntropyLoss(
                name=constants.CROSS_ENTROPY,
                label_smoothing=shape.label_smoothing,
                label_smoothing_impl="mxnet",
            )
        ]
        optimizer_class, settings, self.zero_grad_settings = optimizers.get_optimizer(
            optimizers.OptimizerConfig(
                name=constants.OPTIMIZER_ADAM,
                running_on_gpu=False,
                lr=shape.learning_rate,
                betas=(0.9, 0.98),
            )
        )
        self.optimizer = optimizer_class(model.parameters(), **settings)
        self.batches = [self._batch(batch) for batch in batches]
        self.label_name = constants.TARGET_LABEL_NAME
        self.bf16 = precision == "bf16"
        source, source_length, target, target_length, _ = self.batches[0]
        with self._autocast():
            traced = torch.jit.trace(
                model, (source, source_length, target, target_length), strict=False
            )
        self.model = ModelWithLoss(model=traced, losses=losses)
        return {"system": f"Sockeye {sockeye.__version__}", "parameters": count_parameters(model)}

    def _config(self, shape: Shape) -> object:
        from sockeye import constants
        from sockeye.data_io import DataConfig
        from sockeye.encoder import EmbeddingConfig
        from sockeye.model import ModelConfig
        from sockeye.transformer import TransformerConfig

        longest = 128
        transformer = TransformerConfig(
            model_size=shape.d_model,
            attention_heads=shape.num_heads,
            feed_forward_num_hidden=shape.d_ff,
            act_type=constants.RELU,
            num_layers=shape.num_layers,
            dropout_attention=shape.dropout,
            dropout_act=shape.dropout,
            dropout_prepost=shape.dropout,
            positional_embedding_type=constants.FIXED_POSITIONAL_EMBEDDING,
            preprocess_sequence="n",
            postprocess_sequence="dr",
            max_seq_len_source=longest,
            max_seq_len_target=longest,
            depth_key_value=shape.d_model,
        )
        embedding = EmbeddingConfig(
            vocab_size=shape.vocab_size, num_embed=shape.d_model, dropout=0.0
        )
        return ModelConfig(
            config_data=DataConfig(
                data_statistics=None,
                max_seq_len_source=longest,
                max_seq_len_target=longest,
                num_source_factors=1,
                num_target_factors=1,
            ),
            vocab_source_size=shape.vocab_size,
            vocab_target_size=shape.vocab_size,
            config_embed_source=embedding,
            config_embed_target=embedding,
            config_encoder=transformer,
            config_decoder=transformer,
            weight_tying_type=constants.WEIGHT_TYING_SRC_TRG_SOFTMAX,
        )

    def _batch(self, batch: list[Pair]) -> tuple[torch.Tensor, ...]:
        source = padded([[*source, EOS] for source, _ in batch], padding=PAD)
        target = padded([[BOS, *target] for _, target in batch], padding=PAD)
        labels = padded([[*target, EOS] for _, target in batch], padding=PAD)
        source_length = torch.tensor([[len(source) + 1, 0] for source, _ in batch])
        target_length = torch.tensor([len(target) + 1 for _, target in batch])
        return (
            torch.tensor(source, dtype=torch.int32).unsqueeze(-1),
            source_length.to(torch.int32),
            torch.tensor(target, dtype=torch.int32).unsqueeze(-1),
            target_length.to(torch.int32),
            torch.tensor(labels, dtype=torch.int32),
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16, cache_enabled=False)

    def step(self, index: int) -> float:
        source, source_length, target, target_length, labels = self.batches[index]
        with self._autocast():
            total, values, _ = self.model(
                source, source_length, target, target_length, {self.label_name: labels}
            )
        total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(**self.zero_grad_settings)
        return float(values[0].item())


if __name__ == "__main__":
    main(Sockeye)
