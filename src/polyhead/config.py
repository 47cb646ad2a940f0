"""Recipes: what a YAML file may say; `recipe.reading` reads one and checks it whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from polyhead.errors import UsageError


class Section(BaseModel):
    """A part of a recipe: frozen, and closed to keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _resolve(value: str, info: ValidationInfo) -> str:
    missing = [name for name in re.findall(r"\$\{(\w+)\}", value) if name not in os.environ]
    if missing:
        raise ValueError(f"the environment variable {missing[0]} is not set (path {value})")
    path = Path(re.sub(r"\$\{(\w+)\}", lambda m: os.environ[m[1]], value)).expanduser()
    folder = (info.context or {}).get("folder", Path())
    if path.is_relative_to("/dev"):  # a pipe's link leads to no name that could be opened
        return str(path)
    return str((folder / path).resolve())


def _as_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


DataPath = Annotated[str, BeforeValidator(_as_text), AfterValidator(_resolve)]
"""A file path: relative to the recipe, `~` and `${VARIABLE}` expanded, absolute once read."""


def _some(value: list[Any], info: ValidationInfo) -> list[Any]:
    if not value and not (info.context or {}).get("imported"):
        raise ValueError("at least one is needed")
    return value


AtLeastOne = AfterValidator(_some)
"""A list that is not empty; that of a run which was not trained here may be."""


Family = Literal["encoder-decoder", "decoder", "encoder"]


class DataSection(Section):
    """The `data:` section of any task."""

    # the families of models that can learn the task
    families: ClassVar[tuple[Family, ...]] = ()
    # what `training:` says where the recipe does not: another task, other customs
    training_defaults: ClassVar[dict[str, Any]] = {}
    # what validation shows besides nll, and early stopping may watch
    metrics: ClassVar[tuple[str, ...]] = ()

    def misfits(self, model: Any, label_smoothing: float) -> list[str]:
        """What is asked here and the model, or the way of training, has not; a line each."""
        return []


class ModelSection(Section):
    """What the `model:` section may say for every kind; a kind's `Config` adds its own keys."""

    model_config = ConfigDict(serialize_by_alias=True)
    family: ClassVar[Family]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # values by the name of a size
    from_: DataPath | None = Field(
        None, alias="from", description="a run whose weights to start from; see docs/finetune.md"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, given: Any) -> Any:
        preset = given.get("preset") if isinstance(given, dict) else None
        values = cls.presets.get(preset, {}) if isinstance(preset, str) else {}
        return {**values, **given} if values else given


