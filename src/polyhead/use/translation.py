"""A trained translation run: translate, score, evaluate, explain, align, look at attention."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from torch import nn

from polyhead.data.corpus import Corpus
from polyhead.data.pairs import Pairs, PairSource, read_pairs
from polyhead.data.tokenizers import END_ID, Explanation
from polyhead.decoding.ensemble import Ensemble
from polyhead.decoding.sampling import check_seed
from polyhead.decoding.search import Hypothesis
from polyhead.decoding.translate import Options, translate_ids
from polyhead.errors import UsageError
from polyhead.evaluation.against import against as compare
from polyhead.evaluation.against import check_same_sentences, compares_without_case
from polyhead.evaluation.damage import judge_damaged, parse_damages
from polyhead.evaluation.report import Judged, report_of
from polyhead.inspection.alignment import alignments
from polyhead.inspection.asked import check_picture, tell_picture
from polyhead.inspection.maps import AttentionMaps
from polyhead.inspection.translation import translation_attention
from polyhead.runs.card import keep_scores
from polyhead.runs.folder import Run
from polyhead.tasks.translation import Task
from polyhead.use.options import options_for
from polyhead.use.shared import check_texts, export_run, no_such_method, rival

if TYPE_CHECKING:
    from polyhead.export.ctranslate2_engine import CTranslate2Engine
    from polyhead.export.verify import Exported

CARD = ("beam", "alpha")  # options of decoding that the command on a model card has
WINDOW = 4096  # lines translated together: sorted by length, then put back


class Translator:
    """A trained translation run: translate, score, evaluate, explain, look at attention.

    >>> import polyhead
    >>> translator = polyhead.load("runs/ko-en")
    >>> [text] = translator.translate(["어제 친구를 만났어요."], beam=2)
    >>> isinstance(text, str)
    True
    >>> [score] = translator.score(["어제 친구를 만났어요."], ["I met a friend yesterday."])
    >>> score < 0
    True
    >>> maps = translator.attention("어제 친구를 만났어요.", "I met a friend yesterday.")
    >>> maps.weights["cross"].shape[2] == len(maps.tokens["target"])
    True
    >>> maps.save("attention.json").name
    'attention.json'
    >>> translator.explain("친구").unknown
    []
    >>> [drawn] = translator.translate(["친구"], nbest=3, sample=True, top_p=0.9, seed=7)
    >>> len(drawn)
    3
    """

    def __init__(self, run: Run, task: Task, model: nn.Module, precision: str = "fp32"):
        self.run, self.task, self.model, self.precision = run, task, model, precision
        self.engine: CTranslate2Engine | None = None  # what `search` uses instead of the model

    def options(self, **changes: Any) -> Options:
        """The run's own decoding options with changes, named as on the command line."""
        encode = self.task.target_tokenizer.encode
        return options_for(self.run.recipe.decoding, encode, **changes)

    @overload
    def translate(self, texts: Sequence[str], *, nbest: int, **options: Any) -> list[list[str]]: ...
    @overload
    def translate(
        self, texts: Sequence[str], *, nbest: None = None, **options: Any
    ) -> list[str]: ...
    def translate(
        self, texts: Sequence[str], *, nbest: int | None = None, **options: Any
    ) -> list[str] | list[list[str]]:
        """The best translation of each text; with `nbest` a list of so many, best first.

        An empty text gives an empty one, or no n-best. Options, as on the command line: beam,
        alpha, max_length, prefix, no_repeat_ngram, and sample with temperature, top_k, top_p, seed.
        See `search` for scores, `alternatives` for other ways to go on.
        """
        check_texts(texts)
        found = self.search(texts, self.options(nbest=nbest, **options))
        if nbest is None:
            return [self.text(hypotheses) for hypotheses in found]
        return [[self.text([one]) for one in hypotheses[:nbest]] for hypotheses in found]

    def alternatives(
        self, texts: Sequence[str], count: int, prefix: str = "", **options: Any
    ) -> list[list[str]]:
        """Up to `count` translations of each text that begin with `prefix` and then part.

        >>> import polyhead
        >>> translator = polyhead.load("runs/ko-en")
        >>> [found] = translator.alternatives(["어제 친구를 만났어요."], 3, prefix="I")
        >>> len(found), all(text.startswith("I") for text in found)
        (3, True)
        """
        check_texts(texts)
        chosen = self.options(**options, prefix=prefix, alternatives=max(1, count))
        found = self.search(texts, chosen)
        return [[self.text([hypothesis]) for hypothesis in group] for group in found]

    def search(
        self,
        texts: Iterable[str],
        options: Options,
        *,
        first: int = 1,
        say: Callable[[str], None] = lambda text: None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Iterator[list[Hypothesis]]:
        """The hypotheses of each text, best first, as a stream: any number of texts.

        A text of more tokens than the model takes is cut, and `say` hears which line; the first
        text is line `first`.
        """
        limit = self.run.recipe.model.max_length  # type: ignore[attr-defined]
        texts = iter(texts)
        line = first
        while window := list(islice(texts, WINDOW)):
            filled = [text if text.strip() else "" for text in window]  # blank counts as empty
            rows = self.task.source_tokenizer.encode_all(filled)
            for number, row in enumerate(rows, start=line):
                if len(row) + 1 > limit:
                    say(f"line {number}: {len(row)} tokens, cut to the model's {limit - 1}")
                    del row[limit - 1 :]
                row.append(END_ID)
            line += len(window)
            target = self.task.target_tokenizer
            if self.engine is None:
                yield from translate_ids(self.model, rows, target, options, progress)  # type: ignore[arg-type]
            else:
                yield from self.engine.translate_ids(rows, options, progress)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        no_such_method(name, self)

    def text(self, hypotheses: list[Hypothesis]) -> str:
        """The text of the best hypothesis; nothing for none."""
        return self.task.target_tokenizer.decode(hypotheses[0].tokens) if hypotheses else ""

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[float]:
        """log p(target | source) of each pair, in nats, the end token included."""
        return [score for score, _ in self.score_tokens(sources, targets)]

    def score_tokens(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        say: Callable[[str], None] = lambda text: None,
    ) -> list[tuple[float, int]]:
        """(log-probability, target tokens with the end) of each pair, by forced decoding.

        A text of more tokens than the model takes is cut, and `say` hears which line.
        """
        corpus = self._given(sources, targets, say)
        scores = self.task.log_probabilities(self.model, corpus)
        return list(zip(scores.tolist(), corpus.examples.targets.lengths.tolist(), strict=True))

    def _given(
        self, sources: Sequence[str], targets: Sequence[str], say: Callable[[str], None]
    ) -> Corpus:
        """Texts as encoded pairs, cut to what the model takes; raises UsageError for faults."""
        check_texts(sources)
        check_texts(targets)
        if len(sources) != len(targets):
            raise UsageError(
                f"{len(sources)} sources but {len(targets)} targets; one each is needed"
            )
        return self.task.encode_cut([_as_pairs(sources, targets)], say)

    def align(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        say: Callable[[str], None] = lambda text: None,
    ) -> list[list[tuple[int, int]]]:
        """Links (source word, target word) of each pair, by forced decoding; words from 0.

        Words are cut at white space. A text of more tokens than the model takes is cut, and `say`
        hears which line. Raises UsageError for a model without attention to its source.
        """
        self._check_alone("words are aligned")
        corpus = self._given(sources, targets, say)
        return alignments(
            self.model,
            corpus.examples,
            [self.task.source_tokenizer.words(text) for text in sources],
            [self.task.target_tokenizer.words(text) for text in targets],
        )

    def evaluate(
        self,
        split: str | None = None,
        source: str | Path | None = None,
        reference: str | Path | None = None,
        *,
        against: str | Path | Run | Translator | None = None,
        corrupt: Sequence[str] = (),
        seed: int = 1,
        picture: str | Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> dict[str, Any]:
        """The report of a split of the recipe (default: test) or of two files, as `--json` prints.

        `against` another run, on the same sentences; `corrupt` their sources by KIND=RATE,RATE,…
        (truncate, omit, swap, shift; drawn by `seed`) and draw the scores into a `picture` (.png).
        A text of more tokens than the model takes is cut, and `say` hears which line.

        >>> import polyhead
        >>> translator = polyhead.load("runs/ko-en")
        >>> report = translator.evaluate("valid", against="runs/ko-en", corrupt=["omit=0.3"])
        >>> report["against"]["difference"]["bleu"]["value"]
        0.0
        >>> [(one["kind"], one["rate"]) for one in report["corrupt"]]
        [('omit', 0.3)]
        """
        if split is not None and source is not None:
            raise UsageError("--split and --source are two answers to one question; leave one out")
        split = split or "test"
        damages = parse_damages(corrupt)
        check_seed(seed)
        if picture is not None:
            check_picture(picture)
            if not damages:
                raise UsageError("a picture of damage needs damages, for example omit=0.1,0.2")
        files = _read_files(source, reference)  # once: they may be pipes
        judged = [self._judged(split, files, say, options)]
        if against is not None:
            batch_tokens = self.run.recipe.decoding.batch_tokens
            other = rival(self, against, batch_tokens=batch_tokens)
            judged.append(other._judged(split, files, say, options))
            check_same_sentences(*judged)
        lowercase = compares_without_case(*judged)
        report, hypotheses = report_of(judged[0], lowercase=lowercase)
        if source is None and split == "test" and not isinstance(self.model, Ensemble):
            self._keep(report, judged[0].options, lowercase, options, say)
        if against is not None:
            report["against"] = compare(judged[0], hypotheses, judged[1])
        if damages:
            for one, part in zip(judged, (report, report.get("against", {})), strict=False):
                part["corrupt"] = judge_damaged(one, damages, seed=seed, lowercase=lowercase)
        if picture is not None:
            from polyhead.inspection.curves import save_damage_picture

            tell_picture(partial(save_damage_picture, report, picture), say)
        return report

    def _judged(
        self,
        split: str,
        files: Pairs | None,
        say: Callable[[str], None],
        options: Mapping[str, Any],
    ) -> Judged:
        if self.engine is not None:
            raise UsageError("evaluation is by the engine torch: load the run without another one")
        if files is not None:
            corpus, split = self.task.judged_corpus([files], say), "files"
        else:
            corpus = self.task.read(split, say)
        name = str(self.run.path)
        return Judged(self.task, self.model, corpus, self.options(**options), name, split)

    def export(
        self,
        to: Literal["ctranslate2", "huggingface", "onnx"],
        out: str | Path,
        *,
        quantization: Literal["float32", "int8"] = "float32",
    ) -> Exported:
        """Write the run for another program; what comes out was loaded there and compared.

        Raises UsageError where `out` exists or the format cannot hold the model, MissingExtraError
        without the other program, PolyheadError where its outputs are not the run's.

        >>> import polyhead
        >>> translator = polyhead.load("runs/ko-en")
        >>> made = translator.export("ctranslate2", "exported", quantization="int8")
        >>> made.path.name, made.difference < 0.5
        ('exported', True)
        """
        self._check_alone("a format is written")
        return export_run(self.run, to, out, quantization)

    def _keep(
        self,
        report: dict[str, Any],
        chosen: Options,
        lowercase: bool,
        given: Mapping[str, Any],
        say: Callable[[str], None],
    ) -> None:
        """Write scores onto the card, if its command gives them again; else say why not."""
        beyond = sorted(key for key in given.keys() - set(CARD) if given[key] is not None)
        if lowercase != self.run.recipe.tokenizer.lowercase:
            say("the other run knows no upper case: these scores are not the model card's")
        elif beyond:
            say(f"the scores depend on {', '.join(beyond)}: they are not the model card's")
        else:
            settings = {name: getattr(chosen, name) for name in CARD}
            keep_scores(self.run, report, say, settings | {"precision": self.precision})

    def explain(self, text: str) -> Explanation:
        """How the source tokenizer cuts a text."""
        return self.task.source_tokenizer.explain(text)

    def attention(self, text: str, target: str | None = None) -> AttentionMaps:
        """Every attention weight while `text` is translated (as `target`, if given)."""
        self._check_alone("attention is looked at")
        source_ids = self.task.source_tokenizer.encode(text)
        if not text.strip():
            raise UsageError("there is no text to look at")
        if target is None:
            best = next(self.search([text], self.options()))
            target_ids = best[0].tokens if best else []
        else:
            target_ids = self.task.target_tokenizer.encode(target)
        limit = self.run.recipe.model.max_length  # type: ignore[attr-defined]
        if max(len(source_ids), len(target_ids)) >= limit:
            raise UsageError(
                f"{len(source_ids)} source and {len(target_ids)} target tokens are more than the "
                f"model's {limit - 1}: look at a shorter text"
            )
        return translation_attention(
            self.model,
            self.task.source_tokenizer,
            self.task.target_tokenizer,
            source_ids,
            target_ids,
            title=self.run.recipe.name,
        )

    def _check_alone(self, what: str) -> None:
        if isinstance(self.model, Ensemble):
            raise UsageError(f"{what} for one run at a time; {self.run.path} are several")

    def draw_positions(self, path: str | Path, count: int = 128) -> Path:
        """A picture (.png) of the encodings of the first positions, and how alike they are.

        Raises UsageError for a model without positions.
        """
        self._check_alone("positions are drawn")
        config = self.run.recipe.model
        if "positions" not in type(config).model_fields or config.positions == "none":  # type: ignore[attr-defined]
            raise UsageError("this model has no positional encodings to draw")
        positions = self.model.positions
        table = positions.table[:count].detach().float().cpu().numpy()  # type: ignore[union-attr, index]
        title = f"{self.run.recipe.name}: {positions.kind} positions"  # type: ignore[union-attr]
        from polyhead.inspection.positions import save_positions_picture

        return save_positions_picture(table, path, title=title)


def _as_pairs(sources: Sequence[str], targets: Sequence[str]) -> Pairs:
    count = len(sources)
    return Pairs(list(sources), list(targets), list(range(1, count + 1)), [""] * count, "input")


def _read_files(source: str | Path | None, reference: str | Path | None) -> Pairs | None:
    """Sentences to judge on that stand in two files of one's own."""
    if (source is None) != (reference is None):
        raise UsageError("source and reference files go together")
    if source is None:
        return None
    spec = PairSource.model_validate(
        {"source": str(source), "target": str(reference)}, context={"folder": Path()}
    )
    return read_pairs(spec)


Model = Translator
