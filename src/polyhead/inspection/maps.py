"""Attention as a value: who attended to whom, in every layer and head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from polyhead.errors import PolyheadError, UsageError
from polyhead.files import write_text
from polyhead.inspection.asked import make_folder

Side = Literal["source", "target", "read"]
Weights = NDArray[np.float32]

STANDARD_AXES: Mapping[str, tuple[Side, Side]] = {
    "encoder": ("source", "source"),
    "decoder": ("target", "read"),
    "cross": ("target", "source"),
}
HEADINGS = {
    "encoder": "Encoder self-attention",
    "decoder": "Decoder self-attention",
    "cross": "Cross-attention",
}
# Half precision sums a long row no more exactly than this.
SUM_TOLERANCE = 0.02


@dataclass(frozen=True)
class AttentionMaps:
    """Attention weights of one example, each kind [layers, heads, queries, keys], with its words.

    `target_tokens` are the words written, a query each; `read_tokens` those read meanwhile, which
    stand one step behind (default: the target tokens). `axes` says for each kind which words label
    its queries and its keys; the three kinds of a translation are known. A row sums to 1, or to 0
    where nothing was allowed.
    Raises PolyheadError where shapes, words or sums do not fit.
    """

    source_tokens: list[str]
    target_tokens: list[str]
    attention: dict[str, Weights]
    title: str = ""
    note: str = ""
    read_tokens: list[str] | None = None
    axes: Mapping[str, tuple[Side, Side]] = field(default_factory=lambda: dict(STANDARD_AXES))

    def __post_init__(self) -> None:
        if not self.attention:
            raise PolyheadError("no attention was given; at least one kind of weights is needed")
        checked = {kind: self._checked(kind, w) for kind, w in self.attention.items()}
        object.__setattr__(self, "attention", checked)

    @property
    def tokens(self) -> dict[str, list[str]]:
        """The words by side: {"source": […], "target": […]}."""
        return {"source": self.source_tokens, "target": self.target_tokens}

    @property
    def weights(self) -> dict[str, Weights]:
        """The weights by kind, each [layers, heads, queries, keys]."""
        return self.attention

    def labels(self, kind: str) -> tuple[list[str], list[str]]:
        """The words of a kind's queries and of its keys."""
        read = self.target_tokens if self.read_tokens is None else self.read_tokens
        words = {"source": self.source_tokens, "target": self.target_tokens, "read": read}
        queries, keys = self.axes[kind]
        return words[queries], words[keys]

    def heading(self, kind: str) -> str:
        """What a person calls this kind of attention."""
        return HEADINGS.get(kind, kind[:1].upper() + kind[1:])

    @property
    def main_kind(self) -> str:
        """The kind a person wants to see first: cross-attention where there is any."""
        return "cross" if "cross" in self.attention else next(reversed(self.attention))

    def as_json(self) -> dict[str, Any]:
        """`{source_tokens, target_tokens, attention}`, nested lists [layer][head][query][key]."""
        return {
            "source_tokens": list(self.source_tokens),
            "target_tokens": list(self.target_tokens),
            "attention": {kind: rounded(w, 7) for kind, w in self.attention.items()},
        }

    def save(self, path: str | Path) -> Path:
        """Write a picture (.png), a standalone page (.html) or the numbers (.json).

        Raises UsageError for another ending, PolyheadError where no font can draw the words.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in {".png", ".html", ".json"}:
            raise UsageError(
                f"cannot save attention as {path.name!r}: its name must end in "
                ".png (a picture), .html (a page to explore) or .json (the numbers)"
            )
        make_folder(path)
        if ending == ".json":
            write_text(path, json.dumps(self.as_json(), ensure_ascii=False) + "\n")
        elif ending == ".html":
            from polyhead.inspection.html import attention_page

            write_text(path, attention_page(self))
        else:
            from polyhead.inspection.png import attention_picture, write_png

            write_png(attention_picture(self), path)
        return path

    def _checked(self, kind: str, weights: Weights) -> Weights:
        if kind not in self.axes:
            raise PolyheadError(
                f"attention kind {kind!r} has no axes (known: {', '.join(self.axes)}); pass "
                f"axes={{{kind!r}: (queries, keys)}}, each 'source', 'target' or 'read'"
            )
        values = np.asarray(weights, dtype=np.float32)
        queries, keys = (len(words) for words in self.labels(kind))
        if values.ndim != 4 or 0 in values.shape or values.shape[2:] != (queries, keys):
            raise PolyheadError(
                f"{kind} attention has shape {list(values.shape)}; needed is [layers, heads, "
                f"queries, keys] with {queries} queries and {keys} keys, as many as there are words"
            )
        sums = values.sum(axis=-1)
        right = (np.abs(sums - 1) <= SUM_TOLERANCE) | (sums == 0)
        right &= (values >= 0).all(axis=-1)
        if not right.all():
            layer, head, query = np.argwhere(~right)[0]
            raise PolyheadError(
                f"{kind} attention is not made of weights: none may be negative and each row "
                f"must sum to 1; layer {layer + 1}, head {head + 1}, query {query + 1} sums to "
                f"{sums[layer, head, query]:.4g}"
            )
        return values


def rounded(weights: Weights, digits: int) -> Any:
    """Nested lists of Python floats with at most so many digits after the point."""
    return weights.astype(np.float64).round(digits).tolist()
