"""CTranslate2 writing with a random GPT-2 converted by its own Transformers converter."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.ctranslate2_decode import write_tokenizer
from benchmarks.peers.huggingface_language import build
from benchmarks.peers.language import WRITTEN, Shape, main


def writer(shape: Shape, precision: str, threads: int) -> Callable[[list[list[int]]], list[int]]:
    """`ctranslate2.Generator.generate_batch`, greedy, all threads inside one batch."""
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    compute_type = {"fp32": "float32", "int8": "int8"}[precision]
    words = ["<end>", "<pad>", *(f"w{i}" for i in range(2, shape.vocab_size))]
    with tempfile.TemporaryDirectory() as folder:
        original, converted = Path(folder, "gpt2"), Path(folder, "ctranslate2")
        build(shape).save_pretrained(original)
        write_tokenizer(original, words, bos="<end>", eos="<end>", unk="<pad>")
        TransformersConverter(str(original)).convert(str(converted), quantization=compute_type)
        generator = ctranslate2.Generator(
            str(converted),
            device="cpu",
            compute_type=compute_type,
            inter_threads=1,
            intra_threads=threads,
        )

    def write(prompts: list[list[int]]) -> list[int]:
        found = generator.generate_batch(
            [[words[i] for i in prompt] for prompt in prompts],
            max_batch_size=len(prompts),
            min_length=WRITTEN,
            max_length=WRITTEN,
            include_prompt_in_result=False,
        )
        return [len(one.sequences_ids[0]) for one in found]

    return write


if __name__ == "__main__":
    main(None, writer)
