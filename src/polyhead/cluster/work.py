"""What `translate` does with lines, in a form that any process can do a part of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from polyhead import __version__, api
from polyhead.decoding.search import Hypothesis
from polyhead.decoding.translate import Options
from polyhead.files import sha256
from polyhead.use.together import run_folders

Say = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """Plain values that say how to translate: with which run, how, and what to print."""

    run: str
    precision: api.Precision = "fp32"
    engine: Literal["torch", "ctranslate2"] = "torch"
    options: dict[str, Any] = field(default_factory=dict)  # of Translator.options
    count: int = 1  # translations printed for each line
    scores: bool = False

    def begin(self, say: Say = lambda text: None) -> Worker:
        """Load the run; `say` hears what takes long."""
        translator = api.load(self.run, self.precision, engine=self.engine, say=say)
        return Worker(self, translator, translator.options(**self.options))


@dataclass(frozen=True)
class Worker:
    """Work with its model loaded."""

    work: Work
    translator: api.Translator
    options: Options

    def blocks(
        self,
        texts: Iterable[str],
        *,
        first: int = 1,
        say: Say = lambda text: None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Iterator[str]:
        """What is printed for each text, line ends included; the first text is line `first`."""
        found = self.translator.search(texts, self.options, first=first, say=say, progress=progress)
        for line, hypotheses in enumerate(found, start=first):
            yield "".join(f"{text}\n" for text in self._lines(line, hypotheses))

    def _lines(self, line: int, hypotheses: list[Hypothesis]) -> Iterator[str]:
        best = [(h.score, self.translator.text([h])) for h in hypotheses[: self.work.count]]
        if not self.work.scores:
            yield from (text for _, text in best)
            yield from [""] * (self.work.count - len(best))
            return
        for rank, (score, text) in enumerate(best or [(0.0, "")], start=1):  # empty: its place
            yield f"{line}\t{rank}\t{score:.6f}\t{text}"

    def identity(self) -> dict[str, Any]:
        """What the output depends on, the input aside: equal identities give equal outputs."""
        folders = run_folders(self.work.run)
        return {
            "polyhead_version": __version__,
            "weights": [sha256(Path(folder) / "model.safetensors") for folder in folders],
            "precision": self.work.precision,
            "engine": self.work.engine,
            "options": repr(self.options),
            "printed": self.work.count,
            "scores": self.work.scores,
        }
