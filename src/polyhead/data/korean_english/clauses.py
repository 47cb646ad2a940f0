"""Clauses in both languages: verb phrases, what is stacked on them, and how they are finished."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from polyhead.data.korean_english.conjugation import conjugate, honorific
from polyhead.data.korean_english.english import gerund, participle, past, third_person
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.people import Level, Person, particle_after

Pairing = tuple[str, str]

_NOT = {
    "can": "can't", "could": "couldn't", "will": "won't", "should": "shouldn't", "must": "must not",
    "may": "may not", "do": "don't", "does": "doesn't", "did": "didn't", "is": "isn't",
    "are": "aren't", "was": "wasn't", "were": "weren't", "am": "am not", "have": "haven't",
    "has": "hasn't",
}  # fmt: skip
_OPPOSITE = {"있다": "없다", "알다": "모르다"}
_HONOURED_INSIDE = (" 계획|이다", " 예정|이다", " 수 있다", " 적이 있다", " 필요가 있다")
_BE = {"past": {"I": "was", "he": "was"}, "present": {"I": "am", "he": "is"}}


@dataclass(frozen=True, slots=True)
class VerbPhrase:
    """A predicate without subject and time.

    `before` and `verb` are Korean (what precedes, and the dictionary form); `head`, `tail`, `mid`
    are English (the word that inflects, what follows, a frequency adverb). `aux` is an English
    modal or "have"; `adjective` says that the Korean plain form ends in 다 alone.
    """

    before: str
    verb: str
    head: str
    tail: str
    adjective: bool = False
    mid: str = ""
    aux: str = ""
    willed: bool = True
    lasting: bool = False
    habitual: bool = False
    giving: bool = False

    @property
    def base(self) -> str:
        """Returns the English bare infinitive with what follows."""
        return spaced(self.head, self.tail)

    @property
    def ing(self) -> str:
        """Returns the English -ing form with what follows."""
        return spaced(gerund(self.head), self.tail)

    @property
    def participle(self) -> str:
        """Returns the English past participle with what follows."""
        return spaced(participle(self.head), self.tail)


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause whose Korean still lacks its ending.

    `verb` is the Korean dictionary phrase with tense in it; `operator` and `rest` make the English
    question, `statement` is the English predicate after its subject.
    """

    verb: str
    adjective: bool
    honoured: bool
    operator: str
    rest: str
    statement: str


def spaced(*parts: str) -> str:
    """Returns the parts that are not empty, joined by spaces."""
    return " ".join(part for part in parts if part)


def verb_phrase(before: str, verb: str, english: str, tail: str = "", **more: object) -> VerbPhrase:
    """Returns a verb phrase from an English verb of one or more words."""
    head, _, particle = english.partition(" ")
    return VerbPhrase(before, verb, head, spaced(particle, tail), **more)  # type: ignore[arg-type]


def _english(
    person: Person, phrase: VerbPhrase, tense: str, negative: bool
) -> tuple[str, str, str]:
    agreement = person.agreement
    plural = agreement in ("you", "we", "they")
    if phrase.aux:
        aux = "could" if phrase.aux == "can" and tense == "past" else phrase.aux
        operator = "has" if phrase.aux == "have" and agreement == "he" else aux
        rest = phrase.participle if phrase.aux == "have" else phrase.base
    elif tense == "future":
        operator, rest = "will", phrase.base
    elif phrase.head == "be":
        operator = ("were" if tense == "past" else "are") if plural else _BE[tense][agreement]
        rest = phrase.tail
    else:
        operator = "did" if tense == "past" else "does" if agreement == "he" else "do"
        rest = phrase.base
    mid_rest = spaced(phrase.mid, rest)
    if negative:
        return _NOT[operator], rest, spaced(_NOT[operator], mid_rest)
    if operator not in ("do", "does", "did"):
        return operator, mid_rest, spaced(operator, mid_rest)
    forms = {"do": phrase.head, "does": third_person(phrase.head), "did": past(phrase.head)}
    return operator, mid_rest, spaced(phrase.mid, forms[operator], phrase.tail)


def negated(verb: str, adjective: bool, short: bool) -> str:
    """Returns the Korean negation: 없다 for 있다, 안 before short verbs, else -지 않다."""
    head, space, last = verb.rpartition(" ")
    if last in _OPPOSITE:
        return f"{head}{space}{_OPPOSITE[last]}"
    if last.endswith("|이다"):
        return f"{head}{space}{attach(last[:-3], '이/가')} 아니다"
    if short and len(last) <= 3 and not last.endswith("하다") and head[-1:] not in ("어", "해"):
        return f"{head}{space}안 {last}"
    return f"{conjugate(verb, '지')} 않다"


def clause(
    person: Person, phrase: VerbPhrase, tense: str, negative: bool = False, short: bool = False
) -> Clause:
    """Returns the phrase with subject, tense (past, present, future) and polarity settled."""
    honoured = person.honorific and not phrase.verb.endswith(_HONOURED_INSIDE)
    verb = honorific(phrase.verb) if honoured else phrase.verb
    adjective = phrase.adjective
    if negative:
        verb = negated(verb, adjective, short)
        honoured = False
        adjective = adjective or verb.endswith("없다")
    if tense == "past":
        verb, adjective = conjugate(verb, "았다"), True
    elif tense == "future":
        verb, adjective, honoured = conjugate(verb, "을") + " 거|이다", True, False
    operator, rest, statement = _english(person, phrase, tense, negative)
    honoured = honoured and tense == "present"
    return Clause(verb, adjective, honoured, operator, rest, statement)


