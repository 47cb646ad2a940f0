"""A fine-tuned BERT or GPT as transformers' model of the same task, which is loaded and compared.

Labels stand by name in config.json, so that a `pipeline` says them; a number comes out in the units
of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from polyhead import registry
from polyhead.data.framing import Framer
from polyhead.errors import PolyheadError, UsageError
from polyhead.export.huggingface_language import bert_config, gpt_config, write_tokenizer
from polyhead.export.huggingface_loading import CLOSE, Theirs, library
from polyhead.export.huggingface_names import bert_tensors, contiguous, gpt_tensors
from polyhead.export.verify import LINES, TEXTS, Exported
from polyhead.files import new_folder, write_json
from polyhead.models.bert import BERT
from polyhead.models.gpt import GPT
from polyhead.runs.folder import Run, check_free, write_weights
from polyhead.tasks.shared.supervised import Supervised

HOMES = {
    "classification": "SequenceClassification",
    "regression": "SequenceClassification",
    "multiple_choice": "MultipleChoice",
    "tagging": "TokenClassification",
    "question_answering": "QuestionAnswering",
}
"""What follows "BertFor", "GPT2For" and "AutoModelFor" in the names of their classes."""


def export_labelled(run: Run, out: Path) -> Exported:
    """Write the folder; it is loaded by transformers and compared before it counts.

    Raises UsageError where `out` exists or their format cannot hold the model, PolyheadError where
    the loaded model or tokenizer does otherwise than the run.
    """
    library()
    check_free(out)
    task: Supervised = registry.find("tasks", run.recipe.task).Task.load(run.recipe, run.path)
    _check_fits(task)
    model = cast(BERT | GPT, run.load_model(task.sizes()))
    config, tensors = _config(task, model), _tensors(task, model)
    inputs, origin = _inputs(task)
    difference = 0.0

    def fill(folder: Path) -> None:
        nonlocal difference
        write_weights(folder / "model.safetensors", contiguous(tensors))
        write_json(folder / "config.json", config)
        write_tokenizer(folder, model, task.tokenizer, task.frame.framer)
        difference = compare_answers(folder, task, model, inputs)

    new_folder(out, fill)
    return Exported(out, difference, origin)


def _check_fits(task: Supervised) -> None:
    if getattr(task.data, "symmetric", False):
        raise UsageError(
            "Hugging Face cannot hold a model that reads pairs in both orders (data.symmetric). "
            "`--to onnx` holds this model."
        )


def _scale(task: Supervised) -> tuple[float, float]:
    """(factor, offset) from the model's numbers to those of the data."""
    if task.recipe.task == "regression":
        return task.known["spread"], task.known["mean"]
    return 1.0, 0.0


def _tensors(task: Supervised, model: BERT | GPT) -> dict[str, Tensor]:
    if isinstance(model, BERT):
        found = bert_tensors(model)
        weight, bias = (found.pop(f"classifier.{part}") for part in ("weight", "bias"))
    else:
        found, head = gpt_tensors(model), cast(nn.Linear, model.answers)
        weight, bias = head.weight, head.bias
    factor, offset = _scale(task)
    weight, bias = weight * factor, bias * factor + offset
    if isinstance(model, GPT) and model.purpose == "sequence":
        return found | _without_bias(model, found, weight, bias) | {"score.weight": weight}
    name = "qa_outputs" if task.recipe.task == "question_answering" else "classifier"
    return found | {f"{name}.weight": weight, f"{name}.bias": bias}


def _without_bias(
    model: GPT, found: dict[str, Tensor], weight: Tensor, bias: Tensor
) -> dict[str, Tensor]:
    """The last layer norm's bias b' with W b' = W b + c: their head has no bias c of its own.

    W [outputs,E] has more columns than rows, so that there is such a b'.
    """
    last = len(model.blocks) - 1
    name = "ln_f" if model.config.norm == "pre" else f"h.{last}.ln_2"
    moved = torch.linalg.pinv(weight.double()) @ bias.double()
    name = f"transformer.{name}.bias"
    return {name: found[name] + moved.float()}


def _config(task: Supervised, model: BERT | GPT) -> dict[str, Any]:
    home = f"For{HOMES[task.recipe.task]}"
    config = (
        bert_config(model, task.tokenizer, f"Bert{home}")
        if isinstance(model, BERT)
        else gpt_config(model, task.tokenizer, home)
    )
    if task.recipe.task == "regression":
        return config | {"problem_type": "regression", "id2label": {"0": "LABEL_0"}}
    if task.recipe.task == "classification":
        config["problem_type"] = "single_label_classification"
    if names := task.known.get("names"):
        config["id2label"] = {str(i): name for i, name in enumerate(names)}
        config["label2id"] = {name: i for i, name in enumerate(names)}
    return config


def _inputs(task: Supervised) -> tuple[list[tuple[str, ...]], str]:
    """Texts as rows are made of, and where they come from."""
    for split in ("test", "valid"):
        try:
            read = task.read_split(split)[:LINES]
        except PolyheadError:  # the run may have been moved away from its data
            continue
        found: list[tuple[str, ...]] = []
        for one in read:
            text, *others = one.texts
            choices = task.recipe.task == "multiple_choice"
            found += [(text, choice) for choice in others] if choices else [one.texts]
        return found, f"{len(read)} examples of the {split} data"
    return [(text,) for text in TEXTS], f"{len(TEXTS)} texts"


@torch.no_grad()
def compare_answers(
    folder: Path, task: Supervised, model: BERT | GPT, inputs: Sequence[tuple[str, ...]]
) -> float:
    """The largest difference of a logit; raises PolyheadError where they do otherwise."""
    theirs = Theirs.load(folder, HOMES[task.recipe.task])
    factor, offset = _scale(task)
    framer: Framer = task.frame.framer
    difference, problems = 0.0, []
    for texts in inputs:
        ids, kinds, cut = framer.row([task.tokenizer.encode(text) for text in texts])
        read = theirs.tokenizer(*texts, return_token_type_ids=True, split_special_tokens=True)
        if not cut and (read["input_ids"], read["token_type_ids"]) != (ids, kinds):
            problems.append(f"the tokenizer cuts {texts[0][:40]!r} otherwise")
            break
        row, kind = torch.tensor([ids]), torch.tensor([kinds])
        ours = task.ask(model, row, torch.arange(len(ids))[None], kind)[1] * factor + offset
        given = {"input_ids": row} if task.is_gpt else {"input_ids": row, "token_type_ids": kind}
        found = _logits(theirs.model, task.recipe.task, given)
        difference = max(difference, float((ours - found).abs().max()) / factor)
    if not difference <= CLOSE:
        problems.append(f"logits differ by up to {difference:.2g}, more than {CLOSE:g}")
    if problems:
        raise PolyheadError(
            f"the model does otherwise in transformers than here: {'; '.join(problems)}. Nothing "
            "was written"
        )
    return difference


def _logits(model: Any, task: str, given: dict[str, Tensor]) -> Tensor:
    """What their model gives for a row [1,T], in the shape of ours."""
    if task == "multiple_choice":
        given = {name: rows[None] for name, rows in given.items()}  # [1,choices,T]
    found = model(**given)
    if task == "question_answering":
        return torch.stack([found.start_logits, found.end_logits], dim=2)
    return cast(Tensor, found.logits)
