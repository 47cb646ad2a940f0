"""Sentences of one clause: statements, questions, requests, descriptions."""

from collections.abc import Callable
from functools import lru_cache

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import Clause, VerbPhrase, finish, own, sentence, spaced, topic
from polyhead.data.korean_english.conjugation import conjugate, honorific
from polyhead.data.korean_english.english import article, number_words
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.lexicon import Adverb, Lexicon, Noun, Scene, Verb
from polyhead.data.korean_english.numerals import counted
from polyhead.data.korean_english.phrases import (
    Draw,
    Level,
    Person,
    Phrase,
    Time,
    clock,
    hearer,
    named,
    noun_phrase,
    other,
    particle_after,
    place,
    span,
    speaker,
    subject,
    time,
)

Pairing = tuple[str, str]
Builder = Callable[[Draw], Pairing | None]

_FREQUENCY = (
    ("항상", "always"),
    ("자주", "often"),
    ("가끔", "sometimes"),
    ("보통", "usually"),
    ("때때로", "occasionally"),
)


# --- scenes and verb phrases ----------------------------------------------------------------------


@lru_cache(maxsize=64)
def _weighted(lexicon_id: int, domain: str, part: str) -> tuple[tuple[Scene, ...], tuple[int, ...]]:
    from polyhead.data.korean_english.lexicon import lexicon

    scenes = tuple(s for s in lexicon().scenes[domain] if getattr(s, part))
    total, sums = 0, []
    for scene in scenes:
        total += scene.size * (4 + len(getattr(scene, part))) + 2 * len(scene.nouns)
        sums.append(total)
    return scenes, tuple(sums)


def scene_with(d: Draw, part: str) -> Scene:
    """Returns a scene of the domain that has nouns, verbs, adjs, events or acts as asked."""
    scenes, sums = _weighted(id(d.lexicon), d.domain, part)
    return d.rng.choices(scenes, cum_weights=sums)[0]


@lru_cache(maxsize=1)
def _manner(lexicon_id: int) -> dict[str, list[Adverb]]:
    from polyhead.data.korean_english.lexicon import lexicon

    known: dict[str, list[Adverb]] = {"": []}
    for entry in lexicon().lists["adverbs"]:
        korean, english, verbs = (*entry, "")[:3]
        for verb in verbs.split(",") if verbs else ("",):
            known.setdefault(verb, []).append(Adverb(korean, english, frozenset()))
    return known


@lru_cache(maxsize=1)
def _durative(lexicon_id: int) -> frozenset[str]:
    from polyhead.data.korean_english.lexicon import lexicon

    return frozenset(entry[0] for entry in lexicon().lists["durative"])


def adverb(d: Draw, verb: Verb) -> tuple[str, str] | None:
    """Returns an adverb of manner the verb can take, or None."""
    known = _manner(id(d.lexicon))
    fitting = known.get(verb.korean)
    if fitting and d.chance(0.8):
        pick = d.choice(fitting)
    elif verb.willed and not verb.state:
        pick = d.choice(known[""])
    else:
        return None
    return pick.korean, pick.english


