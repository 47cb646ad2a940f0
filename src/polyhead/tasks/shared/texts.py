"""What tasks that learn from plain text have in common: their data, and how it is read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from polyhead.config import AtLeastOne, DataSection, Recipe
from polyhead.data.documents import Documents, TextSources, read_documents
from polyhead.tasks.shared.protocol import Say


class TextData(DataSection):
    """Texts, and how many tokens of them are looked at together."""

    training_defaults: ClassVar[dict[str, Any]] = {"label_smoothing": 0.0}

    train: Annotated[TextSources, AtLeastOne] = Field(
        description="files, or sources with more keys (see below)"
    )
    valid: Annotated[TextSources, AtLeastOne] = Field(
        description="text to judge the model on as it learns"
    )
    test: TextSources = Field(default=[], description="text to score it on afterwards")
    context: int

    def misfits(self, model: Any, label_smoothing: float) -> list[str]:
        """Blocks that the model cannot read."""
        if self.context <= model.max_length:
            return []
        return [f"data.context: {self.context} is more than model.max_length {model.max_length}"]


def read_training(recipe: Recipe, say: Say) -> Documents:
    """The training documents."""
    assert isinstance(recipe.data, TextData)
    found = read_documents(recipe.data.train)
    characters = sum(map(len, found.texts))
    left_out = f" ({found.empty:,} empty ones left out)" if found.empty else ""
    say(f"read {len(found):,} training documents, {characters:,} characters{left_out}")
    return found
