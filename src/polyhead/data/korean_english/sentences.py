"""Statements, requests, advice and suggestions of one clause."""

from dataclasses import replace

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import Pairing, VerbPhrase, finish, own, sentence, topic
from polyhead.data.korean_english.conjugation import conjugate, honorific
from polyhead.data.korean_english.deeds import actor, call_out, clashes, deed, mood_of, order
from polyhead.data.korean_english.people import Draw, Level, Person, hearer, speaker
from polyhead.data.korean_english.times import adverbial, deadline

_FREQUENCY = (
    ("항상", "always"),
    ("자주", "often"),
    ("가끔", "sometimes"),
    ("보통", "usually"),
    ("때때로", "occasionally"),
)


def statement(d: Draw) -> Pairing | None:
    """Returns somebody doing something, in any tense and mood."""
    scene, phrase = deed(d, d.choice((0, 1, 1, 2)))
    person = actor(d, scene, phrase)
    if clashes(person, phrase):
        return None
    base = phrase
    phrase, tense, wanted = mood_of(d, phrase, person)
    usual = ("", "")
    if phrase is base and tense == "present" and base.lasting and d.chance(0.5):
        usual, wanted = d.choice(_FREQUENCY), "none"
        phrase = replace(phrase, mid=usual[1])
    when = adverbial(d, wanted, 1.0 if phrase is base and tense == "present" else 0.6)
    negative = not usual[0] and d.chance(0.16) and _may_deny(phrase, base)
    made = c.clause(person, phrase, tense, negative, short=phrase is base and d.chance(0.5))
    first, second = order(d, when.korean, topic(person))
    korean = (first, second, usual[0], phrase.before, finish(made, d.level))
    return sentence(korean, (person.english, own(made.statement, person), when.english))


def _may_deny(phrase: VerbPhrase, base: VerbPhrase) -> bool:
    endings = ("싶다", "싶어 하다", "수 있다", "줄 알다", "필요가 있다", "적이 있다", "좋아하다")
    return phrase is base or phrase.verb.endswith(endings)


def request(d: Draw) -> Pairing | None:
    """Returns a command, request, prohibition, permission, advice, suggestion or offer."""
    _scene, phrase = deed(d, d.choice((0, 1, 1, 2)), willed=True)
    if d.level is Level.PLAIN:
        d.level = Level.CASUAL
    kind = d.choice(tuple(_REQUESTS))
    endings, opening, mark = _REQUESTS[kind]
    person = hearer(d)
    if kind in ("let's", "shall we"):
        person = Person("", "we", "us", "our", "we")
    if kind == "offer":
        person = speaker(d)
        if "alone" in phrase.tail:
            return None
    when = adverbial(d, "near", 0.5)
    if d.chance(0.12) and kind in ("command", "please", "could you"):
        when = deadline(d)
    call = call_out(d, 0.25)
    english = opening.replace("BASE", own(phrase.base, person)).replace(
        "ING", own(phrase.ing, person)
    )
    ending = _ending(phrase.verb, kind, endings, d)
    who = {"offer": "제가" if d.humble else "내가"}.get(kind, "")
    first, second = (call[0], when.korean) if call[0] else ("", when.korean)
    text = english.rstrip("?")
    return sentence(
        (first, second, who, phrase.before, ending),
        (call[1], _after_call(call, text), when.english),
        mark,
    )


def _after_call(call: tuple[str, str], text: str) -> str:
    if not call[0]:
        return text
    return text if text.startswith("I ") else text[0].lower() + text[1:]


def _ending(verb: str, kind: str, endings: tuple[str, str, str], d: Draw) -> str:
    ending = endings[{Level.FORMAL: 0, Level.POLITE: 1, Level.CASUAL: 2}[d.level]]
    if kind == "command" and d.humble:
        return honorific(verb)[:-2] + ending
    return conjugate(verb, ending)


_REQUESTS: dict[str, tuple[tuple[str, str, str], str, str]] = {
    "command": (("십시오", "세요", "아"), "BASE", "."),
    "please": (("아 주십시오", "아 주세요", "아 줘"), "please BASE", "."),
    "could you": (("아 주시겠습니까", "아 주시겠어요", "아 줄래"), "could you BASE", "?"),
    "don't": (("지 마십시오", "지 마세요", "지 마"), "don't BASE", "."),
    "must not": (("으면 안 됩니다", "으면 안 돼요", "으면 안 돼"), "you must not BASE", "."),
    "may": (("아도 됩니다", "아도 돼요", "아도 돼"), "you may BASE", "."),
    "may I": (("아도 됩니까", "아도 돼요", "아도 되니"), "may I BASE", "?"),
    "should": (("는 것이 좋습니다", "는 게 좋아요", "는 게 좋아"), "you should BASE", "."),
    "let's": (("읍시다", "도록 해요", "자"), "let's BASE", "."),
    "shall we": (("으시겠습니까", "을까요", "을까"), "shall we BASE", "?"),
    "how about": (("는 것이 어떻습니까", "는 게 어때요", "는 게 어때"), "how about ING", "?"),
    "offer": (("아 드리겠습니다", "아 드릴게요", "아 줄게"), "I will BASE for you", "."),
    "would you like": (("고 싶으십니까", "고 싶으세요", "고 싶니"), "do you want to BASE", "?"),
}
