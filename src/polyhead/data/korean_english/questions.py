"""Yes-no and wh-questions."""

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import (
    Clause,
    Pairing,
    VerbPhrase,
    finish,
    own,
    sentence,
    topic,
)
from polyhead.data.korean_english.deeds import (
    Parts,
    asked,
    call_out,
    clashes,
    deed,
    mood_of,
    order,
    scene_with,
    transitive,
)
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.lexicon import Noun, Scene, Verb
from polyhead.data.korean_english.people import Draw, Level, Person, Time
from polyhead.data.korean_english.times import adverbial, time


def yes_no(d: Draw) -> Pairing | None:
    """Returns a yes-no question."""
    scene, phrase = deed(d, d.choice((0, 1, 1, 2)))
    person = asked(d, scene, phrase)
    if clashes(person, phrase):
        return None
    phrase, tense, wanted = mood_of(d, phrase, person)
    when = adverbial(d, wanted, 1.0 if wanted == "present" else 0.65)
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
    if kind == "with whom" and ("alone" in phrase.tail or " with " in phrase.tail or phrase.giving):
        return None
    person = asked(d, scene, phrase)
    if clashes(person, phrase) or (kind == "where" and "alone" in phrase.tail):
        return None
    tense = "present" if kind == "how often" else d.choice(("past", "past", "future"))
    if tense == "future" and d.chance(0.4) and kind != "why":
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
    return sentence(
        korean, (english, made.operator, person.english, rest, after, when.english), "?"
    )


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
    if kind == "how many" and verb.korean in ("가르치다", "배우다", "연습하다", "연주하다"):
        return None
    if ("human" in scene.traits and kind == "what") or verb.particle != "을/를":
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
    if (
        noun.number != "count"
        or noun.counter in ("번", "과목")
        or (noun.determiner == "own" and not human)
    ):
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
