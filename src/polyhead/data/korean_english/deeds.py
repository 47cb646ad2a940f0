"""Verb phrases out of a scene: a verb, its object and the parts around them; and who does it."""

from functools import lru_cache

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import VerbPhrase, spaced
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.lexicon import Adverb, Scene, Verb, lexicon
from polyhead.data.korean_english.people import (
    Draw,
    Level,
    Person,
    Phrase,
    hearer,
    named,
    other,
    particle_after,
    subject,
)
from polyhead.data.korean_english.phrases import noun_phrase, place
from polyhead.data.korean_english.times import span


@lru_cache(maxsize=64)
def _weighted(domain: str, part: str) -> tuple[tuple[Scene, ...], tuple[int, ...]]:
    scenes = tuple(s for s in lexicon().scenes[domain] if getattr(s, part))
    total, sums = 0, []
    for scene in scenes:
        total += scene.size * (4 + len(getattr(scene, part))) + 2 * len(scene.nouns)
        sums.append(total)
    return scenes, tuple(sums)


def scene_with(d: Draw, part: str) -> Scene:
    """Returns a scene of the domain that has nouns, verbs, adjs, events or acts as asked."""
    scenes, sums = _weighted(d.domain, part)
    return d.rng.choices(scenes, cum_weights=sums)[0]


@lru_cache(maxsize=1)
def _manner() -> dict[str, list[Adverb]]:
    known: dict[str, list[Adverb]] = {"": []}
    for entry in lexicon().lists["adverbs"]:
        korean, english, verbs = (*entry, "")[:3]
        if verbs.startswith("-"):
            known[""].append(Adverb(korean, english, frozenset(verbs[1:].split(","))))
            continue
        for verb in verbs.split(",") if verbs else ("",):
            known.setdefault(verb, []).append(Adverb(korean, english, frozenset()))
    return known


@lru_cache(maxsize=1)
def _durative() -> frozenset[str]:
    return frozenset(entry[0] for entry in lexicon().lists["durative"])


def adverb(d: Draw, verb: Verb) -> tuple[str, str] | None:
    """Returns an adverb of manner the verb can take, or None."""
    known = _manner()
    fitting = known.get(verb.korean)
    if fitting and d.chance(0.8):
        pick = d.choice(fitting)
    elif verb.willed and not verb.state:
        pick = d.choice(known[""])
        if verb.korean in pick.verbs:
            return None
    else:
        return None
    return pick.korean, pick.english


_NEEDS_RECIPIENT = frozenset({"give", "show", "lend"})


class Parts:
    """The optional parts of a verb phrase, drawn at most `most` of them."""

    def __init__(self, d: Draw, scene: Scene, verb: Verb, most: int, ban: str = "") -> None:
        self.place = self.companion = self.recipient = self.manner = self.span = ("", "")
        active = verb.willed and not verb.state
        kinds = [
            kind
            for kind, possible in (
                ("place", not verb.state and bool(scene.places)),
                (
                    "companion",
                    active
                    and not verb.recipient
                    and verb.korean != "상담하다"
                    and scene.name != "body",
                ),
                ("recipient", verb.recipient),
                ("recipient", verb.recipient),
                ("manner", not verb.state),
                ("span", verb.korean in _durative()),
            )
            if possible and kind not in ban
        ]
        for _ in range(min(most, len(kinds))):
            self._draw(d, scene, verb, d.choice(kinds))
        if verb.recipient and verb.english in _NEEDS_RECIPIENT and not self.recipient[0]:
            self._draw(d, scene, verb, "recipient")

    def _draw(self, d: Draw, scene: Scene, verb: Verb, kind: str) -> None:
        if kind == "place":
            spot = place(d, scene)
            self.place = (f"{spot.korean}에서", spot.located)
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
    marked = (
        attach(thing.korean, verb.particle)
        if "/" in verb.particle
        else thing.korean + verb.particle
    )
    before, after = (parts.manner[0], marked) if d.chance(0.5) else (marked, parts.manner[0])
    return c.verb_phrase(
        spaced(parts.korean_first, before, after),
        verb.korean,
        verb.english,
        spaced(thing.english, parts.english_last),
        willed=verb.willed and not verb.state,
        lasting=not verb.state,
        giving=verb.recipient,
        habitual=bool(scene.traits & {"sport", "food"}) or scene.name in _HABITS,
    )


_HABITS = frozenset({"drink", "books", "instrument", "sight"})


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
        habitual=parts.manner[1] not in ("again", "personally"),
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
    person = subject(d, scene.who, gendered="OWN" in phrase.tail)
    if scene.name == "body" and person.agreement in ("we", "they"):
        return named(d)
    return person


def clashes(person: Person, phrase: VerbPhrase) -> bool:
    """Returns whether the subject stands in the phrase a second time."""
    name = person.english.removeprefix("my ")
    return name in phrase.tail and len(name) > 3


def order(d: Draw, when: str, who: str) -> tuple[str, str]:
    """Returns Korean time and subject in one of the two usual orders."""
    return (when, who) if d.chance(0.55) else (who, when)


_MOODS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("plain", 54, ("past", "past", "past", "future", "future", "present", "present", "present")),
    ("progressive", 9, ("present", "past")),
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


_INSTANT = frozenset(
    ["그만두다", "포기하다", "시작하다", "참석하다", "주최하다", "출시하다", "전공하다", "거르다"]
)
_AHEAD = frozenset({"wanting", "obliged", "able", "intending", "planning", "scheduled", "needing"})


def mood_of(d: Draw, phrase: VerbPhrase, person: Person) -> tuple[VerbPhrase, str, str]:
    """Returns the phrase in a mood, its tense, and the tense its time adverbial should have."""
    name = d.rng.choices(_NAMES, cum_weights=_SUMS)[0]
    if not phrase.willed and name not in ("plain", "experienced"):
        name = "plain"
    if name == "progressive" and phrase.verb in _INSTANT:
        name = "plain"
    if name in ("liking", "disliking") and not phrase.habitual:
        name = "plain"
    tense = d.choice(_TENSES[name])
    if name == "plain":
        if not phrase.lasting and tense == "future":
            tense = "present"
        elif not phrase.willed and tense != "past" and d.domain != "medicine":
            tense = "past"
        return phrase, tense, tense if phrase.lasting or tense == "past" else "none"
    wrapped: VerbPhrase = getattr(c, name)(phrase, person)
    if name == "progressive":
        return wrapped, tense, "now" if tense == "present" else "past"
    if name in _AHEAD:
        return wrapped, tense, "future" if tense == "present" else "past"
    return wrapped, tense, "past" if tense == "past" and name != "trying" else "none"


def call_out(d: Draw, probability: float) -> tuple[str, str]:
    """Returns a name called before a sentence, 민수 씨, or 민수야, — or nothing."""
    if not d.chance(probability):
        return "", ""
    sex = d.choice("mf")
    korean, english = d.choice(d.lexicon.lists[f"names.{sex}"])[:2]
    korean = f"{korean} 씨" if d.humble else attach(korean, "아/야")
    return f"{korean},", f"{english},"


def asked(d: Draw, scene: Scene, phrase: VerbPhrase) -> Person:
    """Returns whom a question is about, most often the hearer; also settles the level."""
    if d.level is Level.PLAIN:
        d.level = Level.CASUAL
    if d.chance(0.62):
        return hearer(d)
    person = actor(d, scene, phrase)
    return hearer(d) if person.agreement in ("I", "we") else person
