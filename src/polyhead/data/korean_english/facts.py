"""Where things are, who has them and who goes where."""

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import Pairing, finish, own, sentence, spaced, topic
from polyhead.data.korean_english.conjugation import conjugate
from polyhead.data.korean_english.deeds import asked, clashes, scene_with, transitive
from polyhead.data.korean_english.english import number_words, ordinal_digits, ordinal_words
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.lexicon import Noun
from polyhead.data.korean_english.numerals import counted, sino
from polyhead.data.korean_english.people import Draw, Level, other, subject
from polyhead.data.korean_english.phrases import countable, noun_phrase, number
from polyhead.data.korean_english.times import adverbial

_SPOTS = {
    "table": (("위", "on"), ("아래", "under"), ("옆", "next to"), ("뒤", "behind")),
    "box": (("안", "in"), ("옆", "next to"), ("위", "on top of"), ("뒤", "behind")),
    "side": (("옆", "next to"), ("앞", "in front of"), ("뒤", "behind"), ("근처", "near")),
}


_AROUND = (
    ("옆", "next to"), ("맞은편", "across from"), ("뒤", "behind"), ("앞", "in front of"),
    ("근처", "near"),
)  # fmt: skip


_SMALL_SCENES = frozenset(
    [
        "document",
        "mail",
        "stationery",
        "gear",
        "goods",
        "luggage",
        "clothes",
        "drug",
        "tool",
        "books",
        "groceries",
    ]
)


_BULKY = frozenset(
    [
        "goalpost",
        "scoreboard",
        "tent",
        "locker",
        "mat",
        "net",
        "bed",
        "stretcher",
        "carpet",
        "backpack",
        "suitcase",
        "bicycle",
        "wheelchair",
    ]
) | {"oxygen tank", "bathroom scale"}


def _exists(d: Draw, negative: bool, past_tense: bool, asking: bool) -> str:
    verb = "없다" if negative else "있다"
    verb = conjugate(verb, "았다") if past_tense else verb
    made = c.Clause(verb, True, False, "", "", "")
    return finish(made, d.level, asking, d.chance(0.3))


def location(d: Draw) -> Pairing | None:  # noqa: PLR0911
    """Returns where a thing is, or that some are there."""
    scenes = [s for s in d.lexicon.scenes[d.domain] if s.name in _SMALL_SCENES]
    scene = d.choice(scenes)
    noun = d.choice(scene.nouns)
    mark = d.choice(d.lexicon.lists["landmarks"])
    if mark[0] == noun.korean or noun.counter == "대" or noun.english in _BULKY:
        return None
    side, preposition = d.choice(_SPOTS[mark[2]])
    spot, located = f"{mark[0]} {side}에", f"{preposition} the {mark[1]}"
    if d.chance(0.3) and scene.places:
        somewhere = d.choice(scene.places)
        if "OWN" in somewhere.located or "home" in somewhere.located:
            return None
        spot, located = f"{somewhere.korean}에", somewhere.located
    negative, before, asking = d.chance(0.15), d.chance(0.25), d.chance(0.2)
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    if d.chance(0.5) and countable(noun, scene) and noun.number == "count" and not negative:
        return _there_are(d, noun, spot, located, before, asking)
    thing = noun_phrase(d, noun, scene)
    if (thing.korean[-1] in "개장권벌대" and thing.plural) or thing.english.startswith(
        ("all ", "another", "many")
    ):
        return None
    text = thing.english.replace("OWN", "your" if asking else "my")
    if text.startswith(("a ", "an ")):
        text = "the" + text[text.index(" ") :]
    elif (
        not text.startswith(
            ("the ", "this ", "that ", "these ", "those ", "my ", "your ", "our ", "his ", "her ")
        )
        and "'s" not in text
    ):
        return None
    operator = ("were" if before else "are") if thing.plural else "was" if before else "is"
    korean = (attach(thing.korean, "은/는"), spot, _exists(d, negative, before, asking))
    if asking:
        return sentence(korean, (operator + ("n't" if negative else ""), text, located), "?")
    return sentence(korean, (text, operator + ("n't" if negative else ""), located))


