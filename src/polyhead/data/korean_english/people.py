"""Who speaks, who is spoken to and of: persons with their names, titles and pronouns."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from polyhead.data.korean_english.english import plural
from polyhead.data.korean_english.hangul import attach, final_sound
from polyhead.data.korean_english.lexicon import Lexicon

T = TypeVar("T")


class Level(Enum):
    """The four speech levels used: 합쇼체, 해요체, 해체 and 해라체."""

    FORMAL = "formal"
    POLITE = "polite"
    CASUAL = "casual"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody: Korean without particle, English in its cases; agreement I, you, he, we, they."""

    korean: str
    english: str
    objective: str
    own: str
    agreement: str
    honorific: bool = False
    gendered: bool = True
    dropped: bool = False
    pronoun: str = ""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase; plural says how English verbs agree with it."""

    korean: str
    english: str
    plural: bool = False


@dataclass(frozen=True, slots=True)
class Time:
    """An adverbial of time and the tense it asks for: past, present, future or any."""

    korean: str
    english: str
    tense: str


class Draw:
    """One sentence's draws: the random source, the domain and the speech level."""

    def __init__(self, rng: random.Random, lexicon: Lexicon, domain: str) -> None:
        self.rng = rng
        self.lexicon = lexicon
        self.domain = domain
        self.level = rng.choices(tuple(Level), (30, 40, 18, 12))[0]

    def chance(self, probability: float) -> bool:
        """Returns True with the probability."""
        return self.rng.random() < probability

    def choice(self, items: Sequence[T]) -> T:
        """Returns one of the items."""
        return items[int(self.rng.random() * len(items))]

    @property
    def humble(self) -> bool:
        """Returns whether the speaker says 저 rather than 나."""
        return self.level in (Level.FORMAL, Level.POLITE)


def particle_after(person: Person, pair: str) -> str:
    """Returns the person's Korean with a subject, topic, object or other particle."""
    korean = person.korean
    if not korean:
        return ""
    if person.honorific and pair in ("은/는", "이/가", "에게"):
        return korean + {"은/는": "께서는", "이/가": "께서", "에게": "께"}[pair]
    if pair == "이/가" and korean in ("저", "나", "너"):
        return {"저": "제가", "나": "내가", "너": "네가"}[korean]
    return attach(korean, pair) if "/" in pair else korean + pair


def speaker(d: Draw, dropped: bool = False) -> Person:
    """Returns the first person singular."""
    return Person(
        "" if dropped else "저" if d.humble else "나", "I", "me", "my", "I", dropped=dropped
    )


def hearer(d: Draw) -> Person:
    """Returns the second person: unsaid with honorific verbs, or 너 among friends."""
    if d.humble:
        return Person("", "you", "you", "your", "you", honorific=True, dropped=True)
    return Person("너" if d.chance(0.7) else "", "you", "you", "your", "you")


def named(d: Draw) -> Person:
    """Returns somebody by name: 민수 씨, 지훈이 or a plain name."""
    sex = "m" if d.chance(0.5) else "f"
    korean, english = d.choice(d.lexicon.lists[f"names.{sex}"])[:2]
    if d.humble:
        korean += " 씨"
    elif d.level is Level.CASUAL and len(korean) == 2 and final_sound(korean):
        korean += "이"
    own = "his" if sex == "m" else "her"
    return Person(korean, english, english, own, "he", pronoun="he" if sex == "m" else "she")


def titled(d: Draw) -> Person:
    """Returns somebody by surname and title: 김 과장님, Manager Kim."""
    surname = d.choice(d.lexicon.lists["surnames"])
    title = d.choice([t for t in d.lexicon.lists["titles"] if d.domain in t[2]])
    english = f"{title[1]} {surname[1]}"
    return Person(f"{surname[0]} {title[0]}", english, english, "their", "he", True, gendered=False)


def relative(d: Draw) -> Person:
    """Returns a member of the speaker's family."""
    sex = "m" if d.chance(0.5) else "f"
    korean, english, flags = d.choice(d.lexicon.lists[f"kin.{sex}"])
    if d.chance(0.2):
        korean = ("저희 " if d.humble else "우리 ") + korean
    own = "his" if sex == "m" else "her"
    name = f"my {english}"
    return Person(
        korean, name, name, own, "he", flags == "h", pronoun="he" if sex == "m" else "she"
    )


def role(d: Draw, group: str, only_singular: bool = False) -> Person:
    """Returns somebody by what they are: 간호사, 그 간호사, 간호사들."""
    who = d.choice(d.lexicon.people[group])
    form = 0.0 if only_singular or who.honorific else d.rng.random()
    if who.plural or form > 0.85:
        english = who.english if who.plural else plural(who.english)
        korean = who.korean if who.plural else who.korean + "들"
        return Person(
            korean, f"the {english}", f"the {english}", "their", "they", False, True, pronoun="they"
        )
    determiner = "that" if form > 0.7 else "this" if form > 0.6 else "the"
    korean = {"that": "그 ", "this": "이 ", "the": ""}[determiner] + who.korean
    english = f"{determiner} {who.english}"
    return Person(korean, english, english, "their", "he", who.honorific, gendered=False)


_PRONOUNS = (
    ("그", "he", "him", "his", "he"),
    ("그녀", "she", "her", "her", "he"),
    ("그들", "they", "them", "their", "they"),
)


def pronoun(d: Draw) -> Person:
    """Returns he, she, they or we."""
    if d.chance(0.4):
        korean = "저희" if d.level is Level.FORMAL else "우리"
        return Person(korean, "we", "us", "our", "we", pronoun="we")
    korean, english, objective, own, agreement = d.choice(_PRONOUNS)
    return Person(korean, english, objective, own, agreement, pronoun=english)


def other(d: Draw, group: str) -> Person:
    """Returns a third person who can be a companion or recipient."""
    pick = d.rng.random()
    if pick < 0.45:
        return named(d)
    if pick < 0.7:
        return role(d, group, only_singular=True)
    if pick < 0.85 and d.domain in ("business", "medicine", "sports"):
        return titled(d)
    return relative(d)


def subject(d: Draw, group: str, gendered: bool = False) -> Person:  # noqa: PLR0911
    """Returns the subject of a statement; `gendered` asks for one who is I, he, she or they."""
    pick = d.rng.random()
    if pick < 0.24:
        return speaker(d, dropped=d.chance(0.35))
    if pick < 0.40:
        return pronoun(d)
    if pick < 0.64 or (gendered and pick < 0.8):
        return named(d)
    if d.domain != "business" and (gendered or pick < 0.76):
        return relative(d)
    if gendered:
        return named(d)
    if pick < 0.84:
        return titled(d) if d.domain != "daily_life" else named(d)
    return role(d, group)
