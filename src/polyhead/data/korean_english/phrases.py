"""People, noun phrases, times and places, each as a pair of Korean and English strings.

`OWN` in an English string stands for the possessive of the clause's subject; the clause fills it in.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from polyhead.data.korean_english.conjugation import conjugate
from polyhead.data.korean_english.english import article, number_words, ordinal_words, plural
from polyhead.data.korean_english.hangul import attach, final_sound
from polyhead.data.korean_english.lexicon import Adjective, Lexicon, Noun, Place, Scene
from polyhead.data.korean_english.numerals import counted, day_name, month_name

T = TypeVar("T")


class Level(Enum):
    """The four speech levels used: 합쇼체, 해요체, 해체 and 해라체."""

    FORMAL = "formal"
    POLITE = "polite"
    CASUAL = "casual"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody: Korean without particle, English nominative, objective, possessive; agreement I/you/he/they."""

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
    return Person("" if dropped else "저" if d.humble else "나", "I", "me", "my", "I", dropped=dropped)


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
    title = d.choice(d.lexicon.lists["titles"])
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
    return Person(korean, name, name, own, "he", flags == "h", pronoun="he" if sex == "m" else "she")


def role(d: Draw, group: str, only_singular: bool = False) -> Person:
    """Returns somebody by what they are: 간호사, 그 간호사, 간호사들."""
    who = d.choice(d.lexicon.people[group])
    form = 0.0 if only_singular or who.honorific else d.rng.random()
    if who.plural or form > 0.85:
        english = who.english if who.plural else plural(who.english)
        korean = who.korean if who.plural else who.korean + "들"
        return Person(korean, f"the {english}", f"the {english}", "their", "they", False, True, pronoun="they")
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


def subject(d: Draw, group: str, gendered: bool = False) -> Person:
    """Returns the subject of a statement; `gendered` asks for one whose possessive English knows."""
    pick = d.rng.random()
    if pick < 0.24:
        return speaker(d, dropped=d.chance(0.35))
    if pick < 0.40:
        return pronoun(d)
    if pick < 0.64 or (gendered and pick < 0.8):
        return named(d)
    if gendered or (pick < 0.76 and d.domain != "business"):
        return relative(d)
    if pick < 0.84:
        return titled(d) if d.domain != "daily_life" else named(d)
    return role(d, group)


# --- noun phrases ---------------------------------------------------------------------------------


def attributive(adjective: Adjective) -> str:
    """Returns the Korean adjective before a noun: 비싼, 맛있는, 붐비는, 오래된."""
    verbal = (adjective.verbal and not adjective.past) or adjective.korean.endswith(("있다", "없다"))
    return conjugate(adjective.korean, "는" if verbal else "은")


def determined(noun: Noun, words: str = "", determiner: str = "") -> str:
    """Returns the English noun with its own determiner (or the given one) and words between."""
    determiner = determiner or noun.determiner
    text = f"{words} {noun.english}" if words else noun.english
    if determiner == "a":
        return f"{article(text)} {text}" if noun.number == "count" else text
    if determiner == "my":
        return f"OWN {text}"
    return text if determiner == "no" else f"{determiner} {text}"


def number(d: Draw, digits: bool) -> int:
    """Returns a small count, two to ten mostly, seldom up to ninety-nine where digits may stand."""
    pick = d.rng.random()
    if pick < 0.1:
        return 1
    if pick < 0.8 or not digits:
        return d.rng.randint(2, 10)
    return d.rng.randint(11, 30)


def _measured(d: Draw, noun: Noun, count: int, words: str) -> str:
    names = {"인분": "serving", "그릇": "bowl", "잔": noun.measure or "cup", "켤레": "pair", "벌": "pair"}
    measure = names[noun.counter]
    return f"{words} {measure if count == 1 else measure + 's'} of {noun.plural}"


def countable(noun: Noun, scene: Scene) -> bool:
    """Returns whether the noun can stand with a number and a counter."""
    if noun.counter in ("번", "과목") or noun.determiner == "my" and "human" not in scene.traits:
        return False
    if noun.number == "count":
        return True
    if noun.number == "plural" and noun.counter in ("켤레", "벌"):
        return True
    return noun.counter in ("인분", "그릇", "잔")


def quantity(d: Draw, noun: Noun, before: str = "", words: str = "") -> Phrase:
    """Returns the noun counted, number and counter after it: 가방 세 개, three bags."""
    digits = d.chance(0.3)
    count = number(d, digits)
    amount = str(count) if digits else number_words(count)
    korean = f"{before}{noun.korean} {counted(count, noun.counter, digits)}"
    if noun.number != "count":
        return Phrase(korean, _measured(d, noun, count, amount), count > 1)
    text = noun.english if count == 1 else noun.plural
    return Phrase(korean, " ".join(filter(None, (amount, words, text))), count > 1)


def _owner(d: Draw) -> tuple[str, str]:
    pick = d.rng.random()
    if pick < 0.3:
        return ("제" if d.humble else "내", "my")
    if pick < 0.5:
        return ("저희" if d.level is Level.FORMAL else "우리", "our")
    if pick < 0.6:
        return ("그의", "his") if d.chance(0.5) else ("그녀의", "her")
    who = named(d)
    return f"{who.korean}의", f"{who.english}'s" if not who.english.endswith("s") else f"{who.english}'"