class Parts:
    """The optional parts of a verb phrase, drawn at most `most` of them."""

    def __init__(self, d: Draw, scene: Scene, verb: Verb, most: int, ban: str = "") -> None:
        self.place = self.companion = self.recipient = self.manner = self.span = ("", "")
        active = verb.willed and not verb.state
        kinds = [
            kind
            for kind, possible in (
                ("place", not verb.state and bool(scene.places) and "at home" != verb.particle),
                ("companion", active and verb.korean != "상담하다"),
                ("recipient", verb.recipient),
                ("recipient", verb.recipient),
                ("manner", not verb.state),
                ("span", verb.korean in _durative(id(d.lexicon))),
            )
            if possible and kind not in ban
        ]
        for _ in range(min(most, len(kinds))):
            self._draw(d, scene, verb, d.choice(kinds))

    def _draw(self, d: Draw, scene: Scene, verb: Verb, kind: str) -> None:
        if kind == "place":
            spot = place(d, scene)
            self.place = (attach(spot.korean, "에서"[:0] or "에서/에서"), spot.located)
        elif kind == "companion":
            who = other(d, scene.who)
            if d.level is Level.CASUAL and not who.honorific:
                korean = attach(who.korean, "이랑/랑")
            else:
                korean = f"{attach(who.korean, '과/와')} 함께"
            self.companion = (korean, f"with {who.objective}")
        elif kind == "recipient":
            who = other(d, scene.who)
            self.recipient = (particle_after(who, "에게"), f"to {who.objective}")
        elif kind == "span":
            korean, english = span(d, (("분", "minute"), ("시간", "hour"), ("시간", "hour")))
            self.span = (f"{korean} 동안", f"for {english}")
        else:
            self.manner = adverb(d, verb) or ("", "")
        if self.manner[0] == "혼자" and self.companion[0]:
            self.manner = ("", "")

    @property
    def korean_first(self) -> str:
        """Returns what comes before the object in Korean."""
        return spaced(self.companion[0], self.place[0], self.span[0], self.recipient[0])

    @property
    def english_last(self) -> str:
        """Returns what comes after the object in English."""
        return spaced(
            self.recipient[1], self.manner[1], self.companion[1], self.place[1], self.span[1]
        )


def transitive(
    d: Draw, scene: Scene, verb: Verb, most: int = 2, thing: Phrase | None = None, ban: str = ""
) -> VerbPhrase:
    """Returns a verb with an object of the scene and some optional parts."""
    thing = thing or noun_phrase(d, d.choice(scene.nouns), scene)
    parts = Parts(d, scene, verb, most, ban)
    marked = attach(thing.korean, verb.particle) if "/" in verb.particle else thing.korean + verb.particle
    before, after = (parts.manner[0], marked) if d.chance(0.5) else (marked, parts.manner[0])
    return c.verb_phrase(
        spaced(parts.korean_first, before, after),
        verb.korean,
        verb.english,
        spaced(thing.english, parts.english_last),
        willed=verb.willed and not verb.state,
        lasting=not verb.state,
    )


def act(d: Draw, scene: Scene, verb: Verb, most: int = 2, ban: str = "") -> VerbPhrase:
    """Returns a verb without object and some optional parts."""
    parts = Parts(d, scene, verb, most, ban)
    return c.verb_phrase(
        spaced(parts.korean_first, parts.manner[0]),
        verb.korean,
        verb.english,
        parts.english_last,
        willed=verb.willed,
        lasting=True,
    )


def deed(d: Draw, most: int = 2, willed: bool = False, ban: str = "") -> tuple[Scene, VerbPhrase]:
    """Returns a scene and a verb phrase of it, willed where asked."""
    while True:
        if d.chance(0.16):
            scene = scene_with(d, "acts")
            verb = d.choice(scene.acts)
            phrase = act(d, scene, verb, most, ban)
        else:
            scene = scene_with(d, "verbs")
            verb = d.choice(scene.verbs)
            phrase = transitive(d, scene, verb, most, None, ban)
        if phrase.willed or not willed:
            return scene, phrase


def actor(d: Draw, scene: Scene, phrase: VerbPhrase) -> Person:
    """Returns a subject for the phrase, gendered where the English needs his or her."""
    return subject(d, scene.who, gendered="OWN" in phrase.tail)


def clashes(person: Person, phrase: VerbPhrase) -> bool:
    """Returns whether the subject stands in the phrase a second time."""
    name = person.english.removeprefix("my ")
    return name in phrase.tail and len(name) > 3


def order(d: Draw, when: str, who: str) -> tuple[str, str]:
    """Returns Korean time and subject in one of the two usual orders."""
    return (when, who) if d.chance(0.55) else (who, when)


# --- statements -----------------------------------------------------------------------------------