class TokenizerConfig(Section):
    kind: Literal["bpe", "unigram", "wordpiece", "char", "word"] = "bpe"
    vocab_size: int = Field(
        8000, ge=4, le=1_000_000, description="tokens at most; byte-level BPE needs at least 260"
    )
    shared: bool = Field(True, description="one vocabulary for both languages")
    lowercase: bool = False
    new: bool | None = Field(
        None,
        description="with `model.from`: true trains a new vocabulary, false keeps the run's; "
        "none: new where a key given here differs from the run's",
    )

    @field_validator("vocab_size")
    @classmethod
    def _room_for_bytes(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("kind") == "bpe" and value < 260:
            raise ValueError("byte-level BPE needs at least 260")
        return value


class OptimizerConfig(Section):
    kind: Literal["adam", "adamw"] = "adam"
    lr: float = Field(0.0007, gt=0, allow_inf_nan=False, description="the schedule's peak")
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = Field(1e-9, gt=0)
    weight_decay: float = Field(0.0, ge=0)

    @field_validator("betas")
    @classmethod
    def _shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("each is a number from 0 to below 1")
        return value


class ScheduleConfig(Section):
    kind: Literal["noam", "cosine", "linear", "constant"] = "noam"
    warmup_steps: int = Field(4000, ge=0)


NEVER = 1_000_000_000  # a patience that does not end


class EarlyStoppingConfig(Section):
    metric: Literal[
        "bleu", "chrf", "nll", "none", "accuracy", "f1", "pearson", "spearman", "exact_match"
    ] = "nll"
    patience: int = Field(8, ge=1, description="validations without a better value")


def _number_or_auto(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError("a whole number of at least 1 is needed, or auto")


BatchTokens = Annotated[int | Literal["auto"], BeforeValidator(_number_or_auto)]


class LoraConfig(Section):
    rank: int = Field(8, ge=1, description="of what is added to each matrix")
    alpha: float = Field(16.0, gt=0, description="what is added is multiplied by alpha / rank")

    @property
    def scale(self) -> float:
        """alpha / rank."""
        return self.alpha / self.rank


class TrainingConfig(Section):
    batch_tokens: BatchTokens = Field(
        4096, description="target tokens with padding, all devices; auto: see docs/planning.md"
    )
    max_steps: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    max_epochs: float | None = Field(None, gt=0)
    max_tokens: int | None = Field(None, ge=1, description="target tokens, without padding")
    accumulate: int = Field(1, ge=1)
    clip: float | None = Field(1.0, gt=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    threads: int | None = Field(None, ge=1)
    sharding: Literal["none", "fsdp"] = Field(
        "none", description="what several processes keep: all of the model each, or a part each"
    )
    lora: LoraConfig | None = Field(
        None, description="with `model.from`: learn additions of low rank to the blocks' matrices"
    )
    recompute: bool = Field(
        False, description="keep less of the blocks for going back, and compute it again: slower"
    )
    compile: bool = Field(
        False, description="torch.compile what a step computes; see docs/devices.md"
    )
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    validate_every: int = Field(1000, ge=1, description="steps")
    log_every: int = Field(1, ge=1, description="steps between lines of metrics.jsonl")
    keep: int = Field(3, ge=1, description="checkpoints")
    average_last: int = Field(1, ge=1, description="checkpoints averaged into the final weights")
    tensorboard: bool = Field(
        False,
        description="also write TensorBoard events into the run's `tensorboard/` (extra: track)",
    )
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()

    @property
    def tokens_together(self) -> int:
        """batch_tokens, once it is a number; raises UsageError while it is auto."""
        if isinstance(self.batch_tokens, str):
            raise UsageError("training.batch_tokens: auto becomes a number when training begins")
        return self.batch_tokens

    @model_validator(mode="after")
    def _ends(self) -> TrainingConfig:
        ends = (self.max_steps, self.max_minutes, self.max_epochs, self.max_tokens)
        if all(end is None for end in ends):
            raise ValueError("say when to stop: max_steps, max_minutes, max_epochs or max_tokens")
        return self


MOST_ALPHA = 10.0  # beyond, the longest hypothesis wins in any case, and powers overflow


class DecodingConfig(Section):
    beam: int = Field(4, ge=1)
    alpha: float = Field(0.6, ge=0, le=MOST_ALPHA, description="GNMT length penalty; 0 is none")
    max_length: int | None = Field(None, ge=1, description="tokens; default: source length + 50")
    batch_tokens: int = Field(
        4096, ge=1, description="source tokens, times the beam, decoded together; less takes less"
    )


class Recipe(Section):
    """A whole recipe; `model` and `data` are checked by the model kind and the task themselves."""

    name: str = Field(pattern=r"^[\w.+-]+$")
    seed: int = Field(1, ge=0, lt=2**63)
    task: str
    model: SerializeAsAny[Section]
    data: SerializeAsAny[Section]
    tokenizer: TokenizerConfig = TokenizerConfig()
    training: TrainingConfig
    decoding: DecodingConfig = DecodingConfig()

    @model_validator(mode="after")
    def _lora_needs_from(self) -> Recipe:
        model, training = self.model, self.training
        if training.lora is not None and isinstance(model, ModelSection) and not model.from_:
            raise ValueError("training.lora adds to the weights of model.from, which is not given")
        return self

    @model_validator(mode="after")
    def _sharding_goes_alone(self) -> Recipe:
        training = self.training
        if training.lora is not None and training.sharding != "none":
            raise ValueError("training.lora does not go with training.sharding; leave one out")
        if training.compile and training.sharding != "none":
            raise ValueError("training.compile does not go with training.sharding; leave one out")
        return self

    @model_validator(mode="after")
    def _metric_is_the_tasks(self) -> Recipe:
        metric = self.training.early_stopping.metric
        if not isinstance(self.data, DataSection) or metric in ("nll", "none", *self.data.metrics):
            return self
        known = ", ".join([*self.data.metrics, "nll", "none"])
        raise ValueError(
            f"training.early_stopping.metric: the task {self.task} has no {metric}; it has {known}"
        )

    @model_validator(mode="after")
    def _new_needs_from(self) -> Recipe:
        model = self.model
        if self.tokenizer.new is not None and isinstance(model, ModelSection) and not model.from_:
            raise ValueError("tokenizer.new is about model.from, which is not given")
        return self

    def as_yaml(self) -> str:
        """The recipe fully resolved: every default written out, paths absolute."""
        return as_yaml(self.model_dump(mode="json"))


def as_yaml(values: Mapping[str, Any]) -> str:
    """A recipe's values as a recipe is written."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def diff(old: Recipe, new: Recipe) -> dict[str, str]:
    """Where two recipes differ: `path: old -> new` by path."""
    found = _diff(old.model_dump(mode="json"), new.model_dump(mode="json"), "")
    return {path: f"{path}: {before!r} -> {after!r}" for path, before, after in found}


def _diff(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    prefix = f"{path}." if path else ""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from _diff(old.get(key), new.get(key), f"{prefix}{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _diff(before, after, path if len(old) == 1 else f"{prefix}{index}")
    elif old != new:
        yield path, old, new


def data_files(recipe: Recipe) -> dict[str, str]:
    """Every file that a recipe's data section names, by the key that names it."""
    return dict(_files(recipe.data, "data"))


def _files(section: Section, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        several = value if isinstance(value, list) else [value]
        for index, one in enumerate(several):
            path = f"{prefix}.{name}" if len(several) == 1 else f"{prefix}.{name}.{index}"
            if isinstance(one, Section):
                yield from _files(one, path)
            elif isinstance(one, str) and _is_path(field.annotation, field.metadata):
                yield path, one


def _is_path(annotation: Any, metadata: list[Any]) -> bool:
    """Whether a field's type is, or holds, a DataPath."""
    inner = get_args(annotation)
    return any(isinstance(m, AfterValidator) and m.func is _resolve for m in metadata) or any(
        _is_path(one, list(inner)) for one in inner
    )
