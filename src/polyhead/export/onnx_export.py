"""A model as one ONNX graph, from token ids to logits, run by ONNX Runtime before it counts.

The whole forward pass for any batch and any lengths, without a cache: what scores, classifies and
embeds needs no more, and what writes calls it once a token.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from polyhead import registry
from polyhead.attention.masks import EMPTY, Allowed
from polyhead.errors import MissingExtraError, PolyheadError, UsageError
from polyhead.export.verify import Exported
from polyhead.files import new_folder
from polyhead.models.bert import BERT
from polyhead.models.gpt import GPT
from polyhead.models.transformer import Transformer
from polyhead.runs.folder import Run, check_free

CLOSE = 1e-4  # of a logit
FILE = "model.onnx"
LARGE = 1 << 30  # bytes: weights beyond lie in a file of their own, for a graph holds 2 GiB
TRACED = (2, 7)  # rows and tokens; the graph must do for all others, too
SHAPES = ((1, 5), (3, 9), (4, 2), (2, 17))


def export_onnx(run: Run, out: Path) -> Exported:
    """Write a folder with model.onnx and the tokenizers; ONNX Runtime is compared with the run.

    Raises UsageError where `out` exists or the model has no graph, PolyheadError where the graph
    gives other logits.
    """
    runtime = library()
    check_free(out)
    task: Any = registry.find("tasks", run.recipe.task).Task.load(run.recipe, run.path)
    graph = graph_of(run.load_model(task.sizes()))
    difference = 0.0

    def fill(folder: Path) -> None:
        nonlocal difference
        _write(graph, folder / FILE)
        session = runtime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])
        shapes = [(rows, min(tokens, graph.limit)) for rows, tokens in SHAPES]
        difference = max(_difference(graph, session, *shape) for shape in shapes)
        if not difference <= CLOSE:
            raise PolyheadError(
                f"ONNX Runtime gives logits that differ from the run's by up to {difference:.2g}; "
                f"at most {CLOSE:g} is allowed, so nothing was written"
            )
        task.save(folder)

    new_folder(out, fill)
    return Exported(out, difference, "random tokens of lengths that the graph was not made at")


def library() -> Any:
    """ONNX Runtime, with all that writing a graph needs."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("an ONNX export", str(error.name), "onnx") from None
    return onnxruntime


class Graph(nn.Module):
    """A model from ids [B,T] to what its heads give; arguments and results by name, in order.

    Masks [B,T] are 1 at tokens and 0 after a row's last one.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ("logits",)

    def __init__(self, model: nn.Module, vocabulary: int):
        super().__init__()
        self.model, self.vocabulary = model, vocabulary
        self.limit = int(model.config.max_length)  # type: ignore[union-attr, arg-type]

    def example(self, rows: int, tokens: int) -> dict[str, Tensor]:
        """Random inputs; the first row has all of the tokens, each further one fewer."""
        random = np.random.default_rng(100 * rows + tokens)
        lengths = torch.arange(tokens, tokens - rows, -1).clamp(min=1)
        made = {}
        for name in self.inputs:
            if name.endswith("mask"):
                made[name] = (torch.arange(tokens) < lengths[:, None]).long()
            else:
                most = 2 if name == "token_type_ids" else self.vocabulary
                made[name] = torch.from_numpy(random.integers(0, most, (rows, tokens)))
        return made


def _positions(mask: Tensor) -> Tensor:
    return torch.where(mask > 0, mask.cumsum(1) - 1, EMPTY)


class _Writing(Graph):
    """A GPT: what follows each token [B,T,V]. Padding after a row's end is seen by none of it."""

    inputs = ("input_ids",)

    def forward(self, input_ids: Tensor) -> Tensor:
        model = cast(GPT, self.model)
        return model.head(model(input_ids))


class _Judging(Graph):
    """A fine-tuned GPT: its numbers about rows [B,N] or tokens [B,T,N]."""

    inputs = ("input_ids", "attention_mask")

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        model, positions = cast(GPT, self.model), _positions(attention_mask)
        return model.answer(model(input_ids), positions)


class _Filling(Graph):
    """A BERT: what stands at each place [B,T,V]; fine-tuned, numbers about rows or tokens."""

    inputs = ("input_ids", "attention_mask", "token_type_ids")

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        model = cast(BERT, self.model)
        hidden = model(input_ids, _positions(attention_mask), token_type_ids)
        if model.head is None:
            return model.answer(hidden)
        logits: Tensor = model.head(hidden)
        return logits if model.next_sentence is None else (logits, model.next_sentence(hidden))


class _Translating(Graph):
    """A Transformer: what follows each token of the translations so far [B,T,V]."""

    inputs = ("input_ids", "attention_mask", "decoder_input_ids")

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, decoder_input_ids: Tensor
    ) -> Tensor:
        model = cast(Transformer, self.model)
        encoded = model.encode(input_ids, _positions(attention_mask))
        allowed = Allowed.from_the_start(decoder_input_ids.shape[1], decoder_input_ids.device)
        x = model.positions(model.target_embedding(decoder_input_ids), allowed.q_positions)
        for block in model.decoder:
            x = block(x, allowed, encoded)
        return model.head(model.decoder_norm(x))


def graph_of(model: nn.Module) -> Graph:
    """The graph of a run's model; raises UsageError for one that has none."""
    if isinstance(model, Transformer):
        sizes = (len(model.source_embedding.weight), len(model.target_embedding.weight))
        return _Translating(model, min(sizes))
    if isinstance(model, BERT):
        graph = _Filling(model, len(model.embedding.weight))
        if model.next_sentence is not None:
            graph.outputs = ("logits", "next_sentence")
        return graph
    if isinstance(model, GPT):
        kind = _Writing if model.answers is None else _Judging
        return kind(model, len(model.embedding.weight))
    raise UsageError(
        f"no export of {type(model).__name__} to onnx: a graph without a cache suits models that "
        "see a whole sequence at once, Transformer, GPT and BERT"
    )


def _write(graph: Graph, path: Path) -> None:
    rows, tokens, written = map(torch.export.Dim, ("rows", "tokens", "written"))
    lengths = {name: written if name == "decoder_input_ids" else tokens for name in graph.inputs}
    with _quietly(), torch.enable_grad():
        graph.eval().requires_grad_(True)  # torch's own attention, whatever the shapes
        torch.onnx.export(
            graph,
            kwargs=graph.example(*TRACED),
            f=path,
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes={name: {0: rows, 1: length} for name, length in lengths.items()},
            external_data=sum(p.nbytes for p in graph.parameters()) > LARGE,
            verbose=False,
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's reports of its progress, which are about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@torch.no_grad()
def _difference(graph: Graph, session: Any, rows: int, tokens: int) -> float:
    """The largest difference of a logit at inputs of one shape."""
    inputs = graph.example(rows, tokens)
    feed = {name: tensor.numpy() for name, tensor in inputs.items()}
    theirs = session.run(list(graph.outputs), feed)
    made = graph(**inputs)
    worst = 0.0
    for ours, other in zip(made if isinstance(made, tuple) else (made,), theirs, strict=True):
        apart = (ours - torch.from_numpy(other)).abs()
        if isinstance(graph, _Filling) and apart.dim() == 3:
            apart = apart[inputs["attention_mask"] > 0]  # nobody reads what stands in padding
        worst = max(worst, float(apart.max()))
    return worst
