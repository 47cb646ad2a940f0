"""Sentences about figures: prices, percentages, scores, journeys, doses, dates."""

from dataclasses import replace

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import Pairing, finish, sentence, spaced, topic
from polyhead.data.korean_english.conjugation import conjugate
from polyhead.data.korean_english.deeds import call_out
from polyhead.data.korean_english.english import number_words
from polyhead.data.korean_english.facts import VEHICLES
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.numerals import counted, sino
from polyhead.data.korean_english.people import Draw, Level, Person, named, subject
from polyhead.data.korean_english.phrases import determined, noun_phrase
from polyhead.data.korean_english.times import adverbial, date, span


def _won(d: Draw, cheap: bool) -> tuple[str, str]:
    thousands = (
        d.rng.randint(1, 29)
        if cheap
        else d.choice((d.rng.randint(10, 99), d.rng.randint(10, 95) * 10))
    )
    value = thousands * 1000 + (500 if d.chance(0.2) and thousands < 100 else 0)
    if d.chance(0.5):
        return f"{value:,}원", f"{value:,} won"
    if thousands > 20:
        value = thousands // 5 * 5000
    return f"{sino(value)} 원", f"{number_words(value)} won"


def price(d: Draw) -> Pairing | None:
    """Returns what a thing costs, or asks for it, or pays it."""
    scenes = [s for s in d.lexicon.scenes[d.domain] if s.name in _PRICED]
    scene = d.choice(scenes)
    noun = d.choice(scene.nouns)
    thing = noun_phrase(d, noun, scene)
    if "OWN" in thing.english or thing.english.startswith(
        ("a ", "an ", "another", "the next", "all", "many", "several", "a few")
    ):
        return None
    if not thing.english.startswith(("this", "that", "the ", "these", "those")) or scene.name in (
        "discipline",
    ):
        return None
    verb = "are" if thing.plural else "is"
    pick = d.rng.random()
    if d.level is Level.PLAIN and pick < 0.3:
        d.level = Level.CASUAL
    who = attach(thing.korean, "은/는")
    if pick < 0.3:
        ending = {Level.FORMAL: "얼마입니까", Level.POLITE: "얼마예요", Level.CASUAL: "얼마야"}[
            d.level
        ]
        call = call_out(d, 0.3)
        return sentence((call[0], who, ending), (call[1], f"how much {verb}", thing.english), "?")
    korean, english = _won(d, scene.name in _CHEAP)
    if pick < 0.65:
        return sentence(
            (who, conjugate(f"{korean}|이다", _COPULA[d.level])), (thing.english, verb, english)
        )
    person = subject(d, scene.who)
    phrase = c.verb_phrase(
        f"{attach(thing.korean, '을/를')} {korean}에",
        "사다",
        "buy",
        f"{thing.english} for {english}",
    )
    if d.chance(0.5):
        phrase = c.verb_phrase(
            f"{attach(thing.korean, '을/를')} {korean}에",
            "팔다",
            "sell",
            f"{thing.english} for {english}",
        )
    if d.domain == "medicine":
        phrase = replace(phrase, verb="사다", head="buy")
    when = adverbial(d, "past", 0.5)
    made = c.clause(person, phrase, "past")
    return sentence(
        (when.korean, topic(person), phrase.before, finish(made, d.level)),
        (person.english, made.statement, when.english),
    )


_CHEAP = frozenset(["dish", "tool", "drug", "groceries", "drink", "stationery", "books"])


_PRICED = frozenset(
    [
        "stationery",
        "appliance",
        "equipment",
        "gear",
        "clothes",
        "goods",
        "dish",
        "drug",
        "tool",
        "groceries",
        "furniture",
        "books",
        "drink",
    ]
)


_COPULA = {Level.FORMAL: "습니다", Level.POLITE: "아요", Level.CASUAL: "아", Level.PLAIN: "다"}


def special(d: Draw) -> Pairing | None:
    """Returns what belongs to one domain: percentages, scores, journeys, doses, dates."""
    return _SPECIAL[d.domain](d)


def _percent(d: Draw) -> Pairing | None:
    scene = next(s for s in d.lexicon.scenes["business"] if s.name == "money")
    noun = d.choice(scene.nouns)
    rate = d.rng.randint(2, 60)
    digits = d.chance(0.5) or (rate > 20 and rate % 5 > 0)
    korean = f"{rate}퍼센트" if digits else f"{sino(rate)} 퍼센트"
    english = f"{rate if digits else number_words(rate)} percent"
    verb, head = d.choice(
        (
            ("증가하다", "increase"),
            ("감소하다", "decrease"),
            ("오르다", "rise"),
            ("떨어지다", "fall"),
        )
    )
    phrase = c.verb_phrase(korean, verb, head, f"by {english}")
    tense = d.choice(("past", "past", "future"))
    when = adverbial(d, tense, 0.6)
    if d.chance(0.4):
        country = d.choice(d.lexicon.lists["countries"])
        name = f"{country[0]}의 {noun.korean}"
        text = f"{determined(noun)} in {country[1]}"
    else:
        name, text = noun.korean, determined(noun)
    person = Person(name, text, "", "its", "they" if noun.number == "plural" else "he")
    made = c.clause(person, phrase, tense)
    return sentence(
        (when.korean, topic(person, "이/가"), korean, finish(made, d.level)),
        (text, made.statement, when.english),
    )