_MOODS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("plain", 52, ("past", "past", "past", "future", "future", "present")),
    ("progressive", 6, ("present", "past")),
    ("wanting", 6, ("present", "present", "past")),
    ("obliged", 6, ("present", "past")),
    ("able", 5, ("present", "past")),
    ("intending", 4, ("present",)),
    ("planning", 3, ("present",)),
    ("scheduled", 3, ("present",)),
    ("deciding", 4, ("past",)),
    ("trying", 3, ("past", "present")),
    ("beginning", 2, ("past",)),
    ("knowing_how", 2, ("present",)),
    ("needing", 3, ("present",)),
    ("experienced", 3, ("present",)),
    ("liking", 2, ("present",)),
    ("disliking", 1, ("present",)),
    ("promising", 2, ("past",)),
    ("forgetting", 1, ("past",)),
)
_NAMES = tuple(name for name, _, _ in _MOODS)
_SUMS = tuple(sum(weight for _, weight, _ in _MOODS[: i + 1]) for i in range(len(_MOODS)))
_TENSES = {name: tenses for name, _, tenses in _MOODS}
_AHEAD = frozenset({"wanting", "obliged", "able", "intending", "planning", "scheduled", "needing"})
_NEGATABLE = frozenset({"plain", "wanting", "able", "knowing_how", "needing", "experienced", "liking"})


def mood_of(d: Draw, phrase: VerbPhrase, person: Person) -> tuple[VerbPhrase, str, str]:
    """Returns the phrase in a mood, its tense, and the tense its time adverbial should have."""
    name = d.rng.choices(_NAMES, cum_weights=_SUMS)[0]
    if not phrase.willed and name not in ("plain", "experienced"):
        name = "plain"
    tense = d.choice(_TENSES[name])
    if name == "plain":
        if not phrase.lasting and tense == "future":
            tense = "present"
        return phrase, tense, tense if phrase.lasting or tense == "past" else "none"
    wrapped: VerbPhrase = getattr(c, name)(phrase, person)
    if name == "progressive":
        return wrapped, tense, "now" if tense == "present" else "past"
    if name in _AHEAD:
        return wrapped, tense, "future" if tense == "present" else "past"
    return wrapped, tense, "past" if tense == "past" and name != "trying" else "none"


def adverbial(d: Draw, wanted: str, probability: float = 0.6) -> Time:
    """Returns a time for what mood_of asked, or an empty one."""
    if wanted == "now":
        return Time(*d.choice((("지금", "now"), ("지금", "right now"))[:1]), "present") if d.chance(0.7) else Time("", "", "")
    if wanted == "none" or not d.chance(probability):
        return Time("", "", "")
    return time(d, wanted)


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
        phrase = c.replace(phrase, mid=usual[1])
    when = adverbial(d, wanted, 1.0 if phrase is base and tense == "present" else 0.6)
    negative = not usual[0] and d.chance(0.16) and _may_deny(phrase, base)
    made = c.clause(person, phrase, tense, negative, short=phrase is base and d.chance(0.5))
    first, second = order(d, when.korean, topic(person))
    korean = (first, second, usual[0], phrase.before, finish(made, d.level))
    return sentence(korean, (person.english, own(made.statement, person), when.english))


def _may_deny(phrase: VerbPhrase, base: VerbPhrase) -> bool:
    endings = ("싶다", "싶어 하다", "수 있다", "줄 알다", "필요가 있다", "적이 있다", "좋아하다")
    return phrase is base or phrase.verb.endswith(endings)


# --- questions ------------------------------------------------------------------------------------


def asked(d: Draw, scene: Scene, phrase: VerbPhrase) -> Person:
    """Returns whom a question is about, most often the hearer; also settles the level."""
    if d.level is Level.PLAIN:
        d.level = Level.CASUAL
    if d.chance(0.62):
        return hearer(d)
    person = actor(d, scene, phrase)
    return hearer(d) if person.agreement == "I" else person


def call_out(d: Draw, probability: float) -> tuple[str, str]:
    """Returns a name called before a sentence, 민수 씨, or 민수야, — or nothing."""
    if not d.chance(probability):
        return "", ""
    sex = d.choice("mf")
    korean, english = d.choice(d.lexicon.lists[f"names.{sex}"])[:2]
    korean = f"{korean} 씨" if d.humble else attach(korean, "아/야")
    return f"{korean},", f"{english},"


def yes_no(d: Draw) -> Pairing | None:
    """Returns a yes-no question."""
    scene, phrase = deed(d, d.choice((0, 1, 1, 2)))
    person = asked(d, scene, phrase)
    if clashes(person, phrase):
        return None
    phrase, tense, wanted = mood_of(d, phrase, person)
    when = adverbial(d, wanted, 0.65)
    made = c.clause(person, phrase, tense)
    return _ask(d, person, phrase, made, when, call_out(d, 0.2 if person.agreement == "you" else 0))


