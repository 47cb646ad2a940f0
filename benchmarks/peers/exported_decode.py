"""The engine of `polyhead translate --engine ctranslate2`: our random model, exported by us."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer as Inner
from tokenizers import models

from benchmarks.peers.ctranslate2_decode import CTranslate2Decoding, _word
from benchmarks.peers.decoding import main
from benchmarks.peers.ours import config_of
from benchmarks.workload import Shape
from polyhead.data.tokenizers import Tokenizer
from polyhead.export.ctranslate2_export import open_translator
from polyhead.export.ctranslate2_model import save_ctranslate2
from polyhead.models.transformer import build


class ExportedDecoding:
    """As CTranslate2's own converter's model is timed, but the model comes from `export`."""

    def prepare(self, shape: Shape, precision: str, threads: int) -> dict[str, object]:
        import ctranslate2

        size = shape.vocab_size
        quantization = {"fp32": "float32", "int8": "int8"}[precision]
        model = build(config_of(shape), source_vocab=size, target_vocab=size, shared=True).eval()
        words = [_word(i, shape) for i in range(size)]
        vocabulary = {word: i for i, word in enumerate(words)}
        tokenizer = Tokenizer(Inner(models.WordLevel(vocabulary, unk_token="<unk>")))
        torch.set_num_threads(threads)
        self.system = CTranslate2Decoding()
        self.system.words = words
        with tempfile.TemporaryDirectory() as folder:
            save_ctranslate2(model, tokenizer, tokenizer, Path(folder), quantization)
            self.system.translator = open_translator(Path(folder), quantization)
        return {"system": f"export, CTranslate2 {ctranslate2.__version__}", "threads": threads}

    def translate(self, batch: list[list[int]], *, beam: int) -> list[int]:
        return self.system.translate(batch, beam=beam)


if __name__ == "__main__":
    main(ExportedDecoding)
