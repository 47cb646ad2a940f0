"""CTranslate2 on a random MarianMT converted by its own Transformers converter, int8 or float32."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.peers.decoding import OUTPUT_LENGTH, main
from benchmarks.peers.huggingface import EOS, UNK, marian
from benchmarks.workload import Shape


class CTranslate2Decoding:
    """`ctranslate2.Translator.translate_batch`, all threads inside one batch."""

    def prepare(self, shape: Shape, precision: str, threads: int) -> dict[str, object]:
        import ctranslate2
        from ctranslate2.converters import TransformersConverter

        compute_type = {"fp32": "float32", "int8": "int8"}[precision]
        self.words = [_word(i, shape) for i in range(shape.vocab_size)]
        with tempfile.TemporaryDirectory() as folder:
            original, converted = Path(folder, "marian"), Path(folder, "ctranslate2")
            marian(shape, attention="sdpa").save_pretrained(original)
            write_tokenizer(original, self.words, eos="</s>", unk="<unk>", pad="<pad>")
            TransformersConverter(str(original)).convert(str(converted), quantization=compute_type)
            self.translator = ctranslate2.Translator(
                str(converted),
                device="cpu",
                compute_type=compute_type,
                inter_threads=1,
                intra_threads=threads,
            )
        return {
            "system": f"CTranslate2 {ctranslate2.__version__}",
            "compute_type": self.translator.compute_type,
            "threads": threads,
        }

    def translate(self, batch: list[list[int]], *, beam: int) -> list[int]:
        results = self.translator.translate_batch(
            [[self.words[i] for i in [*words, EOS]] for words in batch],
            beam_size=beam,
            max_batch_size=len(batch),
            min_decoding_length=OUTPUT_LENGTH,
            max_decoding_length=OUTPUT_LENGTH,
        )
        return [len(result.hypotheses[0]) for result in results]


def _word(index: int, shape: Shape) -> str:
    special = {EOS: "</s>", UNK: "<unk>", shape.vocab_size - 1: "<pad>"}
    return special.get(index, f"w{index}")


def write_tokenizer(folder: Path, words: list[str], **special: str) -> None:
    """A word-level tokenizer beside the model, which the converter takes the vocabulary from.

    special: the words that stand for eos, unk (which must be given), bos and pad.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {f"{name}_token": word for name, word in special.items()}
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main(CTranslate2Decoding)
