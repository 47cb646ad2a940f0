"""Export as a MarianMTModel that AutoModelForSeq2SeqLM and AutoTokenizer load without own code.

Marian is the Transformer of the paper: post-norm, sinusoidal positions, one vocabulary; what it
cannot hold is refused with the reason. The files are written here; transformers only checks them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers as hf
import torch
from tokenizers.processors import TemplateProcessing

from polyhead.data.tokenizers import END_ID, UNKNOWN_ID, Tokenizer
from polyhead.data.vocabularies import END, PAD, UNKNOWN
from polyhead.decoding.translate import Options, translate_ids
from polyhead.errors import PolyheadError, UsageError
from polyhead.export.ctranslate2_model import as_transformer
from polyhead.export.huggingface_loading import CLOSE, Theirs, library
from polyhead.export.huggingface_names import contiguous, marian_tensors
from polyhead.export.verify import TEXTS, Exported, Sentences, sentences_of
from polyhead.files import new_folder, write_json, write_text
from polyhead.models.transformer import Transformer
from polyhead.runs.folder import Run, check_free, write_weights
from polyhead.tasks.translation import Task

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new", "silu": "silu"}
"""Ours as Marian's config.json calls them."""
GREEDY = 40  # tokens that greedy translations are compared on


def export_huggingface(run: Run, out: Path) -> Exported:
    """Write the folder; it is loaded by transformers and compared before it counts.

    Raises UsageError where `out` exists or Marian cannot hold the model, PolyheadError where the
    loaded model or tokenizer does otherwise than the run.
    """
    library()
    check_free(out)
    task = Task.load(run.recipe, run.path)
    model = as_transformer(run.load_model(task.sizes()))
    _check_fits(task, model)
    sentences = sentences_of(task)
    difference = 0.0

    def fill(folder: Path) -> None:
        nonlocal difference
        write_weights(folder / "model.safetensors", contiguous(marian_tensors(model)))
        write_json(folder / "config.json", _config(model, task.target_tokenizer))
        write_json(folder / "generation_config.json", _generation(run, task.target_tokenizer))
        _write_tokenizer(folder, task.target_tokenizer, model.config.max_length)
        difference = compare_translations(folder, task, model, sentences)

    new_folder(out, fill)
    return Exported(out, difference, sentences.origin)


def _check_fits(task: Task, model: Transformer) -> None:
    config = model.config
    reasons = {
        "it is pre-norm (model.norm: pre), and Marian normalises after each sub-layer": (
            config.norm == "pre"
        ),
        f"its positions are {config.positions} (model.positions), and Marian's are sinusoidal": (
            config.positions != "sinusoidal"
        ),
        "its scores are not scaled (model.scale_scores: false), and Marian's are": (
            not config.scale_scores
        ),
        "its languages have a tokenizer each, and a folder without own code has one": (
            task.source_tokenizer is not task.target_tokenizer
        ),
    }
    if found := [reason for reason, hit in reasons.items() if hit]:
        raise UsageError(
            f"Hugging Face's Marian cannot hold this model: {'; '.join(found)}. "
            "`--to ctranslate2` holds it."
        )


def _config(model: Transformer, tokenizer: Tokenizer) -> dict[str, Any]:
    config = model.config
    sizes = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (
            ("layers", config.num_layers),
            ("attention_heads", config.num_heads),
            ("ffn_dim", config.d_ff),
        )
    }
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "is_encoder_decoder": True,
        "vocab_size": tokenizer.size,
        "decoder_vocab_size": tokenizer.size,
        "d_model": config.d_model,
        **sizes,
        "dropout": config.dropout,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "activation_function": ACTIVATIONS[config.activation],
        "max_position_embeddings": config.max_length,
        "scale_embedding": config.scale_embeddings,
        "static_position_embeddings": True,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
        **_special(tokenizer),
    }


def _special(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "pad_token_id": tokenizer.pad_id,
        "eos_token_id": END_ID,
        "bos_token_id": None,
        "decoder_start_token_id": tokenizer.pad_id,
        "forced_eos_token_id": None,
    }


