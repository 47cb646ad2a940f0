"""Tagging: a tag for every word, as of entities (Devlin et al. 2019, section 5.3).

The first token of each word carries its tag (a space before it is none of its own); nothing is
asked about the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from polyhead.config import AtLeastOne
from polyhead.data.framing import IGNORED, Example, LabelledBatch
from polyhead.data.labelled import Labelled, TaggedFile, TaggedFiles, fault, read_tagged
from polyhead.files import Report, stop
from polyhead.metrics.labels import Tally, tag_scores, tag_tally
from polyhead.tasks.shared.objective import Answers, Frame
from polyhead.tasks.shared.rows import label_loss
from polyhead.tasks.shared.supervised import Supervised, SupervisedData

OUTSIDE = "O"


class Data(SupervisedData):
    """The `data:` section of a tagging recipe."""

    metrics: ClassVar[tuple[str, ...]] = ("f1", "accuracy")
    train: Annotated[TaggedFiles, AtLeastOne] = Field(description="files (see below)")
    valid: Annotated[TaggedFiles, AtLeastOne] = Field(
        description="files to judge the model on as it learns"
    )
    test: TaggedFiles = Field(default=[], description="files to score it on afterwards")


class Tagging:
    """A tag for each word of a text, words being what spaces cut."""

    purpose: Literal["tokens"] = "tokens"
    metric = "f1"
    context: int | None = None

    def read(self, source: TaggedFile, report: Report = stop) -> Iterator[Labelled]:
        """Sentences with their tags."""
        return read_tagged(source, report)

    def learn(self, targets: Sequence[list[str]]) -> dict[str, Any]:
        """The tags; words that do not fit into a row count as outside of any entity."""
        return {"names": sorted({OUTSIDE, *(tag for tags in targets for tag in tags)})}

    def outputs(self, learned: dict[str, Any]) -> int:
        """A number for each tag."""
        return len(learned["names"])

    def examples(self, one: Labelled, frame: Frame) -> tuple[list[Example], int]:
        """One row; raises DataFault for a tag that training does not have."""
        (text,) = one.texts
        names = frame.learned["names"]
        if unknown := sorted(set(one.target or ()) - set(names)):
            raise fault(
                one.place, "unknown_label",
                f"the tag {unknown[0]!r} is not known; there are {', '.join(names[:20])}",
            )  # fmt: skip
        tokenizer = frame.tokenizer
        ids, _, cut = frame.framer.row([tokenizer.encode(text)])
        firsts: dict[int, int] = {}  # of each word, its first token's place in the row
        for place, word in enumerate(tokenizer.words(text)[: len(ids) - 2], start=1):
            if word >= 0 and not tokenizer.alone(ids[place]).isspace():
                firsts.setdefault(word, place)
        tags = [IGNORED] * len(ids)
        for word, place in firsts.items() if one.target is not None else ():
            tags[place] = names.index(one.target[word])
        known = (text.split(), firsts)
        return [Example([(ids, [0] * len(ids))], tags, one.place, one.target, known=known)], cut

    def loss(
        self, answers: Tensor, batch: LabelledBatch, learned: dict[str, Any], smoothing: float
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the tags of first tokens."""
        asked = batch.targets != IGNORED
        return label_loss(answers[asked], batch.targets[asked], smoothing)

    def say(
        self, answers: Sequence[Answers], examples: Sequence[Example], learned: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The words with their tags, and the probability of all tags together."""
        return [_said(*pair, learned["names"]) for pair in zip(answers, examples, strict=True)]

    def tally(self, said: Sequence[dict[str, Any]], right: Sequence[Any]) -> Tally:
        """Entities and tags of each sentence, counted."""
        return tag_tally([one["tags"] for one in said], right)

    def metrics(self, tally: Tally) -> dict[str, float]:
        """F1, precision and recall of whole entities, and the share of right tags."""
        return tag_scores(tally)

    def input(self, line: str, data: Data) -> tuple[str, ...]:
        """A text, its words with spaces between."""
        return (" ".join(line.split()),)


def _said(answers: Answers, example: Example, names: Sequence[str]) -> dict[str, Any]:
    words, firsts = example.known
    tags, log_p = [OUTSIDE] * len(words), 0.0
    for word, place in firsts.items():
        logits = answers[place].astype(np.float64)
        best = int(logits.argmax())
        tags[word] = names[best]
        log_p += float(logits[best] - np.logaddexp.reduce(logits))
    label = " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))
    return {"label": label, "probability": float(np.exp(log_p)), "words": words, "tags": tags}


OBJECTIVE = Tagging()
Task = Supervised
