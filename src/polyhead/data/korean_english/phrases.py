"""Noun phrases and places, each as a pair of Korean and English strings.

`OWN` in an English string stands for the possessive of the clause's subject, filled in there.
"""

from polyhead.data.korean_english.conjugation import conjugate
from polyhead.data.korean_english.english import article, number_words
from polyhead.data.korean_english.lexicon import Adjective, Noun, Place, Scene
from polyhead.data.korean_english.numerals import counted
from polyhead.data.korean_english.people import Draw, Level, Phrase, named


def attributive(adjective: Adjective) -> str:
    """Returns the Korean adjective before a noun: 비싼, 맛있는, 붐비는, 오래된."""
    verbal = (adjective.verbal and not adjective.past) or adjective.korean.endswith(
        ("있다", "없다")
    )
    return conjugate(adjective.korean, "는" if verbal else "은")


def determined(noun: Noun, words: str = "", determiner: str = "") -> str:
    """Returns the English noun with its own determiner (or the given one) and words between."""
    determiner = determiner or noun.determiner
    text = f"{words} {noun.english}" if words else noun.english
    if determiner == "a":
        return f"{article(text)} {text}" if noun.number == "count" else text
    if determiner == "own":
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


def _measured(noun: Noun, count: int, amount: str, words: str) -> str:
    names = {
        "인분": "serving",
        "그릇": "bowl",
        "잔": noun.measure or "cup",
        "켤레": "pair",
        "벌": "pair",
    }
    measure = names[noun.counter]
    what = " ".join(filter(None, (words, noun.plural)))
    return f"{amount} {measure if count == 1 else measure + 's'} of {what}"


def countable(noun: Noun, scene: Scene) -> bool:
    """Returns whether the noun can stand with a number and a counter."""
    if noun.counter in ("번", "과목") or (noun.determiner == "own" and "human" not in scene.traits):
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
        return Phrase(korean, _measured(noun, count, amount, words), count > 1)
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
    return f"{who.korean}의", f"{who.english}'s"


def noun_phrase(  # noqa: PLR0911
    d: Draw, noun: Noun, scene: Scene, definite: bool = False, bare: bool = False
) -> Phrase:
    """Returns the noun with up to two modifiers of the kinds its grammar allows.

    A definite one is talked about (a subject): "a" gives way to "the", and nothing is counted. A
    bare one has no adjective.
    """
    usual_plural = noun.number == "plural"
    usual = "the" if definite and noun.determiner == "a" else noun.determiner
    if d.chance(0.22) or "sport" in scene.traits:
        return Phrase(noun.korean, determined(noun, "", usual), usual_plural)
    before, words = "", ""
    if scene.adjs and not bare and d.chance(0.5):
        adjective = d.choice(scene.adjs)
        if adjective.place != "pred":
            before, words = f"{attributive(adjective)} ", adjective.english
    if definite and noun.number == "count" and noun.determiner != "own" and d.chance(0.2):
        text = " ".join(filter(None, ("all the", words, noun.plural)))
        return Phrase(f"모든 {before}{noun.korean}", text, True)
    pick = d.rng.random()
    body = noun.determiner == "own" and "human" not in scene.traits
    if pick < 0.26 and countable(noun, scene) and not definite:
        return quantity(d, noun, before, words)
    if pick < 0.44 and not body:
        korean, english, near = d.choice((("이", "this", "these"), ("그", "that", "those")))
        return Phrase(
            f"{korean} {before}{noun.korean}",
            determined(noun, words, near if usual_plural else english),
            usual_plural,
        )
    if (
        pick < 0.56
        and not {"abstract", "human", "building", "food", "event"} & scene.traits
        and not body
    ):
        korean, english = _owner(d)
        return Phrase(
            f"{korean} {before}{noun.korean}", determined(noun, words, english), usual_plural
        )
    if pick < 0.78 and noun.number == "count" and not body and not definite:
        korean, english = d.choice(
            (("여러", "several"), ("많은", "many"), ("모든", "all the"), ("몇몇", "a few"))
        )
        if before and english == "many":
            korean, english = "여러", "several"
        text = " ".join(filter(None, (english, words, noun.plural)))
        return Phrase(f"{korean} {before}{noun.korean}", text, True)
    if pick < 0.85 and noun.number == "count" and not before and not body and not definite:
        korean, english = d.choice(_SINGLE_OUT)
        text = (
            f"another {noun.english}" if english == "another" else f"the {english} {noun.english}"
        )
        return Phrase(f"{korean} {noun.korean}", text)
    return Phrase(f"{before}{noun.korean}", determined(noun, words, usual), usual_plural)


_SINGLE_OUT = (
    ("다른", "another"),
    ("같은", "same"),
    ("첫 번째", "first"),
    ("두 번째", "second"),
    ("세 번째", "third"),
    ("마지막", "last"),
    ("다음", "next"),
)


def place(d: Draw, scene: Scene) -> Place:
    """Returns a place of the scene, or sometimes a city."""
    if not scene.places or (
        d.chance(0.12) and d.domain in ("business", "sports", "travel_shopping")
    ):
        korean, english = d.choice(d.lexicon.lists["cities"])[:2]
        return Place(korean, f"in {english}", f"to {english}")
    return d.choice(scene.places)