def _ask(
    d: Draw, person: Person, phrase: VerbPhrase, made: Clause, when: Time, call: tuple[str, str]
) -> Pairing:
    first, second = order(d, when.korean, topic(person))
    ending = finish(made, d.level, question=True, curt=d.chance(0.3))
    english = (call[1], made.operator, person.english, own(made.rest, person), when.english)
    return sentence((call[0], first, second, phrase.before, ending), english, "?")


def wh_question(d: Draw) -> Pairing | None:
    """Returns a question with where, when, why, what time, how long, how often or with whom."""
    kind = d.choice(("where", "when", "why", "why", "what time", "how often", "with whom"))
    ban = {"where": "place", "with whom": "companion"}.get(kind, "")
    scene, phrase = deed(d, d.choice((0, 0, 1)), willed=True, ban=ban)
    if kind == "with whom" and ("alone" in phrase.tail or " with " in phrase.tail):
        return None
    person = asked(d, scene, phrase)
    if clashes(person, phrase) or kind == "where" and "alone" in phrase.tail:
        return None
    tense = "present" if kind == "how often" else d.choice(("past", "past", "future"))
    if tense == "future" and d.chance(0.4):
        phrase, tense = c.scheduled(phrase, person), "present"
    elif tense == "future" and d.chance(0.3) and kind != "why":
        phrase, tense = c.wanting(phrase, person), "present"
    when = Time("", "", "")
    if kind in ("where", "why", "with whom") and d.chance(0.6):
        when = time(d, "past" if tense == "past" else "future")
    made = c.clause(person, phrase, tense)
    word, english, after = _WH[kind]
    if kind == "with whom" and d.level is Level.CASUAL:
        word = "누구랑"
    first, second = order(d, when.korean, topic(person))
    korean = (first, second, word, phrase.before, finish(made, d.level, True, d.chance(0.3)))
    rest = own(made.rest, person)
    return sentence(korean, (english, made.operator, person.english, rest, after, when.english), "?")


_WH = {
    "where": ("어디에서", "where", ""),
    "when": ("언제", "when", ""),
    "why": ("왜", "why", ""),
    "what time": ("몇 시에", "what time", ""),
    "how often": ("얼마나 자주", "how often", ""),
    "with whom": ("누구와", "who", "with"),
}


def object_question(d: Draw) -> Pairing | None:
    """Returns a question about the object: what, which, how many, what kind of, or who did it."""
    scene = scene_with(d, "verbs")
    verb = d.choice(scene.verbs)
    noun = d.choice(scene.nouns)
    kind = d.choice(("what", "which", "how many", "what kind", "who"))
    if kind == "who":
        return _who(d, scene, verb)
    if "human" in scene.traits and kind == "what" or verb.particle != "을/를":
        return None
    asking = _object_words(kind, noun, "human" in scene.traits)
    if asking is None:
        return None
    parts = Parts(d, scene, verb, d.choice((0, 1, 1)))
    phrase = c.verb_phrase("", verb.korean, verb.english, parts.english_last, willed=verb.willed)
    person = asked(d, scene, phrase)
    if clashes(person, phrase):
        return None
    tense = "present" if verb.state else d.choice(("past", "past", "future"))
    when = adverbial(d, "none" if verb.state else tense, 0.6)
    made = c.clause(person, phrase, tense)
    first, second = order(d, when.korean, topic(person))
    thing = "뭘" if kind == "what" and d.level is Level.CASUAL else asking[0]
    ending = finish(made, d.level, True, d.chance(0.3))
    korean = (first, second, parts.korean_first, thing, parts.manner[0], ending)
    rest = own(made.rest, person)
    return sentence(korean, (asking[1], made.operator, person.english, rest, when.english), "?")