def _there_are(d: Draw, noun: Noun, spot: str, located: str, before: bool, asking: bool) -> Pairing:
    digits = d.chance(0.3)
    count = number(d, False)
    amount = str(count) if digits else number_words(count)
    verb = ("were" if before else "are") if count > 1 else "was" if before else "is"
    thing = f"{amount} {noun.plural if count > 1 else noun.english}"
    korean = (
        spot,
        attach(noun.korean, "이/가"),
        counted(count, noun.counter, digits),
        _exists(d, False, before, asking),
    )
    if asking:
        return sentence(korean, (verb, "there", thing, located), "?")
    return sentence(korean, ("there", verb, thing, located))


_INDOORS = (
    "room",
    "department",
    "office",
    "laboratory",
    "clinic",
    "center",
    "library",
    "gym",
    "hall",
    "store",
    "unit",
)


def way(d: Draw) -> Pairing | None:
    """Returns where a building is, or asks for it."""
    places = [
        p for s in d.lexicon.scenes[d.domain] for p in s.places if p.located.startswith("at ")
    ]
    one, two = d.choice(places), d.choice(places)
    floor_wanted = d.chance(0.3)
    if floor_wanted:
        rooms = [
            p for s in d.lexicon.scenes[d.domain] for p in s.places if p.located.endswith(_INDOORS)
        ]
        one = d.choice(rooms) if rooms else one
    left, right = one.toward.removeprefix("to "), two.toward.removeprefix("to ")
    if (left == right and not floor_wanted) or not (
        left.startswith("the ") and right.startswith("the ")
    ):
        return None
    asking = d.chance(0.35)
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    pick = d.rng.random()
    if asking and pick < 0.3:
        opening = {
            Level.FORMAL: ("실례합니다,", "excuse me,"),
            Level.POLITE: ("저기요,", "excuse me,"),
        }.get(d.level, ("", ""))
        opening = opening if d.chance(0.6) else ("", "")
        return sentence(
            (opening[0], attach(one.korean, "은/는"), "어디에", _exists(d, False, False, True)),
            (opening[1], "where is", left),
            "?",
        )
    side, preposition = d.choice(_AROUND)
    spot, located = f"{two.korean} {side}에", f"{preposition} {right}"
    if floor_wanted:
        floor = d.rng.randint(1, 20)
        digits = d.chance(0.5)
        spot = f"{floor}층에" if digits else f"{sino(floor)} 층에"
        located = f"on the {ordinal_digits(floor) if digits else ordinal_words(floor)} floor"
    korean = (attach(one.korean, "은/는"), spot, _exists(d, False, False, asking))
    if asking:
        return sentence(korean, ("is", left, located), "?")
    return sentence(korean, (left, "is", located))


_NOT_HAD = frozenset(
    {"body", "meeting", "match", "test", "wildlife", "reading", "transport", "skill"}
)


def having(d: Draw) -> Pairing | None:  # noqa: PLR0911
    """Returns somebody having, lacking or needing a thing."""
    scene = scene_with(d, "verbs")
    if scene.traits & {"abstract", "human", "building", "sport", "food"} or scene.name in _NOT_HAD:
        return None
    noun = d.choice(scene.nouns)
    if noun.determiner == "own":
        return None
    thing = noun_phrase(d, noun, scene)
    if thing.english.startswith(("all ", "the same", "the ")) and d.chance(0.7):
        return None
    person = subject(d, scene.who)
    need = d.chance(0.5)
    if not need and thing.english.startswith(
        ("this", "that", "the ", "these", "those", "my", "our", "his", "her", "all")
    ):
        return None
    if not need and "'s " in thing.english:
        return None
    phrase = c.verb_phrase(
        attach(thing.korean, "이/가"),
        "필요하다" if need else "있다",
        "need" if need else "have",
        thing.english,
        adjective=True,
    )
    asking = d.chance(0.25)
    if asking:
        person = asked(d, scene, phrase)
    tense = "present" if d.chance(0.75) else "past"
    made = c.clause(person, phrase, tense, d.chance(0.15))
    when = adverbial(d, "past", 0.6) if tense == "past" else adverbial(d, "none")
    ending = finish(made, d.level, asking, d.chance(0.3))
    korean = (when.korean, topic(person), phrase.before, ending)
    if asking:
        made = c.clause(person, phrase, tense)
        ending = finish(made, d.level, asking, d.chance(0.3))
        korean = (when.korean, topic(person), phrase.before, ending)
        return sentence(korean, (made.operator, person.english, made.rest, when.english), "?")
    return sentence(korean, (person.english, made.statement, when.english))


