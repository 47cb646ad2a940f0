"""The project's own corpus: generated Korean-English conversation in five domains."""

from polyhead.data.korean_english.corpus import DEFAULT_PAIRS, Pair, generate, normalised, splits
from polyhead.data.korean_english.lexicon import DOMAINS
from polyhead.data.korean_english.retrieval import nearest

__all__ = ["DEFAULT_PAIRS", "DOMAINS", "Pair", "generate", "nearest", "normalised", "splits"]