def _score(d: Draw) -> Pairing | None:
    teams = d.lexicon.lists["countries"]
    one, two = d.choice(teams), d.choice(teams)
    if one[0] == two[0]:
        return None
    low = d.rng.randint(0, 4)
    high = low + d.rng.randint(1, 4)
    win = d.chance(0.6)
    first, last = (high, low) if win else (low, high)
    digits = d.chance(0.5)
    korean = f"{first} 대 {last}" if digits else f"{sino(first)} 대 {sino(last)}"
    korean = attach(korean, "으로/로")
    english = f"{first} to {last}" if digits else f"{number_words(first)} to {number_words(last)}"
    scene = d.choice([s for s in d.lexicon.scenes["sports"] if s.name in ("ball", "racket")])
    sport = d.choice(scene.nouns)
    where, located = "", ""
    if d.chance(0.5):
        where, located = f"{sport.korean}에서", f"in {sport.english}"
    when = adverbial(d, "past", 0.6)
    if win:
        phrase = c.verb_phrase(
            spaced(where, attach(two[0], "을/를"), korean),
            "이기다",
            "defeat",
            spaced(two[1], english, located),
        )
    else:
        phrase = c.verb_phrase(
            spaced(where, f"{two[0]}에", korean),
            "지다",
            "lose",
            spaced("to", two[1], english, located),
        )
    person = Person(one[0], one[1], "", "its", "he")
    made = c.clause(person, phrase, "past")
    return sentence(
        (
            when.korean,
            topic(person, d.choice(("이/가", "은/는"))),
            phrase.before,
            finish(made, d.level),
        ),
        (one[1], made.statement, when.english),
    )


def _trip(d: Draw) -> Pairing | None:
    cities = d.lexicon.lists["cities"]
    one, two = d.choice(cities), d.choice(cities)
    if one[0] == two[0]:
        return None
    korean, english = span(d, (("분", "minute"), ("시간", "hour"), ("시간", "hour")))
    by, vehicle = d.choice(VEHICLES[:5]) if d.chance(0.7) else ("", "")
    phrase = c.verb_phrase("", "걸리다", "take", "")
    asking = d.chance(0.3)
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    tense = "present" if d.chance(0.6) else "past"
    made = c.clause(Person("", "it", "it", "its", "he"), phrase, tense)
    route = f"from {one[1]} to {two[1]}"
    start = f"{one[0]}에서 {two[0]}까지"
    if asking:
        return sentence(
            (start, by, "얼마나", finish(made, d.level, True, d.chance(0.3))),
            ("how long", made.operator, "it take", route, vehicle),
            "?",
        )
    head = "took" if tense == "past" else "takes"
    return sentence(
        (start, by, korean, finish(made, d.level)), ("it", head, english, route, vehicle)
    )


def _dose(d: Draw) -> Pairing | None:
    scene = next(s for s in d.lexicon.scenes["medicine"] if s.name == "drug")
    noun = d.choice(scene.nouns)
    if d.level is Level.PLAIN:
        d.level = Level.CASUAL
    near = d.choice((("이", "this"), ("그", "that")))
    times = d.rng.randint(1, 5)
    digits = d.chance(0.4)
    often = (
        f"{times} times"
        if digits
        else {1: "once", 2: "twice"}.get(times, f"{number_words(times)} times")
    )
    if digits and times == 1:
        often = "1 time"
    unit, per = d.choice((("하루", "day"), ("하루", "day"), ("일주일", "week")))
    meal = d.choice(
        (
            ("식후에", "after meals"),
            ("식전에", "before meals"),
            ("자기 전에", "before going to bed"),
            ("물과 함께", "with water"),
            ("", ""),
        )
    )
    length = ("", "")
    if d.chance(0.5):
        korean, english = span(d, (("일", "day"), ("주", "week"), ("달", "month")))
        length = (f"{korean} 동안", f"for {english}")
    mood = d.choice(
        (("십시오", "세요", "아", ""), ("아야 합니다", "아야 해요", "아야 해", "you have to"))
    )
    ending = mood[{Level.FORMAL: 0, Level.POLITE: 1, Level.CASUAL: 2}[d.level]]
    done = "복용하" + ending if ending in ("십시오", "세요") else conjugate("복용하다", ending)
    thing = f"{near[0]} {noun.korean}"
    return sentence(
        (
            attach(thing, "을/를"),
            length[0],
            f"{unit}에 {counted(times, '번', digits)}",
            meal[0],
            done,
        ),
        (mood[3], "take", f"{near[1]} {noun.english}", often, f"a {per}", meal[1], length[1]),
    )


def _appointment(d: Draw) -> Pairing | None:
    korean, english = date(d)
    kin = d.lexicon.lists[d.choice(("kin.m", "kin.f"))]
    who = d.choice(kin)
    occasion, text = d.choice(_OCCASIONS)
    owner = named(d)
    if d.chance(0.5):
        name, possessive = owner.korean, f"{owner.english}'s"
    else:
        name, possessive = who[0], f"my {who[1]}'s"
    asking = d.chance(0.2)
    if asking:
        if d.level is Level.PLAIN:
            d.level = Level.CASUAL
        ending = {Level.FORMAL: "언제입니까", Level.POLITE: "언제예요", Level.CASUAL: "언제야"}[
            d.level
        ]
        return sentence(
            (name, attach(occasion, "은/는"), ending), ("when is", possessive, text), "?"
        )
    ending = conjugate(f"{korean}|이다", _COPULA[d.level])
    return sentence((name, attach(occasion, "은/는"), ending), (possessive, text, "is on", english))


_OCCASIONS = (
    ("생일", "birthday"), ("결혼식", "wedding"), ("졸업식", "graduation"),
    ("결혼기념일", "wedding anniversary"),
    ("송별회", "farewell party"), ("집들이", "housewarming party"), ("연주회", "recital"),
)  # fmt: skip


_SPECIAL = {
    "business": _percent,
    "sports": _score,
    "travel_shopping": _trip,
    "medicine": _dose,
    "daily_life": _appointment,
}
