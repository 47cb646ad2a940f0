"""What transformers makes of a folder: the other side of every comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from polyhead.errors import MissingExtraError, PolyheadError

CLOSE = 1e-4  # largest difference of a logit


def library() -> Any:
    """The package transformers; raises MissingExtraError where it is not installed."""
    try:
        import transformers
    except ModuleNotFoundError:
        raise MissingExtraError(
            "checking a Hugging Face export", "transformers", "interop"
        ) from None
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return transformers


@dataclass(frozen=True)
class Theirs:
    """What transformers loads from a folder."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path, kind: str) -> Theirs:
        """As AutoModelForKIND, or AutoModel without a kind.

        Raises PolyheadError where transformers cannot.
        """
        transformers = library()
        try:
            auto = getattr(transformers, f"AutoModelFor{kind}" if kind else "AutoModel")
            loaded = auto.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
            cutter = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # anything at all may be wrong with a folder
            raise PolyheadError(f"transformers cannot load {folder}: {error}") from None
        return cls(loaded.eval(), cutter)