def finish(clause: Clause, level: Level, question: bool = False, curt: bool = False) -> str:
    """Returns the Korean predicate with the ending of the speech level."""
    verb = clause.verb
    if level is Level.FORMAL:
        verb = verb[:-4] + "것|이다" if verb.endswith("거|이다") else verb
        return conjugate(verb, "습니까" if question else "습니다")
    if level is Level.POLITE:
        if clause.honoured and verb.endswith("시다"):
            return verb[:-2].replace("|", "") + "세요"
        return conjugate(verb, "아요")
    if level is Level.CASUAL or question:
        if verb.endswith("거|이다"):
            return conjugate(verb, "아")
        return conjugate(verb, "니") if question and curt else conjugate(verb, "아")
    verb = verb[:-4] + "것|이다" if verb.endswith("거|이다") else verb
    return conjugate(verb, "다" if clause.adjective else "는다")


def own(text: str, person: Person) -> str:
    """Returns the English text with the subject's possessive filled in."""
    return text.replace("OWN", person.own) if "OWN" in text else text


# --- what is stacked on a verb phrase: each returns a new verb phrase ---


def _stack(phrase: VerbPhrase, person: Person, ending: str, auxiliary: str) -> str:
    verb = honorific(phrase.verb) if person.honorific else phrase.verb
    return conjugate(verb, ending) + auxiliary


def wrap(
    phrase: VerbPhrase, verb: str, head: str, tail: str, adjective: bool = True, aux: str = ""
) -> VerbPhrase:
    """Returns the phrase with a new Korean verb and English head around it."""
    return replace(phrase, verb=verb, head=head, tail=tail, adjective=adjective, aux=aux, mid="")


def progressive(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -고 있다, be -ing."""
    return wrap(phrase, conjugate(phrase.verb, "고") + " 있다", "be", phrase.ing)


def wanting(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -고 싶다, of a third person -고 싶어 하다, want to."""
    stem = conjugate(phrase.verb, "고")
    if person.agreement in ("I", "you", "we"):
        return wrap(phrase, f"{stem} 싶다", "want", f"to {phrase.base}")
    return wrap(phrase, f"{stem} 싶어 하다", "want", f"to {phrase.base}", adjective=False)


def obliged(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -아야 하다, have to."""
    return wrap(
        phrase, conjugate(phrase.verb, "아야") + " 하다", "have", f"to {phrase.base}", False
    )


def able(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -을 수 있다, can."""
    return wrap(
        phrase, _stack(phrase, person, "을", " 수 있다"), phrase.head, phrase.tail, aux="can"
    )


def intending(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -으려고 하다, be going to."""
    return wrap(
        phrase, conjugate(phrase.verb, "으려고") + " 하다", "be", f"going to {phrase.base}", False
    )


def planning(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -을 계획이다, plan to."""
    return wrap(phrase, _stack(phrase, person, "을", " 계획|이다"), "plan", f"to {phrase.base}")


def scheduled(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -을 예정이다, be scheduled to."""
    return wrap(
        phrase, _stack(phrase, person, "을", " 예정|이다"), "be", f"scheduled to {phrase.base}"
    )


def deciding(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -기로 하다, decide to."""
    return wrap(
        phrase, conjugate(phrase.verb, "기로") + " 하다", "decide", f"to {phrase.base}", False
    )


def trying(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -으려고 노력하다, try to."""
    verb = conjugate(phrase.verb, "으려고") + " 노력하다"
    return wrap(phrase, verb, "try", f"to {phrase.base}", False)


def beginning(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -기 시작하다, begin to."""
    return wrap(
        phrase, conjugate(phrase.verb, "기") + " 시작하다", "begin", f"to {phrase.base}", False
    )


def knowing_how(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -을 줄 알다, know how to."""
    return wrap(
        phrase, conjugate(phrase.verb, "을") + " 줄 알다", "know", f"how to {phrase.base}", False
    )


def needing(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -을 필요가 있다, need to."""
    return wrap(phrase, conjugate(phrase.verb, "을") + " 필요가 있다", "need", f"to {phrase.base}")


def experienced(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -은 적이 있다, have done."""
    verb = _stack(phrase, person, "은", " 적이 있다")
    return wrap(phrase, verb, phrase.head, phrase.tail, aux="have")


def liking(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -는 것을 좋아하다, like -ing."""
    return wrap(phrase, conjugate(phrase.verb, "는") + " 것을 좋아하다", "like", phrase.ing, False)


def disliking(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -는 것을 싫어하다, hate -ing."""
    return wrap(phrase, conjugate(phrase.verb, "는") + " 것을 싫어하다", "hate", phrase.ing, False)


def promising(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -기로 약속하다, promise to."""
    return wrap(
        phrase, conjugate(phrase.verb, "기로") + " 약속하다", "promise", f"to {phrase.base}", False
    )


def forgetting(phrase: VerbPhrase, person: Person) -> VerbPhrase:
    """Returns -는 것을 잊다, forget to."""
    return wrap(
        phrase, conjugate(phrase.verb, "는") + " 것을 잊다", "forget", f"to {phrase.base}", False
    )


# --- sentences out of clauses ---------------------------------------------------------------------


def sentence(korean: Sequence[str], english: Sequence[str], mark: str = ".") -> tuple[str, str]:
    """Returns both sides joined, the English with a capital and both with the mark."""
    left = " ".join(part for part in korean if part)
    right = " ".join(part for part in english if part)
    return left + mark, right[0].upper() + right[1:] + mark


def topic(person: Person, pair: str = "은/는") -> str:
    """Returns the Korean subject or topic, empty where it is unsaid."""
    return particle_after(person, pair)
