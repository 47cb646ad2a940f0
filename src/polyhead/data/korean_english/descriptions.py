"""What things and people are like, what happens to them, and how they compare."""

from dataclasses import replace

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import (
    Pairing,
    VerbPhrase,
    finish,
    sentence,
    spaced,
    topic,
)
from polyhead.data.korean_english.conjugation import conjugate
from polyhead.data.korean_english.deeds import order, scene_with
from polyhead.data.korean_english.english import (
    article,
    comparative,
    number_words,
    superlative,
)
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.lexicon import Noun, Scene
from polyhead.data.korean_english.numerals import counted
from polyhead.data.korean_english.people import Draw, Level, Person, Phrase, Time, named, subject
from polyhead.data.korean_english.phrases import attributive, noun_phrase, place
from polyhead.data.korean_english.times import adverbial


def third(phrase: Phrase) -> Person:
    """Returns a noun phrase as the subject of a clause."""
    return Person(
        phrase.korean, phrase.english, phrase.english, "its", "they" if phrase.plural else "he"
    )


def event_subject(d: Draw, scene: Scene, bare: bool = False) -> Person:
    """Returns a noun of the scene as subject, with a possessor where it belongs to somebody."""
    noun = d.choice(scene.nouns)
    phrase = noun_phrase(d, noun, scene, definite=True, bare=bare)
    if "OWN" in phrase.english:
        who = subject(d, scene.who, gendered=True)
        if who.agreement == "I":
            possessive, korean = "my", "제" if d.humble else "내"
        elif who.pronoun == who.english:
            possessive, korean = who.own, f"{who.korean}의"
        else:
            possessive, korean = f"{who.english}'s", f"{who.korean}의"
        if who.dropped:
            korean = ""
        return Person(
            spaced(korean, phrase.korean),
            phrase.english.replace("OWN", possessive),
            "", "its", "they" if phrase.plural else "he",
        )  # fmt: skip
    return third(phrase)


def event(d: Draw) -> Pairing | None:
    """Returns something happening: the meeting was postponed, the bus will arrive."""
    scene = scene_with(d, "events")
    happening = d.choice(scene.events)
    person = event_subject(d, scene)
    body = scene.name == "body"
    phrase = c.verb_phrase("", happening.korean, happening.english)
    tense = (
        d.choice(("present", "past", "past"))
        if body
        else d.choice(("past", "past", "past", "future"))
    )
    when = adverbial(d, "none" if tense == "present" else tense, 0.75)
    where = ("", "")
    if scene.places and "building" not in scene.traits and not body and d.chance(0.3):
        spot = place(d, scene)
        where = (f"{spot.korean}에서", spot.located)
        if (
            "OWN" in spot.located
            or happening.english.split()[0] in _NOT_AT
            or "human" in scene.traits
        ):
            where = ("", "")
    negative = d.chance(0.12)
    if negative and when.english:
        when = Time("", "", "") if tense == "past" else when
    made = c.clause(person, phrase, tense, negative, short=d.chance(0.4))
    asking = d.chance(0.2) and not person.english.startswith("my ")
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    first, second = order(d, when.korean, topic(person, d.choice(("이/가", "이/가", "은/는"))))
    ending = finish(made, d.level, asking, d.chance(0.3))
    korean = (first, second, where[0], ending)
    if asking:
        return sentence(
            korean, (made.operator, person.english, made.rest, where[1], when.english), "?"
        )
    return sentence(korean, (person.english, made.statement, where[1], when.english))


_NOT_AT = frozenset({"arrive", "depart", "leave", "rise", "fall", "increase", "decrease", "soar"})


_DEGREES = (
    ("매우", "very"), ("아주", "very"), ("정말", "really"),
    ("너무", "too"), ("꽤", "quite"), ("조금", "a little"),
)  # fmt: skip


def description(d: Draw) -> Pairing | None:
    """Returns what something is like, was like, looks like or has become."""
    scene = scene_with(d, "adjs")
    adjective = d.choice(scene.adjs)
    if adjective.place == "attr":
        return None
    person = event_subject(d, scene, bare=True)
    degree = d.choice(_DEGREES) if d.chance(0.55) else ("", "")
    phrase = c.verb_phrase(
        degree[0],
        adjective.korean,
        "be",
        spaced(degree[1], adjective.english),
        adjective=not adjective.verbal,
    )
    tense = "present" if d.chance(0.7) else "past"
    if adjective.past:
        phrase, tense = (
            replace(phrase, verb=conjugate(adjective.korean, "았다"), adjective=True),
            "present",
        )
    pick = d.rng.random()
    plain = not adjective.verbal and not adjective.past and "|" not in adjective.korean
    if pick < 0.15 and plain and degree[1] != "too":
        phrase = replace(
            phrase, verb=conjugate(adjective.korean, "아 보이다"), head="look", adjective=False
        )
    elif (
        pick < 0.25 and plain and not degree[0] and not adjective.korean.endswith(("있다", "없다"))
    ):
        verb = conjugate(adjective.korean, "아지다")
        phrase, tense = (
            replace(
                phrase, before="더", verb=verb, head="become", tail=comparative(adjective.english)
            ),
            "past",
        )
    negative = not degree[0] and phrase.head == "be" and not adjective.past and d.chance(0.2)
    made = c.clause(person, phrase, tense, negative)
    asking = d.chance(0.2) and not degree[0] and not person.english.startswith("my ")
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    ending = finish(made, d.level, asking, d.chance(0.3))
    who = topic(person, "은/는")
    if asking:
        return sentence(
            (who, phrase.before, ending), (made.operator, person.english, made.rest), "?"
        )
    return sentence((who, phrase.before, ending), (person.english, made.statement))


