"""Our weights in CTranslate2 give our log-probabilities; its engine keeps our options' promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyhead.config import TokenizerConfig
from polyhead.data.tokenizers import END_ID, Tokenizer, train
from polyhead.errors import UsageError
from polyhead.export.ctranslate2_model import library, save_ctranslate2, words_of
from polyhead.models import transformer

pytest.importorskip("ctranslate2", reason="CTranslate2 is not installed: nothing to compare with")

VARIANTS: dict[str, dict[str, Any]] = {
    "post-norm": {},
    "pre-norm": {"norm": "pre"},
    "learned positions": {"positions": "learned"},
    "integer positions": {"positions": "integer", "max_length": 30},
    "no positions": {"positions": "none"},
    "unscaled scores": {"scale_scores": False, "norm": "pre"},
    "Marian's options": {"activation": "silu", "scale_embeddings": False, "output_bias": True},
    "GELU": {"activation": "gelu"},
    "approximate GELU": {"activation": "gelu_tanh", "norm": "pre"},
    "two vocabularies": {"shared": False},
}
SOURCES = [[5, 9, 20, END_ID], [7, 8, 9, 10, 11, 12, END_ID], [200, END_ID]]
TARGETS = [[30, 31, 32], [40, 41], [50, 60, 70, 80]]


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    english = train(TokenizerConfig(vocab_size=290), ["one two three four"] * 5)
    return train(TokenizerConfig(vocab_size=300), ["하나 둘 셋 넷"] * 5), english


def random_model(options: dict[str, Any], source: Tokenizer, target: Tokenizer) -> nn.Module:
    torch.manual_seed(1)
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 4, "d_ff": 64, "max_length": 40}
    shared = options.get("shared", True)
    config = transformer.Config(**(sizes | {k: v for k, v in options.items() if k != "shared"}))
    model = transformer.build(
        config, source_vocab=source.size, target_vocab=target.size, shared=shared
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def log_probabilities(model: nn.Module, source: list[int], target: list[int], pad: int) -> Tensor:
    ids = torch.tensor([[pad, *target, END_ID]])
    places = torch.arange(ids.shape[1])[None]
    hidden = model(
        torch.tensor([source]), torch.arange(len(source))[None], ids[:, :-1], places[:, :-1]
    )
    log_p = torch.log_softmax(model.head(hidden), dim=-1)  # type: ignore[operator]
    return log_p[0].gather(1, ids[0, 1:, None])[:, 0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("quantization", "close"), [("float32", 1e-4), ("int8", 0.7)])
def test_every_token_has_our_log_probability(
    tokenizers: tuple[Tokenizer, Tokenizer],
    tmp_path: Path,
    variant: str,
    quantization: str,
    close: float,
) -> None:
    options = VARIANTS[variant]
    source = tokenizers[0]
    target = source if options.get("shared", True) else tokenizers[1]
    model = random_model(options, source, target)
    save_ctranslate2(model, source, target, tmp_path, quantization)
    engine = library().Translator(str(tmp_path), device="cpu", compute_type=quantization)
    read, write = words_of(source), words_of(target)
    found = engine.score_batch(
        [[read[i] for i in row] for row in SOURCES], [[write[i] for i in row] for row in TARGETS]
    )
    for row, body, result in zip(SOURCES, TARGETS, found, strict=True):
        expected = log_probabilities(model, row, body, target.pad_id).numpy()
        assert result.log_probs == pytest.approx(expected, abs=close)
        assert np.abs(expected).min() > 1e-3
    size = (tmp_path / "model.bin").stat().st_size
    parameters = sum(p.numel() for p in model.parameters())
    tables = 2 * model.config.max_length * 32 * 4  # type: ignore[union-attr, operator]
    assert (size < 2 * parameters + tables) == (quantization == "int8")


def test_what_is_no_transformer_is_refused(
    tokenizers: tuple[Tokenizer, Tokenizer], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"a Linear cannot be exported: .*model\.kind"):
        save_ctranslate2(nn.Linear(2, 2), *tokenizers, tmp_path, "float32")
    assert list(tmp_path.iterdir()) == []