def journey(d: Draw) -> Pairing | None:
    """Returns somebody going, coming, returning or leaving, by what and what for."""
    places = [p for s in d.lexicon.scenes[d.domain] for p in s.places if p.toward]
    spot = d.choice(places)
    toward, where = spot.toward, spot.korean
    far = d.chance(0.3)
    if far:
        city = d.choice(
            d.lexicon.lists["cities"] if d.chance(0.7) else d.lexicon.lists["countries"]
        )
        toward, where = f"to {city[1]}", city[0]
    scene = scene_with(d, "verbs")
    person = subject(d, scene.who, gendered="OWN" in toward)
    if person.agreement == "I" and "OWN" in toward:
        toward = toward.replace("OWN", "my")
    verb, english = d.choice(
        (
            ("가다", "go"),
            ("가다", "go"),
            ("오다", "come"),
            ("돌아가다", "go back"),
            ("돌아오다", "come back"),
        )
    )
    by, vehicle = "", ""
    if d.chance(0.4) and (far or spot.located.startswith("at ")):
        by, vehicle = d.choice(VEHICLES[:5] if far else VEHICLES[3:])
    tail, before = toward, ""
    if d.chance(0.45) and not vehicle:
        aim = transitive(d, scene, d.choice(scene.verbs), 0, None, "place")
        if not aim.willed or clashes(person, aim) or ("OWN" in aim.tail and not person.gendered):
            return None
        tail = spaced(toward, "to", aim.base)
        before = spaced(aim.before, conjugate(aim.verb, "으러"))
    elif d.chance(0.35):
        who = other(d, scene.who)
        before = f"{attach(who.korean, '과/와')} 함께"
        tail = spaced(toward, "with", who.objective)
    particle = "에" if d.chance(0.6) else ""
    destination = where + particle if particle else attach(where, "으로/로")
    phrase = c.verb_phrase(spaced(before, by, destination), verb, english, spaced(tail, vehicle))
    if clashes(person, phrase):
        return None
    name = d.choice(
        ("plain", "plain", "plain", "wanting", "obliged", "intending", "deciding", "planning")
    )
    tense = (
        "past"
        if name == "deciding"
        else d.choice(("past", "past", "future"))
        if name == "plain"
        else "present"
    )
    if name != "plain":
        phrase = getattr(c, name)(phrase, person)
    when = adverbial(
        d, tense if name == "plain" else "past" if name == "deciding" else "future", 0.6
    )
    made = c.clause(person, phrase, tense, name == "plain" and d.chance(0.12))
    korean = (when.korean, topic(person), phrase.before, finish(made, d.level))
    return sentence(korean, (person.english, own(made.statement, person), when.english))


VEHICLES = (
    ("기차로", "by train"), ("비행기로", "by plane"), ("배로", "by boat"), ("버스로", "by bus"),
    ("자동차로", "by car"), ("택시로", "by taxi"), ("지하철로", "by subway"), ("걸어서", "on foot"),
    ("자전거로", "by bicycle"), ("오토바이로", "by motorcycle"),
)  # fmt: skip