def noun_phrase(d: Draw, noun: Noun, scene: Scene, plain: bool = False) -> Phrase:
    """Returns the noun with up to two modifiers of the kinds its grammar allows."""
    usual_plural = noun.number == "plural"
    if plain or d.chance(0.22):
        return Phrase(noun.korean, determined(noun), usual_plural)
    before, words = "", ""
    if scene.adjs and d.chance(0.5):
        adjective = d.choice(scene.adjs)
        if adjective.place != "pred":
            before, words = f"{attributive(adjective)} ", adjective.english
    pick = d.rng.random()
    body = noun.determiner == "my" and "human" not in scene.traits
    if pick < 0.2 and countable(noun, scene):
        return quantity(d, noun, before, words)
    if pick < 0.42 and not body:
        korean, english, near = d.choice((("이", "this", "these"), ("그", "that", "those")))
        return Phrase(f"{korean} {before}{noun.korean}", determined(noun, words, near if usual_plural else english), usual_plural)
    if pick < 0.56 and not {"abstract", "human", "building", "sport", "food"} & scene.traits and not body:
        korean, english = _owner(d)
        return Phrase(f"{korean} {before}{noun.korean}", determined(noun, words, english), usual_plural)
    if pick < 0.72 and noun.number == "count" and not body and "sport" not in scene.traits:
        korean, english = d.choice((("여러", "several"), ("많은", "many"), ("모든", "all the"), ("몇몇", "a few")))
        if before and english == "many":
            korean, english = "여러", "several"
        text = " ".join(filter(None, (english, words, noun.plural)))
        return Phrase(f"{korean} {before}{noun.korean}", text, True)
    if pick < 0.80 and noun.number == "count" and not before and not body:
        korean, english = d.choice(_SINGLE_OUT)
        text = f"another {noun.english}" if english == "another" else f"the {english} {noun.english}"
        return Phrase(f"{korean} {noun.korean}", text)
    return Phrase(f"{before}{noun.korean}", determined(noun, words), usual_plural)


_SINGLE_OUT = (
    ("다른", "another"),
    ("같은", "same"),
    ("첫 번째", "first"),
    ("두 번째", "second"),
    ("세 번째", "third"),
    ("마지막", "last"),
    ("다음", "next"),
)


# --- times ----------------------------------------------------------------------------------------

_WEEKDAYS = tuple(
    zip(
        "월 화 수 목 금 토 일".split(),
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
        strict=True,
    )
)
MONTHS = (
    "January February March April May June July August September October November December".split()
)
_SIMPLE = {
    "past": (
        ("어제", "yesterday"), ("그저께", "the day before yesterday"), ("지난주에", "last week"),
        ("지난달에", "last month"), ("작년에", "last year"), ("방금", "just now"),
        ("오늘 아침에", "this morning"), ("어젯밤에", "last night"), ("지난 주말에", "last weekend"),
        ("작년 여름에", "last summer"), ("작년 겨울에", "last winter"), ("며칠 전에", "a few days ago"),
        ("얼마 전에", "not long ago"), ("작년 봄에", "last spring"), ("작년 가을에", "last fall"),
    ),
    "future": (
        ("내일", "tomorrow"), ("모레", "the day after tomorrow"), ("다음 주에", "next week"),
        ("다음 달에", "next month"), ("내년에", "next year"), ("곧", "soon"), ("나중에", "later"),
        ("오늘 오후에", "this afternoon"), ("오늘 밤에", "tonight"), ("오늘 저녁에", "this evening"),
        ("이번 주말에", "this weekend"), ("다음 주말에", "next weekend"), ("내년 여름에", "next summer"),
        ("내년 겨울에", "next winter"), ("내년 봄에", "next spring"), ("언젠가", "someday"),
    ),
    "present": (
        ("매일", "every day"), ("매주", "every week"), ("매달", "every month"), ("아침마다", "every morning"),
        ("저녁마다", "every evening"), ("밤마다", "every night"), ("주말마다", "every weekend"),
        ("요즘", "these days"), ("매년", "every year"), ("여름마다", "every summer"), ("겨울마다", "every winter"),
    ),
}  # fmt: skip
_PARTS = {
    "오전": ("in the morning", "morning", (8, 9, 10, 11)),
    "아침": ("in the morning", "morning", (6, 7, 8, 9)),
    "오후": ("in the afternoon", "afternoon", (1, 2, 3, 4, 5)),
    "저녁": ("in the evening", "evening", (6, 7, 8, 9)),
}
_DAYS = {"past": (("어제", "yesterday"),), "future": (("내일", "tomorrow"), ("오늘", "this"))}
UNITS = (("분", "minute"), ("시간", "hour"), ("일", "day"), ("주", "week"), ("달", "month"), ("년", "year"))


