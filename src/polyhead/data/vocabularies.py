"""Learning a vocabulary from text, one function per kind of tokenizer.

Each kind is deterministic: the same text gives the same file, byte for byte. That is why unigram
is learned by SentencePiece, and WordPiece's pieces by BPE: the trainers of the `tokenizers` library
depend on the order of a hash map for these two (docs/decisions/0007).

`bpe` and `char` keep text as it is. The others work on words: runs of white space are one space,
and `▁` marks a piece that follows a space, so that decoding puts every space back where it was.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

import tokenizers as hf
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from polyhead.config import TokenizerConfig
from polyhead.errors import DataError

END, UNKNOWN, PAD = "</s>", "<unk>", "<pad>"
SPACE = "▁"
NO_TEXT = "there is no text to train a tokenizer on: every line is empty"
LONGEST_WORD = 1000  # characters; WordPiece takes a longer one as unknown
_WORDS = hf.Regex(rf"{SPACE}?\w+|{SPACE}?[^\w{SPACE}]")  # runs of letters and digits, or one sign


def learn(config: TokenizerConfig, texts: Iterable[str]) -> hf.Tokenizer:
    """A tokenizer of END, UNKNOWN and at most `vocab_size` - 3 pieces; the caller appends PAD.

    Raises DataError if there is no text, or more characters than the vocabulary can hold.
    """
    normalizer = _normalizer(config)
    counted = _Counted(texts)
    inner = _LEARNERS[config.kind](config, normalizer, counted)
    if counted.characters == 0:
        raise DataError(NO_TEXT)
    inner.normalizer = normalizer
    inner.add_special_tokens([END, UNKNOWN])  # which decoding leaves out
    return inner


class _Counted:
    def __init__(self, texts: Iterable[str]):
        self.texts = texts
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.characters += len(text)
            yield text


def _normalizer(config: TokenizerConfig) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    if config.kind not in ("bpe", "char"):
        steps += [normalizers.Replace(hf.Regex(rf"[\s{SPACE}]+"), " "), normalizers.Strip()]
    return normalizers.Sequence(steps)


def _bpe(
    config: TokenizerConfig, normalizer: normalizers.Normalizer, texts: Iterable[str]
) -> hf.Tokenizer:
    """Byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2): no text is ever unknown."""
    inner = hf.Tokenizer(models.BPE())
    inner.normalizer = normalizer
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size - 1,  # the pad token comes last
        special_tokens=[END, UNKNOWN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return inner


def _char(
    config: TokenizerConfig, normalizer: normalizers.Normalizer, texts: Iterable[str]
) -> hf.Tokenizer:
    """One token per character; characters not seen in training are unknown."""
    inner = hf.Tokenizer(models.BPE(unk_token=UNKNOWN))
    inner.normalizer = normalizer
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size - 1,
        special_tokens=[END, UNKNOWN],
        limit_alphabet=config.vocab_size - 3,
        max_token_length=1,
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    return inner


def _unigram(
    config: TokenizerConfig, normalizer: normalizers.Normalizer, texts: Iterable[str]
) -> hf.Tokenizer:
    """The most probable pieces of each word (Kudo 2018); pieces do not reach across spaces."""
    normal = _normal(config, normalizer, texts)
    inner = hf.Tokenizer(models.Unigram([(END, 0.0), (UNKNOWN, 0.0), *_pieces(config, normal)], 1))
    # a cut after every "<", so that a text that spells a special token is not taken for one
    spaces = pre_tokenizers.Metaspace(SPACE, "always")
    cut = pre_tokenizers.Split(hf.Regex(f"{SPACE}?<"), "isolated")
    inner.pre_tokenizer = pre_tokenizers.Sequence([spaces, cut])
    inner.decoder = decoders.Metaspace(SPACE, "always")
    return inner


def _pieces(config: TokenizerConfig, normal: Sequence[str]) -> Iterator[tuple[str, float]]:
    """SentencePiece's pieces with their log-probabilities, most probable first."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(normal),
        model_writer=written,
        model_type="unigram",
        vocab_size=config.vocab_size - 2,  # it counts an unknown token of its own
        hard_vocab_limit=False,  # fewer where the text has no more
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentence_length=2**30,
        num_threads=4,  # a constant: sums, and so the result, depend on it
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    learned = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    for i in range(1, learned.get_piece_size()):
        piece = learned.id_to_piece(i)
        if piece not in (END, UNKNOWN, PAD):
            yield piece, learned.get_score(i)


def _wordpiece(
    config: TokenizerConfig, normalizer: normalizers.Normalizer, texts: Iterable[str]
) -> hf.Tokenizer:
    """Words cut into their longest known pieces, from the left (Wu et al. 2016, section 4.1).

    As there, a mark tells where a word begins. A word with an unknown character is unknown.
    """
    learner = hf.Tokenizer(models.BPE())
    learner.pre_tokenizer = _words()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size - 1, special_tokens=[END, UNKNOWN], show_progress=False
    )
    learner.train_from_iterator(_normal(config, normalizer, texts), trainer)
    model = models.WordPiece(
        learner.get_vocab(),
        unk_token=UNKNOWN,
        continuing_subword_prefix="",
        max_input_chars_per_word=LONGEST_WORD,
    )
    return _of_words(model)


def _word(
    config: TokenizerConfig, normalizer: normalizers.Normalizer, texts: Iterable[str]
) -> hf.Tokenizer:
    """The most frequent words and punctuation marks; every other word is unknown."""
    inner = _of_words(models.WordLevel({}, unk_token=UNKNOWN))
    inner.normalizer = normalizer
    trainer = trainers.WordLevelTrainer(
        vocab_size=config.vocab_size - 1, special_tokens=[END, UNKNOWN], show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    return inner


def _of_words(model: models.Model) -> hf.Tokenizer:
    inner = hf.Tokenizer(model)
    inner.pre_tokenizer = _words()
    inner.decoder = decoders.Metaspace(SPACE, "always")
    return inner


def _words() -> pre_tokenizers.PreTokenizer:
    """Words and single punctuation marks; those that follow a space begin with its mark."""
    spaces = pre_tokenizers.Metaspace(SPACE, "always", split=False)
    return pre_tokenizers.Sequence([spaces, pre_tokenizers.Split(_WORDS, "isolated")])


def _normal(
    config: TokenizerConfig, normalizer: normalizers.Normalizer, texts: Iterable[str]
) -> list[str]:
    """Texts as the tokenizer will see them; raises DataError if they have too many characters."""
    normal = [line for text in texts if (line := normalizer.normalize_str(text))]
    if not normal:
        raise DataError(NO_TEXT)
    characters = set().union(*normal) - {" "}
    least = len(characters) + len((END, UNKNOWN, SPACE, PAD))
    if config.vocab_size < least:
        raise DataError(
            f"tokenizer.vocab_size is {config.vocab_size:,}, but the training text has "
            f"{len(characters):,} different characters and kind {config.kind} needs a token for "
            f"each, so at least {least:,}. Raise it, or use kind bpe, which writes any character "
            "in bytes"
        )
    return normal


_LEARNERS = {
    "bpe": _bpe,
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "char": _char,
    "word": _word,
}
