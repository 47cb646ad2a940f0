"""The baseline a translator has to beat: the nearest training sentence by TF-IDF cosine.

Features are words and character bi- and trigrams of the source; a query's answer is the training
sentence with the largest cosine, the first of equals. An inverted index in numpy, no sparse matrix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BUCKETS = 1 << 20
_NEWLINE = 10
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))

Ids = NDArray[np.int64]


def _words(text: str) -> list[str]:
    return [word.strip(".,?!") for word in text.lower().split()]


def _character_grams(texts: Sequence[str]) -> tuple[Ids, Ids]:
    """Feature and document numbers of all character bi- and trigrams, hashed into buckets."""
    joined = "\n".join(f" {text.lower()} ".replace("\n", " ") for text in texts) + "\n"
    codes = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    breaks = codes == _NEWLINE
    documents = np.cumsum(breaks) - breaks
    features, owners = [], []
    for size in (2, 3):
        count = max(len(codes) - size + 1, 0)
        mixed = np.full(count, size, dtype=np.uint64)
        broken = np.zeros(count, dtype=bool)
        for offset in range(size):
            mixed ^= (codes[offset : offset + count] + np.uint64(offset)) * _MIX[offset]
            broken |= breaks[offset : offset + count]
        mixed ^= mixed >> np.uint64(29)
        bucket = ((mixed * _MIX[1]) >> np.uint64(40)) % np.uint64(_BUCKETS)
        features.append(bucket[~broken].astype(np.int64))
        owners.append(documents[:count][~broken])
    return np.concatenate(features), np.concatenate(owners)


def _word_features(texts: Sequence[str], known: dict[str, int], learn: bool) -> tuple[Ids, Ids]:
    features: list[int] = []
    owners: list[int] = []
    for number, text in enumerate(texts):
        for word in _words(text):
            if learn:
                feature = known.setdefault(word, _BUCKETS + len(known))
            else:
                feature = known.get(word, -1)
            if feature >= 0:
                features.append(feature)
                owners.append(number)
    return np.asarray(features, dtype=np.int64), np.asarray(owners, dtype=np.int64)


def _counts(texts: Sequence[str], known: dict[str, int], learn: bool) -> tuple[Ids, Ids, Ids]:
    """Feature, document and number of times, sorted by feature."""
    grams, gram_owners = _character_grams(texts)
    words, word_owners = _word_features(texts, known, learn)
    features = np.concatenate([grams, words])
    owners = np.concatenate([gram_owners, word_owners])
    keys, times = np.unique(features * len(texts) + owners, return_counts=True)
    return keys // len(texts), keys % len(texts), times


@dataclass(frozen=True)
class _Index:
    words: dict[str, int]
    starts: Ids
    documents: NDArray[np.int32]
    weights: NDArray[np.float32]
    rarity: NDArray[np.float64]
    size: int


def _index(texts: Sequence[str]) -> _Index:
    words: dict[str, int] = {}
    features, documents, times = _counts(texts, words, learn=True)
    frequency = np.bincount(features, minlength=_BUCKETS + len(words))
    rarity = np.log((1 + len(texts)) / (1 + frequency)) + 1
    weights = (1 + np.log(times)) * rarity[features]
    norms = np.sqrt(np.bincount(documents, weights * weights, minlength=len(texts)))
    weights = weights / norms[documents]
    starts = np.concatenate([[0], np.cumsum(frequency)])
    return _Index(
        words, starts, documents.astype(np.int32), weights.astype(np.float32), rarity, len(texts)
    )


def nearest(train_sources: Sequence[str], queries: Sequence[str]) -> list[int]:
    """Returns for each query the position of the most similar training source.

    Raises ValueError where there is no training source.
    """
    if not train_sources:
        raise ValueError("there is no training source to look in; give at least one sentence")
    if not queries:
        return []
    index = _index(train_sources)
    features, owners, times = _counts(queries, index.words, learn=False)
    weights = ((1 + np.log(times)) * index.rarity[features]).astype(np.float32)
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(queries) + 1))
    answers = []
    for number in range(len(queries)):
        scores = np.zeros(index.size, dtype=np.float32)
        for entry in order[bounds[number] : bounds[number + 1]]:
            where = slice(index.starts[features[entry]], index.starts[features[entry] + 1])
            scores[index.documents[where]] += weights[entry] * index.weights[where]
        answers.append(int(scores.argmax()))
    return answers