def _generation(run: Run, tokenizer: Tokenizer) -> dict[str, Any]:
    """What `generate` does unless told otherwise: the recipe's beam, and length ** its alpha."""
    decoding = run.recipe.decoding
    return {
        "num_beams": decoding.beam,
        "length_penalty": decoding.alpha,
        "max_length": run.recipe.model.max_length,  # type: ignore[attr-defined]
        "suppress_tokens": [UNKNOWN_ID, tokenizer.pad_id],
        **_special(tokenizer),
    }


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, longest: int) -> None:
    copy = hf.Tokenizer.from_str(tokenizer.inner.to_str())
    copy.post_processor = TemplateProcessing(single=f"$A {END}", special_tokens=[(END, END_ID)])
    write_text(folder / "tokenizer.json", copy.to_str(pretty=True))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "eos_token": END,
        "unk_token": UNKNOWN,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", settings)


@torch.no_grad()
def compare_translations(
    folder: Path, task: Task, model: Transformer, sentences: Sentences
) -> float:
    """The largest difference of a logit between a Marian folder and our model.

    The folder is loaded as its users load it. Raises PolyheadError where it does otherwise than
    ours: logits, greedy translations, what the tokenizer makes of texts.
    """
    loaded = Theirs.load(folder, "Seq2SeqLM")
    theirs = loaded.model
    examples = sentences.corpus.examples
    batch = examples.batch(torch.arange(len(examples)).numpy())
    mask = (batch.source_positions >= 0).long()
    hidden = model(batch.source, batch.source_positions, batch.inputs, batch.positions)
    found = theirs(batch.source, attention_mask=mask, decoder_input_ids=batch.inputs).logits
    real = batch.positions >= 0
    difference = float((found[real] - model.head(hidden[real])).abs().max())
    problems = []
    if not difference <= CLOSE:
        problems.append(f"logits differ by up to {difference:.2g}, more than {CLOSE:g}")
    length = min(GREEDY, model.config.max_length - 1)
    options = Options(beam=1, alpha=0.0, max_length=length)
    sources = [examples.sources[i] for i in range(len(examples))]
    ours = translate_ids(model, sources, task.target_tokenizer, options)
    never = theirs.generation_config.suppress_tokens or [UNKNOWN_ID, task.target_tokenizer.pad_id]
    written = theirs.generate(
        batch.source, attention_mask=mask, num_beams=1, do_sample=False, suppress_tokens=never,
        max_new_tokens=length, max_length=None, forced_eos_token_id=None,
    )  # fmt: skip
    for row, hypotheses in zip(written[:, 1:].tolist(), ours, strict=True):
        wanted = hypotheses[0].tokens if hypotheses else []
        if hypotheses and row[: len(wanted)] != wanted:
            problems.append("greedy translations differ")
            break
    problems += _tokenizer_problems(loaded.tokenizer, task, sentences)
    if problems:
        raise PolyheadError(
            f"the model does otherwise in transformers than here on {sentences.origin}: "
            f"{'; '.join(problems)}. Nothing was written; please report this with the recipe."
        )
    return difference


def _tokenizer_problems(cutter: Any, task: Task, sentences: Sentences) -> list[str]:
    """What their tokenizer makes otherwise of texts than ours."""
    source, target = task.source_tokenizer, task.target_tokenizer
    one = source is target
    # random tokens of two languages together are a text of neither
    texts = source.decode_all(sentences.sources) if one else list(TEXTS)
    cut, other = ([[*row, END_ID] for row in t.encode_all(texts)] for t in (source, target))
    problems = []
    if cutter(texts)["input_ids"] != cut or cutter(text_target=texts)["input_ids"] != other:
        problems.append("the tokenizer cuts texts otherwise")
    written = (cutter.decode(row, skip_special_tokens=True) for row in cut)
    if [" ".join(text.split()) for text in written] != [source.decode(row) for row in cut]:
        problems.append("the tokenizer writes texts otherwise")
    return problems