def _object_words(kind: str, noun: Noun, human: bool) -> Pairing | None:
    if kind == "what":
        return "무엇을", "what"
    if kind == "which":
        return attach(f"어느 {noun.korean}", "을/를"), f"which {noun.english}"
    if kind == "what kind":
        return attach(f"어떤 {noun.korean}", "을/를"), f"what kind of {noun.english}"
    if noun.number != "count" or noun.counter in ("번", "과목") or noun.determiner == "my" and not human:
        return None
    return f"{attach(noun.korean, '을/를')} 몇 {noun.counter}", f"how many {noun.plural}"


def _who(d: Draw, scene: Scene, verb: Verb) -> Pairing | None:
    phrase = transitive(d, scene, verb, d.choice((0, 1)))
    if d.level is Level.PLAIN:
        d.level = Level.CASUAL
    if "OWN" in phrase.tail:
        return None
    anyone = Person("", "who", "whom", "their", "he")
    tense = "present" if verb.state else d.choice(("past", "past", "future"))
    when = adverbial(d, "none" if verb.state else tense, 0.6)
    made = c.clause(anyone, phrase, tense)
    korean = (when.korean, "누가", phrase.before, finish(made, d.level, True, d.chance(0.3)))
    return sentence(korean, ("who", made.statement, when.english), "?")


# --- requests, advice, suggestions ----------------------------------------------------------------


def request(d: Draw) -> Pairing | None:
    """Returns a command, request, prohibition, permission, advice, suggestion or offer."""
    scene, phrase = deed(d, d.choice((0, 1, 1, 2)), willed=True)
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
    when = adverbial(d, "future", 0.5)
    if d.chance(0.12) and kind in ("command", "please", "could you"):
        when = deadline(d)
    call = call_out(d, 0.25)
    english = opening.replace("BASE", own(phrase.base, person)).replace("ING", own(phrase.ing, person))
    ending = _ending(phrase.verb, kind, endings, d)
    who = {"offer": "제가" if d.humble else "내가"}.get(kind, "")
    first, second = (call[0], when.korean) if call[0] else ("", when.korean)
    text = english.rstrip("?")
    return sentence((first, second, who, phrase.before, ending), (call[1], _after_call(call, text), when.english), mark)


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


def deadline(d: Draw) -> Time:
    """Returns "by Friday", "by three o'clock"."""
    pick = d.rng.random()
    if pick < 0.5:
        day, english = d.choice(_WEEKDAYS)
        return Time(f"{day}요일까지", f"by {english}", "future")
    if pick < 0.75:
        return Time(*d.choice((("내일까지", "by tomorrow"), ("다음 주까지", "by next week"), ("오늘 밤까지", "by tonight"))), "future")
    part = d.choice(("오전", "오후"))
    korean, english = clock(d, part)
    where = "in the morning" if part == "오전" else "in the afternoon"
    return Time(f"{part} {korean}까지", f"{english.replace('at ', 'by ')} {where}", "future")


_WEEKDAYS = tuple(
    zip(
        "월 화 수 목 금 토 일".split(),
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
        strict=True,
    )
)


# --- descriptions ---------------------------------------------------------------------------------


def third(phrase: Phrase) -> Person:
    """Returns a noun phrase as the subject of a clause."""
    return Person(phrase.korean, phrase.english, phrase.english, "its", "they" if phrase.plural else "he")


def event_subject(d: Draw, scene: Scene) -> Person | None:
    """Returns a noun of the scene as subject, with a possessor where the noun belongs to somebody."""
    noun = d.choice(scene.nouns)
    phrase = noun_phrase(d, noun, scene)
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
    if person is None:
        return None
    body = scene.name == "body"
    phrase = c.verb_phrase("", happening.korean, happening.english)
    tense = d.choice(("present", "past", "past")) if body else d.choice(("past", "past", "past", "future"))
    when = adverbial(d, "none" if tense == "present" else tense, 0.75)
    where = ("", "")
    if scene.places and "building" not in scene.traits and not body and d.chance(0.3):
        spot = place(d, scene)
        where = (f"{spot.korean}에서", spot.located)
        if "OWN" in spot.located or happening.english.split()[0] in _NOT_AT or "human" in scene.traits:
            where = ("", "")
    negative = d.chance(0.12)
    made = c.clause(person, phrase, tense, negative, short=d.chance(0.4))
    asking = d.chance(0.2)
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    first, second = order(d, when.korean, topic(person, d.choice(("이/가", "이/가", "은/는"))))
    ending = finish(made, d.level, asking, d.chance(0.3))
    korean = (first, second, where[0], ending)
    if asking:
        return sentence(korean, (made.operator, person.english, made.rest, where[1], when.english), "?")
    return sentence(korean, (person.english, made.statement, where[1], when.english))