def clock(d: Draw, part: str) -> tuple[str, str]:
    """Returns a time of day within a part of the day, in words or digits, without its particle."""
    hour = d.choice(_PARTS[part][2])
    minute = d.choice((0, 0, 0, 30, 30, 10, 15, 20, 25, 40, 45, 50, 55))
    if d.chance(0.4):
        return _digit_clock(hour, minute)
    korean = counted(hour, "시")
    if minute == 0:
        return korean, f"at {number_words(hour)} o'clock"
    if minute == 30:
        return f"{korean} 반", f"at half past {number_words(hour)}"
    return f"{korean} {counted(minute, '분')}", f"at {number_words(hour)} {number_words(minute)}"


def _digit_clock(hour: int, minute: int) -> tuple[str, str]:
    if minute == 0:
        return f"{hour}시", f"at {hour} o'clock"
    return f"{hour}시 {minute}분", f"at {hour}:{minute}"


def date(d: Draw) -> tuple[str, str]:
    """Returns a date in words (삼월 오일) or digits (3월 5일) and its English without "on"."""
    month = d.rng.randint(1, 12)
    day = d.rng.randint(1, 28)
    if d.chance(0.5):
        return f"{month}월 {day}일", f"{MONTHS[month - 1]} {day}"
    return f"{month_name(month)} {day_name(day)}", f"{MONTHS[month - 1]} {ordinal_words(day)}"


def span(d: Draw, units: Sequence[tuple[str, str]] = UNITS) -> tuple[str, str]:
    """Returns a length of time: 세 시간, three hours; 2주, 2 weeks."""
    korean, english = d.choice(units)
    digits = d.chance(0.35)
    most = {"minute": 55, "hour": 9, "day": 9}.get(english, 8)
    count = d.choice((10, 15, 20, 30, 40, 50)) if most == 55 else d.rng.randint(1, most)
    amount = str(count) if digits else number_words(count)
    return counted(count, korean, digits), f"{amount} {english}{'' if count == 1 else 's'}"


def time(d: Draw, tense: str) -> Time:
    """Returns an adverbial of time that goes with the tense."""
    pick = d.rng.random()
    if tense == "present":
        return _habit(d, pick)
    if pick < 0.34:
        korean, english = d.choice(_SIMPLE[tense])
    elif pick < 0.56:
        korean, english = _day_and_clock(d, tense)
    elif pick < 0.68:
        korean, english = span(d)
        korean, english = (f"{korean} 전에", f"{english} ago") if tense == "past" else (f"{korean} 후에", f"in {english}")
    elif pick < 0.80:
        day, name = d.choice(_WEEKDAYS)
        week, which = ("지난주", "last")
        if tense == "future":
            week, which = d.choice((("다음 주", "next"), ("이번 주", "this")))
        korean, english = f"{week} {day}요일에", f"{which} {name}"
    elif pick < 0.9:
        day, name = d.choice(_WEEKDAYS)
        part = d.choice(tuple(_PARTS))
        when, at = clock(d, part)
        korean, english = f"{day}요일 {part} {when}에", f"{at} on {name} {_PARTS[part][1]}"
    else:
        korean, english = date(d)
        korean, english = f"{korean}에", f"on {english}"
    return Time(korean, english, tense)


def _day_and_clock(d: Draw, tense: str) -> tuple[str, str]:
    day, name = d.choice(_DAYS[tense])
    parts = ("오후", "저녁") if name == "this" else tuple(_PARTS)
    part = d.choice(parts)
    if d.chance(0.3) and name != "this":
        return f"{day} {part}에", f"{name} {_PARTS[part][1]}"
    when, at = clock(d, part)
    return f"{day} {part} {when}에", f"{at} {name} {_PARTS[part][1]}"


def _habit(d: Draw, pick: float) -> Time:
    if pick < 0.4:
        korean, english = d.choice(_SIMPLE["present"])
    elif pick < 0.6:
        day, name = d.choice(_WEEKDAYS)
        korean, english = f"{day}요일마다", f"every {name}"
    elif pick < 0.8:
        unit, name = d.choice((("하루", "day"), ("일주일", "week"), ("한 달", "month"), ("일 년", "year")))
        count = d.rng.randint(1, 5)
        digits = d.chance(0.3)
        amount = str(count) if digits else number_words(count)
        times = f"{amount} time{'' if count == 1 else 's'}"
        if count <= 2 and not digits:
            times = ("once", "twice")[count - 1]
        korean, english = f"{unit}에 {counted(count, '번', digits)}", f"{times} a {name}"
    else:
        part = d.choice(tuple(_PARTS))
        when, at = clock(d, part)
        korean, english = f"매일 {part} {when}에", f"{at} every {_PARTS[part][1]}"
    return Time(korean, english, "present")


# --- places ---------------------------------------------------------------------------------------


def place(d: Draw, scene: Scene) -> Place:
    """Returns a place of the scene, or sometimes a city."""
    if not scene.places or d.chance(0.12) and d.domain in ("business", "sports", "travel_shopping"):
        korean, english = d.choice(d.lexicon.lists["cities"])[:2]
        return Place(korean, f"in {english}", f"to {english}")
    return d.choice(scene.places)
