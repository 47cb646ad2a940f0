"""Text to token ids and back: trained here, saved as one `tokenizer.json`, raw text in and out.

Ids: 0 is `</s>` (end), 1 `<unk>`, the pieces follow, and the last id is `<pad>`, which also starts
the decoder: Marian's layout, so that a run can be written as a Marian directory. Hangul syllables
are never decomposed: text is normalised to NFC.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import regex
import tokenizers as hf
from numpy.typing import NDArray
from tokenizers import decoders, pre_tokenizers

from polyhead.config import TokenizerConfig
from polyhead.data.vocabularies import PAD, learn
from polyhead.errors import RunError
from polyhead.files import write_text

END_ID, UNKNOWN_ID = 0, 1
# Ours, GPT-2's and BERT's names of special tokens
ENDS, UNKNOWNS = ("</s>", "<|endoftext|>", "[SEP]"), ("<unk>", "[UNK]")
BEGINS, MASKS = ("<s>", "[CLS]"), ("<mask>", "[MASK]")
PADS = ("<pad>", "[PAD]")
NEVER_WRITTEN = ("<s>", "<mask>", "<unk>", "<pad>", "[UNK]", "[PAD]", "[CLS]", "[MASK]")
_LINES = regex.compile(r"(?<=\S\n)(?=\S)")  # byte-level BPE merges nothing across these


@dataclass(frozen=True)
class Explanation:
    """How a text is cut: readable pieces, their ids, and the pieces that are unknown."""

    tokens: list[str]
    ids: list[int]
    unknown: list[str]


class Tokenizer:
    """A trained tokenizer. `encode` adds no special tokens; `decode` drops them."""

    def __init__(self, inner: hf.Tokenizer):
        self.inner = inner
        self.size = inner.get_vocab_size()
        self.end_id = self._first(ENDS, END_ID)
        self.pad_id = self._first(PADS, self.end_id)
        self.unknown_id = self._first(UNKNOWNS, -1)
        self.begin_id, self.mask_id = self._first(BEGINS, -1), self._first(MASKS, -1)
        self.never = sorted(
            {i for token in NEVER_WRITTEN if (i := inner.token_to_id(token)) is not None}
            - {self.end_id}
        )
        inner.encode_special_tokens = True  # a text that says `</s>` does not end there
        inner.no_truncation()  # whoever needs a row of some length cuts, pads and says so
        inner.no_padding()

    def _first(self, tokens: Sequence[str], otherwise: int) -> int:
        known = (self.inner.token_to_id(token) for token in tokens)
        return next((i for i in known if i is not None), otherwise)

    @cached_property
    def by_characters(self) -> bool:
        """Whether every character is a token or unknown; other tokenizers split a text, too."""
        if not isinstance(self.inner.pre_tokenizer, pre_tokenizers.Split):
            return False
        made = json.loads(self.inner.to_str())
        cut, model = made["pre_tokenizer"], made["model"]
        return (
            cut["pattern"] == {"String": ""}
            and cut["behavior"] == "Isolated"
            and model["type"] == "BPE"
            and model["unk_token"] in UNKNOWNS
            and not model["byte_fallback"]
        )

    def same_as(self, other: Tokenizer) -> bool:
        """Whether another tokenizer gives every text the same ids."""
        return bool(self.inner.to_str() == other.inner.to_str())

    def encode(self, text: str) -> list[int]:
        """Token ids of one line of text."""
        return list(self.inner.encode(text, add_special_tokens=False).ids)

    def encode_after(self, text: str) -> list[int]:
        """Token ids of text that goes on right after a token, where no space is.

        Kinds that mark by `▁` what follows a space mark the beginning of every text, too, but not
        what follows "<", which they cut off.
        """
        if not isinstance(self.inner.decoder, decoders.Metaspace):
            return self.encode(text)
        encoding = self.inner.encode(f"<{text}", add_special_tokens=False)
        return [i for i, (_, end) in zip(encoding.ids, encoding.offsets, strict=True) if end > 1]

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of many lines, in parallel."""
        encodings = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, on one line."""
        return " ".join(self.inner.decode(list(ids), skip_special_tokens=True).split())

    def decode_all(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The texts of many rows of ids, in parallel."""
        texts = self.inner.decode_batch([list(row) for row in rows], skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]

    def told_bytes(self, texts: Sequence[str], rows: Iterable[Sequence[int]]) -> list[int]:
        """UTF-8 bytes of each text that its ids tell: not what is unknown, cut off or folded."""
        told = self.inner.decode_batch([list(row) for row in rows], skip_special_tokens=True)
        return [min(len(a.encode()), len(b.encode())) for a, b in zip(texts, told, strict=True)]

    def text(self, ids: Iterable[int]) -> str:
        """The text of token ids with its line breaks, as far as the tokenizer keeps them."""
        return str(self.inner.decode(list(ids), skip_special_tokens=True))

    def text_after(self, before: Sequence[int], ids: Sequence[int]) -> str:
        """What token ids add to the text of those before them, a space between included."""
        return self.text([*before, *ids]).removeprefix(self.text(before))

    def encode_long(self, text: str) -> NDArray[np.int32]:
        """Token ids of a document of any length: as `encode` gives them, but faster."""
        if self.by_characters:  # a look into the table
            table, unknown, normal = self.inner.get_vocab(), self.unknown_id, self._normal(text)
            return np.fromiter((table.get(c, unknown) for c in normal), np.int32, len(normal))
        cut = self.inner.pre_tokenizer
        by_bytes = isinstance(cut, pre_tokenizers.ByteLevel) and cut.use_regex
        parts = _LINES.split(text) if by_bytes and not cut.add_prefix_space else [text]
        return np.fromiter(chain.from_iterable(self.encode_all(parts)), np.int32)

    def begins_word(self) -> NDArray[np.bool_]:
        """Of every token [V], whether it begins a word: marked so, or no letter or digit at all."""
        pieces = [self._label(i) for i in range(self.size)]
        if self.by_characters:
            return np.array([not piece.isalnum() for piece in pieces])
        if isinstance(self.inner.decoder, decoders.WordPiece):
            return np.array([not piece.startswith("##") for piece in pieces])
        return np.array([p.startswith("▁") or not any(map(str.isalnum, p)) for p in pieces])

    def labels(self, ids: Sequence[int]) -> list[str]:
        """A readable label per id: `▁` for a space, <ED> for a byte of a character cut apart."""
        return [self._label(i) for i in ids]

    def _label(self, token_id: int) -> str:
        if token_id in (self.end_id, self.unknown_id, self.pad_id):
            return str(self.inner.id_to_token(token_id))
        piece = str(self.inner.id_to_token(token_id))
        if isinstance(self.inner.decoder, decoders.Metaspace):
            return piece  # readable, and marked, as it is
        if isinstance(self.inner.decoder, decoders.ByteLevel):
            return _bytes_shown(piece)
        text = self.inner.decode([token_id], skip_special_tokens=False)
        return text.replace(" ", "▁") or piece

    def alone(self, token_id: int) -> str:
        """A token by itself, as text; `##` before it where words are marked, and it begins none."""
        text = self._label(token_id).replace("▁", " ")
        marks = isinstance(self.inner.decoder, decoders.Metaspace | decoders.ByteLevel)
        if not marks or text.isspace() or token_id in (self.end_id, self.unknown_id, self.pad_id):
            return text
        return text[1:] if text.startswith(" ") else f"##{text}"

    def explain(self, text: str) -> Explanation:
        """Tokens, ids and what is unknown of a text: characters, or words of a `word` tokenizer."""
        normal = self._normal(text)
        encoding = self.inner.encode(normal, add_special_tokens=False)  # offsets into `normal`
        unknown = [
            normal[start:end].strip()
            for i, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if i == self.unknown_id
        ]
        return Explanation(self.labels(encoding.ids), list(encoding.ids), unknown)

    def words(self, text: str) -> list[int]:
        """Which word of the text, cut at white space and counted from 0, each token is of.

        Words are those of the text as it stands: a normaliser may add spaces, or drop a word. A
        token that is only the space before a word is of that word; -1: of none.
        """
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        encoding = self.inner.encode(text, add_special_tokens=False)
        places = [bisect_right(ends, start) for start, _ in encoding.offsets]
        return [place if place < len(ends) else -1 for place in places]

    def _normal(self, text: str) -> str:
        return self.inner.normalizer.normalize_str(text) if self.inner.normalizer else text

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`."""
        write_text(path, self.inner.to_str(pretty=True))

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read `tokenizer.json`; raises RunError if it is missing or not a tokenizer."""
        try:
            return cls(hf.Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare Exception for anything
            raise RunError(f"{path} is missing or not a tokenizer file ({error})") from None


@cache
def _byte_of() -> dict[str, int]:
    """The byte that each character of byte-level pieces stands for: GPT-2's table.

    Printable Latin-1 characters are themselves; the other bytes, in order, follow U+00FF.
    """
    themselves = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(themselves))
    return {chr(b): b for b in themselves} | {chr(256 + i): b for i, b in enumerate(others)}


def _bytes_shown(piece: str) -> str:
    """A byte-level piece as text; bytes that are no whole character as <ED>."""
    if not _byte_of().keys() >= set(piece):
        return piece
    text = bytes(_byte_of()[char] for char in piece).decode("utf-8", "surrogateescape")
    shown = (f"<{ord(c) - 0xDC00:02X}>" if "\udc80" <= c <= "\udcff" else c for c in text)
    return "".join(shown).replace(" ", "▁")


def train(
    config: TokenizerConfig,
    texts: Iterable[str],
    *,
    verbatim: bool = False,
    special: Sequence[str] = (),
) -> Tokenizer:
    """Train a tokenizer on lines of text; the same lines give the same file.

    `verbatim`: byte-level BPE puts no space before a text, so that it comes back as it was.
    `special`: tokens that no text gives; they count among the `vocab_size`. Raises DataError if
    there is no text, or a vocabulary too small for its characters.
    """
    smaller = {"vocab_size": config.vocab_size - len(special)}
    inner = learn(config.model_copy(update=smaller), texts)
    if verbatim and config.kind == "bpe":
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.add_special_tokens([*special, PAD])
    return Tokenizer(inner)
