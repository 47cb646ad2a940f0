"""The head that a directory has, and so the task of the run that is made of it.

BERT: a head for masked tokens makes a run of masked_lm, one that answers about texts a run of its
own task. Of any other directory the encoder is taken, and its pooler if it has one, below fresh
heads. GPT: the output is the embedding, so any directory makes a language model; other heads are
left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from polyhead.export.huggingface_formats import Format, Settings, Weights, bert_model
from polyhead.export.huggingface_names import bert_tensors
from polyhead.models.bert import BERT

ANSWERING = {
    "BertForSequenceClassification": ("classification", "classifier"),
    "BertForTokenClassification": ("tagging", "classifier"),
    "BertForQuestionAnswering": ("question_answering", "qa_outputs"),
}
"""Task and name of the head; BertForMultipleChoice does not say how many choices there are."""
GPT_HEADS = ("score.", "classifier.", "qa_outputs.", "multiple_choice_head.")


def by_head(kind: Format, settings: Settings, weights: Weights) -> tuple[Format, Weights]:
    """The format of a directory by its head, and the weights without those that no run takes."""
    if kind.task == "language_modeling":
        return _language_model(kind, weights)
    if kind.task != "masked_lm":
        return kind, weights
    if "cls.predictions.bias" in weights:
        return kind, weights
    if (answering := _answering(kind, settings, weights)) is not None:
        return answering, weights
    kept = {name: tensor for name, tensor in weights.items() if name.startswith(kind.prefix)}
    dropped = sorted(weights.keys() - kept.keys())
    note = (
        "There is no head for masked tokens in this directory: the run's is fresh and has to be "
        "trained before `fill` is of use (`finetune` and `embed` need none). Hidden states were "
        "compared." + (f" Left out: {', '.join(dropped)}." if dropped else "")
    )

    def sections(settings: Settings, weights: Weights) -> dict[str, Any]:
        # its pooler is that of the head for next sentences, which fine-tuning takes over
        pooled = {"next_sentence": "bert.pooler.dense.weight" in weights}
        found = kind.sections(settings, weights)
        return found | {"data": found["data"] | pooled}

    return replace(kind, sections=sections, fresh=note), kept


def _language_model(kind: Format, weights: Weights) -> tuple[Format, Weights]:
    left_out = [name for name in weights if name.startswith(GPT_HEADS)]
    if not left_out:
        return kind, weights
    note = (
        f"Left out: {', '.join(left_out)}. The head of a fine-tuned GPT is not taken in: the run "
        "is a language model, which `finetune` gives a fresh head."
    )
    kept = {name: tensor for name, tensor in weights.items() if name not in left_out}
    return replace(kind, fresh=note), kept


def _answering(kind: Format, settings: Settings, weights: Weights) -> Format | None:
    """The format of a directory that answers about texts as a task of ours does."""
    architecture = (settings.get("architectures") or [""])[0]
    task, head = ANSWERING.get(architecture, ("", ""))
    if f"{head}.weight" not in weights:
        return None
    outputs, problem = len(weights[f"{head}.weight"]), settings.get("problem_type")
    names = settings.get("id2label") or {}
    learned: dict[str, Any] = {"names": [names.get(str(i), f"LABEL_{i}") for i in range(outputs)]}
    if task == "classification" and (problem == "regression" or outputs == 1):
        task, learned = "regression", {"mean": 0.0, "spread": 1.0}  # the data's own units
    elif task == "question_answering":
        learned = {}
    if problem == "multi_label_classification" or (task == "regression" and outputs > 1):
        return None
    return replace(
        kind,
        task=task,
        sections=_answering_sections,
        tensors=_tensors(head),
        special={what: tokens for what, tokens in kind.special.items() if what != "what is masked"},
        learned=learned,
    )


def _answering_sections(settings: Settings, weights: Weights) -> dict[str, Any]:
    return {"model": bert_model(settings), "data": {"train": [], "valid": []}}


def _tensors(head: str) -> Callable[[BERT], dict[str, Tensor]]:
    """Views of the weights, with the head by this name."""

    def named(model: BERT) -> dict[str, Tensor]:
        found = bert_tensors(model)
        own = {f"{head}.{part}": found.pop(f"classifier.{part}") for part in ("weight", "bias")}
        return found | own

    return named