_NOT_AT = frozenset({"arrive", "depart", "leave", "rise", "fall", "increase", "decrease", "soar"})
_DEGREES = (
    ("매우", "very"), ("아주", "very"), ("정말", "really"), ("너무", "too"), ("꽤", "quite"), ("조금", "a little"),
)  # fmt: skip


def description(d: Draw) -> Pairing | None:
    """Returns what something is like, was like, looks like or has become."""
    scene = scene_with(d, "adjs")
    adjective = d.choice(scene.adjs)
    if adjective.place == "attr":
        return None
    person = event_subject(d, scene)
    if person is None or adjective.english in person.english:
        return None
    degree = d.choice(_DEGREES) if d.chance(0.55) else ("", "")
    phrase = c.verb_phrase(
        degree[0], adjective.korean, "be", spaced(degree[1], adjective.english), adjective=not adjective.verbal
    )
    tense = "present" if d.chance(0.7) else "past"
    if adjective.past:
        phrase, tense = c.replace(phrase, verb=conjugate(adjective.korean, "았다"), adjective=True), "present"
    pick = d.rng.random()
    plain = not adjective.verbal and not adjective.past and "|" not in adjective.korean
    if pick < 0.15 and plain and not degree[1] == "too":
        phrase = c.replace(phrase, verb=conjugate(adjective.korean, "아 보이다"), head="look", adjective=False)
    elif pick < 0.25 and plain and not degree[0] and not adjective.korean.endswith(("있다", "없다")):
        from polyhead.data.korean_english.english import comparative

        verb = conjugate(adjective.korean, "아지다")
        phrase, tense = c.replace(phrase, before="더", verb=verb, head="become", tail=comparative(adjective.english)), "past"
    negative = not degree[0] and phrase.head == "be" and not adjective.past and d.chance(0.2)
    made = c.clause(person, phrase, tense, negative)
    asking = d.chance(0.2) and not degree[0]
    if asking and d.level is Level.PLAIN:
        d.level = Level.CASUAL
    ending = finish(made, d.level, asking, d.chance(0.3))
    who = topic(person, "은/는")
    if asking:
        return sentence((who, phrase.before, ending), (made.operator, person.english, made.rest), "?")
    return sentence((who, phrase.before, ending), (person.english, made.statement))


def somebody_is(d: Draw) -> Pairing | None:
    """Returns what somebody is like, or is by trade, or how old."""
    group = d.choice(tuple(_GROUPS[d.domain]))
    person = subject(d, group)
    if person.agreement in ("they", "we") or person.gendered is False and d.chance(0.6):
        return None
    pick = d.rng.random()
    adjective = d.choice(d.lexicon.lists["person_adjs"])
    if pick < 0.45:
        degree = d.choice(_DEGREES[:5]) if d.chance(0.7) else ("", "")
        phrase = c.verb_phrase(degree[0], adjective[0], "be", spaced(degree[1], adjective[1]), adjective=True)
        return _is(d, person, phrase, d.choice(("present", "present", "past")), d.chance(0.15) and not degree[0])
    if person.english.split()[0] in ("the", "this", "that", "my") and pick < 0.9:
        return None
    if pick < 0.9:
        who = d.choice(d.lexicon.people[group])
        if who.honorific or who.plural:
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
    digits = d.chance(0.4)
    english = str(age) if digits else number_words(age)
    phrase = c.verb_phrase("", f"{counted(age, '살', digits)}|이다", "be", f"{english} years old", adjective=True)
    return _is(d, c.replace(person, honorific=False), phrase, "present", False) if not person.honorific else None


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


_GROUPS = {
    "business": ("office",),
    "sports": ("athlete",),
    "travel_shopping": ("traveler",),
    "medicine": ("doctor", "patient"),
    "daily_life": ("home",),
}