def somebody_is(d: Draw) -> Pairing | None:
    """Returns what somebody is like, or is by trade, or how old."""
    group = d.choice(tuple(_GROUPS[d.domain]))
    person = subject(d, group)
    if person.agreement in ("they", "we") or (person.gendered is False and d.chance(0.6)):
        return None
    pick = d.rng.random()
    adjective = d.choice(d.lexicon.lists["person_adjs"])
    if pick < 0.45:
        degree = d.choice(_DEGREES[:5]) if d.chance(0.7) else ("", "")
        phrase = c.verb_phrase(
            degree[0], adjective[0], "be", spaced(degree[1], adjective[1]), adjective=True
        )
        return _is(
            d,
            person,
            phrase,
            d.choice(("present", "present", "past")),
            d.chance(0.15) and not degree[0],
        )
    if person.english.split()[0] in ("the", "this", "that", "my") and pick < 0.9:
        return None
    if pick < 0.9:
        who = d.choice(d.lexicon.people[group])
        if who.honorific or who.plural or who.english in _SEXED:
            return None
        before, english = "", who.english
        if d.chance(0.6):
            before, english = conjugate(adjective[0], "은"), f"{adjective[1]} {who.english}"
        tail = f"{article(english)} {english}"
        if d.chance(0.4):
            city = d.choice(d.lexicon.lists["cities"])
            before, tail = spaced(f"{city[0]}에서 온", before), f"{tail} from {city[1]}"
        phrase = c.verb_phrase(before, f"{who.korean}|이다", "be", tail, adjective=True)
        return _is(d, person, phrase, "present", d.chance(0.1) and not before)
    age = d.rng.randint(6, 79)
    digits = d.chance(0.4) or (age > 40 and age % 10 > 0)
    english = str(age) if digits else number_words(age)
    phrase = c.verb_phrase(
        "", f"{counted(age, '살', digits)}|이다", "be", f"{english} years old", adjective=True
    )
    return (
        _is(d, replace(person, honorific=False), phrase, "present", False)
        if not person.honorific
        else None
    )


def _is(d: Draw, person: Person, phrase: VerbPhrase, tense: str, negative: bool) -> Pairing:
    asking = d.chance(0.25) and person.agreement != "I"
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    made = c.clause(person, phrase, tense, negative)
    ending = finish(made, d.level, asking, d.chance(0.3))
    korean = (topic(person), phrase.before, ending)
    if asking:
        return sentence(korean, (made.operator, person.english, made.rest), "?")
    return sentence(korean, (person.english, made.statement))


_SEXED = frozenset({"boy", "girl", "pregnant woman", "baby", "child", "homemaker"})


_GROUPS = {
    "business": ("office",),
    "sports": ("athlete",),
    "travel_shopping": ("traveler",),
    "medicine": ("doctor", "patient"),
    "daily_life": ("home",),
}


def comparison(d: Draw) -> Pairing | None:
    """Returns one thing compared with another, or the most of all somewhere."""
    scene = scene_with(d, "adjs")
    adjective = d.choice(scene.adjs)
    if adjective.place == "attr" or adjective.past or "own" in scene.nouns[0].determiner:
        return None
    one, two = d.choice(scene.nouns), d.choice(scene.nouns)
    if one.korean == two.korean or "own" in (one.determiner, two.determiner):
        return None
    if d.chance(0.4) and adjective.place == "both" and scene.name != "disease":
        return _superlative(d, scene, one, adjective.english, attributive(adjective))
    left, right = _compared(d, scene, one), _compared(d, scene, two)
    verb, tail = f"더 {adjective.korean}", f"{comparative(adjective.english)} than {right.english}"
    phrase = c.verb_phrase(f"{right.korean}보다", verb, "be", tail, adjective=not adjective.verbal)
    tense = "present" if d.chance(0.8) else "past"
    asking = d.chance(0.25)
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    made = c.clause(third(left), phrase, tense)
    ending = finish(made, d.level, asking, d.chance(0.3))
    korean = (attach(left.korean, "은/는" if not asking else "이/가"), phrase.before, ending)
    if asking:
        return sentence(korean, (made.operator, left.english, made.rest), "?")
    return sentence(korean, (left.english, made.statement))


def _compared(d: Draw, scene: Scene, noun: Noun) -> Phrase:
    if scene.traits & {"sport"} or noun.determiner == "no":
        return Phrase(noun.korean, noun.english, noun.number == "plural")
    korean, near, far = d.choice((("이", "this", "these"), ("그", "that", "those")))
    plural = noun.number == "plural"
    return Phrase(f"{korean} {noun.korean}", f"{far if plural else near} {noun.english}", plural)


def _superlative(d: Draw, scene: Scene, noun: Noun, adjective: str, before: str) -> Pairing | None:
    if noun.number == "plural" or "abstract" in scene.traits:
        return None
    most = d.choice(("가장", "제일"))
    city = d.choice(d.lexicon.lists["cities"])
    where, located = (f"{city[0]}에서", f"in {city[1]}") if d.chance(0.7) else ("", "")
    text = f"the {superlative(adjective)} {noun.english}"
    phrase = c.verb_phrase(
        "",
        f"{spaced(where, most, before, noun.korean)}|이다",
        "be",
        spaced(text, located),
        adjective=True,
    )
    if "human" in scene.traits:
        who = named(d)
    else:
        who = Person(*d.choice((("이것", "this"), ("그것", "that"))), "", "its", "he")
        if "building" in scene.traits:
            who = Person(*d.choice((("여기", "this"), ("저기", "that"))), "", "its", "he")
    made = c.clause(who, phrase, "present")
    return sentence((topic(who), finish(made, d.level)), (who.english, made.statement))
