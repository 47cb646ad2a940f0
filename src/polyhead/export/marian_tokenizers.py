"""OPUS-MT's tokenizers: a SentencePiece model for each language, one table of ids for both.

The directory has source.spm, target.spm and vocab.json, for which transformers has no fast form;
here each model becomes a tokenizer whose pieces have the ids of the table. A piece that the table
lacks, which is unknown there, is cut into smaller ones.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tokenizers as hf
from tokenizers import models, normalizers, pre_tokenizers

from polyhead.data.tokenizers import Tokenizer
from polyhead.data.vocabularies import END, PAD, SPACE, UNKNOWN
from polyhead.errors import MissingExtraError, RunError, UsageError

FILES = ("source.spm", "target.spm", "vocab.json")
UNIGRAM, NORMAL = 1, 1  # kinds of models and of pieces, as SentencePiece's files number them
SPECIAL = (END, UNKNOWN, PAD)
# cut off, so that a text that spells a special token is not taken for one
_SPELLED = hf.Regex(f"{SPACE}?<(?=(/s|unk|pad)>)")


def has_pair(place: Path) -> bool:
    """Whether a directory has the three files."""
    return all((place / name).is_file() for name in FILES)


def read_pair(place: Path) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of the source and of the target, which have the same ids.

    Raises UsageError for models that are not of SentencePiece's kind unigram, RunError for damaged
    files, MissingExtraError without what reads them.
    """
    path = place / FILES[2]
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        words = sorted(table, key=table.__getitem__)
        numbered = [table[word] for word in words] == list(range(len(words)))
    except (AttributeError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged: {error}") from None
    if not numbered or not set(SPECIAL) <= table.keys():
        raise RunError(
            f"{path} is damaged: tokens with the ids 0, 1, 2, ... are needed, {', '.join(SPECIAL)} "
            "among them"
        )
    source, target = (_tokenizer(place / name, words) for name in FILES[:2])
    return source, target


def _tokenizer(path: Path, words: list[str]) -> Tokenizer:
    converter = _converter(path)
    trained = converter.proto.trainer_spec
    if trained.model_type != UNIGRAM or trained.byte_fallback:
        raise UsageError(
            f"{path} cannot be taken in: it is not SentencePiece's kind unigram, or falls back to "
            "bytes, which OPUS-MT's models do not"
        )
    scores = {p.piece: p.score for p in converter.proto.pieces if p.type == NORMAL}
    codes = [word for word in words if word.startswith(">>") and word.endswith("<<")]
    named = {*scores, *codes, *SPECIAL, *(word for word in words if len(word) == 1)}
    # What only the other language's model knows is not to be found: no piece of a text has a space.
    pieces = [(w if w in named else f" {w}", scores.get(w, 0.0)) for w in words]
    inner = hf.Tokenizer(models.Unigram(pieces, words.index(UNKNOWN), False))
    # composed first: SentencePiece's table is looked up by parts of decomposed Hangul otherwise
    steps = [normalizers.NFC(), converter.normalizer(converter.proto), _lost(scores, words)]
    inner.normalizer = normalizers.Sequence(steps)
    spaces = converter.pre_tokenizer(SPACE, True)
    cut = pre_tokenizers.Split(_SPELLED, "isolated")
    inner.pre_tokenizer = pre_tokenizers.Sequence([spaces, cut])
    inner.decoder = converter.decoder(SPACE, True)
    inner.add_tokens([hf.AddedToken(code, normalized=False) for code in codes])  # >>fra<<
    inner.add_special_tokens(list(SPECIAL))
    return Tokenizer(inner)


def _lost(scores: Collection[str], words: Collection[str]) -> normalizers.Normalizer:
    """What makes one unknown token of characters that no piece has, if several stand together.

    SentencePiece looks them up in the table as one piece; a character alone may have an id there.
    """
    known = "".join(f"\\x{{{ord(char):X}}}" for char in sorted({" ", SPACE, *"".join(scores)}))
    mark = next(char for char in "\ufffd\uffff" if char not in words)
    return normalizers.Replace(hf.Regex(f"[^{known}]{{2,}}"), mark)


def _converter(path: Path) -> Any:
    """transformers' reader of a SentencePiece model."""
    from transformers.convert_slow_tokenizer import SpmConverter

    try:
        return SpmConverter(SimpleNamespace(vocab_file=str(path)))  # type: ignore[no-untyped-call]
    except ImportError:
        raise MissingExtraError("reading SentencePiece models", "protobuf", "interop") from None
    except Exception as error:  # whatever protobuf has against a file
        raise RunError(f"{path} is damaged: {error}") from None
