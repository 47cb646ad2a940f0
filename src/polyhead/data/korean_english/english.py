"""English inflection: verbs, plurals, articles, comparatives and numbers in words."""

import re
from functools import lru_cache

_IRREGULAR_VERBS = {
    line.split()[0]: (line.split()[1], line.split()[2])
    for line in """
be was been|beat beat beaten|become became become|begin began begun|bend bent bent|bet bet bet
bite bit bitten|bleed bled bled|blow blew blown|break broke broken|bring brought brought
build built built|burn burned burned|buy bought bought|catch caught caught|choose chose chosen
come came come|cost cost cost|cut cut cut|deal dealt dealt|dig dug dug|do did done|draw drew drawn
dream dreamed dreamed|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen
feed fed fed|feel felt felt|fight fought fought|find found found|fly flew flown
forget forgot forgotten|forgive forgave forgiven|freeze froze frozen|get got gotten
give gave given|go went gone|grow grew grown|hang hung hung|have had had|hear heard heard
hide hid hidden|hit hit hit|hold held held|hurt hurt hurt|keep kept kept|know knew known
lay laid laid|lead led led|leave left left|lend lent lent|let let let|lie lay lain|lose lost lost
make made made|mean meant meant|meet met met|overcome overcame overcome|pay paid paid
put put put|quit quit quit|read read read|ride rode ridden|ring rang rung|rise rose risen
run ran run|say said said|see saw seen|sell sold sold|send sent sent|set set set|sew sewed sewn
shake shook shaken|shine shone shone|shoot shot shot|shut shut shut|show showed shown
shrink shrank shrunk|sing sang sung
sit sat sat|sleep slept slept|speak spoke spoken|spend spent spent|spill spilled spilled
spread spread spread|stand stood stood|steal stole stolen|stick stuck stuck|strike struck struck
sweep swept swept|swell swelled swollen|swim swam swum|swing swung swung|take took taken
teach taught taught|tear tore torn|tell told told|think thought thought|throw threw thrown
understand understood understood|upset upset upset|wake woke woken|wear wore worn|win won won
wind wound wound|write wrote written|rewrite rewrote rewritten|undergo underwent undergone
withdraw withdrew withdrawn|bounce bounced bounced|undo undid undone|knit knitted knitted
""".replace("\n", "|").split("|")
    if line.strip()
}
_DOUBLING = frozenset(
    [
        "admit",
        "ban",
        "beg",
        "chat",
        "chop",
        "clap",
        "commit",
        "control",
        "drag",
        "drip",
        "drop",
        "dip",
        "equip",
        "fit",
        "flip",
        "forget",
        "get",
        "grab",
        "hug",
        "jog",
        "knit",
        "mop",
        "nap",
        "nod",
        "occur",
        "omit",
        "permit",
        "pet",
        "pin",
        "plan",
        "plug",
        "prefer",
        "put",
        "quit",
        "refer",
        "regret",
        "rub",
        "rip",
        "scan",
        "scrub",
        "set",
        "shop",
        "shrug",
        "shut",
        "sip",
        "sit",
        "skip",
        "slip",
        "snap",
        "stir",
        "stop",
        "strip",
        "submit",
        "swim",
        "tap",
        "tip",
        "transfer",
        "trap",
        "trim",
        "trip",
        "win",
        "wrap",
        "run",
        "cut",
        "hit",
        "begin",
        "dig",
        "fan",
        "let",
        "zip",
        "sum",
    ]
)
_IRREGULAR_PLURALS = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet",
    "tooth": "teeth", "goose": "geese", "mouse": "mice", "knife": "knives", "wife": "wives",
    "life": "lives", "leaf": "leaves", "loaf": "loaves", "shelf": "shelves", "half": "halves",
    "scarf": "scarves", "calf": "calves", "wolf": "wolves", "thief": "thieves", "sheep": "sheep",
    "fish": "fish", "deer": "deer", "series": "series", "salmon": "salmon", "shrimp": "shrimp",
    "squid": "squid", "potato": "potatoes", "tomato": "tomatoes", "hero": "heroes",
    "mosquito": "mosquitoes", "crisis": "crises", "analysis": "analyses", "diagnosis": "diagnoses",
    "businessman": "businessmen", "fisherman": "fishermen", "aircraft": "aircraft",
    "passerby": "passersby", "grandchild": "grandchildren", "housewife": "housewives",
    "means": "means", "spacecraft": "spacecraft", "bookshelf": "bookshelves", "bus": "buses",
    "virus": "viruses", "bonus": "bonuses", "campus": "campuses", "lens": "lenses",
    "gas": "gases", "quiz": "quizzes", "cactus": "cacti", "prosthesis": "prostheses",
}  # fmt: skip
_AN_SOUND = re.compile(
    r"(?:[aeiou]|hour|honest|heir|honor|MRI|X-ray|MBA|LCD|LED|SUV|8|11\b|18\b)", re.I
)
_A_ANYWAY = re.compile(
    r"(?:uni(?!n|m)|use|usual|user|euro|one\b|once|ute|USB|UV|ukulele|U-turn|eucal)", re.I
)
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}  # fmt: skip
_COMPARATIVES = {"good": "better", "bad": "worse", "far": "farther", "many": "more", "much": "more"}
_SUPERLATIVES = {"good": "best", "bad": "worst", "far": "farthest"}
_MORE = frozenset(
    [
        "tired",
        "bored",
        "famous",
        "useful",
        "boring",
        "serious",
        "nervous",
        "careful",
        "modern",
        "fragile",
        "exciting",
        "tasteful",
        "worried",
        "helpful",
        "painful",
        "stressful",
        "urgent",
        "proper",
        "common",
        "active",
        "honest",
        "stubborn",
        "foreign",
        "frequent",
        "recent",
        "rapid",
        "crowded",
        "spacious",
        "fun",
        "certain",
        "human",
        "vivid",
        "precious",
        "complex",
        "precise",
        "secure",
        "polite",
        "afraid",
        "alone",
        "awake",
        "loyal",
        "diligent",
    ]
)
_ER_TWO = frozenset(["narrow", "shallow", "simple", "gentle", "quiet", "clever"])


def _syllables(word: str) -> int:
    count = len(re.findall(r"[aeiouy]+", word))
    return count - 1 if word.endswith("e") and not word.endswith("le") and count > 1 else count


def _first(phrase: str) -> tuple[str, str]:
    head, space, rest = phrase.partition(" ")
    return head, space + rest


def _doubles(word: str) -> bool:
    return word in _DOUBLING


@lru_cache(maxsize=20_000)
def third_person(verb: str) -> str:
    """Returns the third person singular; the first word of a phrase is inflected."""
    word, rest = _first(verb)
    if word in ("be", "have"):
        return {"be": "is", "have": "has"}[word] + rest
    if word.endswith("o"):
        return word + "es" + rest
    return _s(word) + rest


@lru_cache(maxsize=20_000)
def _s(word: str) -> str:
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + ("s" if word == "stomach" else "es")
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def _ed(word: str) -> str:
    if word.endswith("e"):
        return word + "d"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ied"
    return word + (word[-1] if _doubles(word) else "") + "ed"


@lru_cache(maxsize=20_000)
def past(verb: str) -> str:
    """Returns the simple past; the first word of a phrase is inflected."""
    word, rest = _first(verb)
    return (_IRREGULAR_VERBS[word][0] if word in _IRREGULAR_VERBS else _ed(word)) + rest


@lru_cache(maxsize=20_000)
def participle(verb: str) -> str:
    """Returns the past participle; the first word of a phrase is inflected."""
    word, rest = _first(verb)
    return (_IRREGULAR_VERBS[word][1] if word in _IRREGULAR_VERBS else _ed(word)) + rest


@lru_cache(maxsize=20_000)
def gerund(verb: str) -> str:
    """Returns the -ing form; the first word of a phrase is inflected."""
    word, rest = _first(verb)
    if word in ("lie", "die", "tie"):
        return word[:-2] + "ying" + rest
    if word.endswith("e") and not word.endswith(("ee", "ye", "oe")) and word != "be":
        return word[:-1] + "ing" + rest
    return word + (word[-1] if _doubles(word) else "") + "ing" + rest


@lru_cache(maxsize=20_000)
def plural(noun: str) -> str:
    """Returns the plural; of a phrase the last word is inflected, or the one before " of "."""
    head, of, rest = noun.partition(" of ")
    first, space, last = head.rpartition(" ")
    if last in _IRREGULAR_PLURALS:
        form = _IRREGULAR_PLURALS[last]
    elif last.endswith(("woman", "wife")) and last[:-5]:
        form = last[:-2] + "en" if last.endswith("woman") else last[:-2] + "ves"
    else:
        form = _s(last)
    return first + space + form + of + rest


@lru_cache(maxsize=50_000)
def article(phrase: str) -> str:
    """Returns "a" or "an", whichever goes before the phrase as it sounds."""
    if _A_ANYWAY.match(phrase):
        return "a"
    return "an" if _AN_SOUND.match(phrase) else "a"


@lru_cache(maxsize=5_000)
def comparative(adjective: str) -> str:
    """Returns "cheaper", "more expensive", "better" for an adjective."""
    return _COMPARATIVES.get(adjective) or _graded(adjective, "er", "more ")


@lru_cache(maxsize=5_000)
def superlative(adjective: str) -> str:
    """Returns "cheapest", "most expensive", "best" for an adjective (without "the")."""
    return _SUPERLATIVES.get(adjective) or _graded(adjective, "est", "most ")


def _graded(adjective: str, suffix: str, more: str) -> str:
    count = _syllables(adjective)
    short = count == 1 or (count == 2 and adjective.endswith("y")) or adjective in _ER_TWO
    if not short or adjective in _MORE or re.search(r"[ -]", adjective) or adjective.endswith("ed"):
        return more + adjective
    if adjective.endswith("e"):
        return adjective + suffix[1:]
    if re.search(r"[^aeiou]y$", adjective):
        return adjective[:-1] + "i" + suffix
    if re.search(r"^[^aeiou]*[aeiou][bdgmnpt]$", adjective):
        return adjective + adjective[-1] + suffix
    return adjective + suffix


@lru_cache(maxsize=20_000)
def number_words(number: int) -> str:
    """Returns a whole number from 0 to 999,999,999 in words; raises ValueError outside."""
    if not 0 <= number < 1_000_000_000:
        raise ValueError(f"{number} is out of range; number_words reads 0 to 999,999,999")
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {number_words(number % size)}" if number % size else ""
            return f"{number_words(number // size)} {name}{rest}"
    raise AssertionError("unreachable")


def ordinal_words(number: int) -> str:
    """Returns "first", "twenty-third": the ordinal of a number in words."""
    head, dash, last = number_words(number).rpartition("-")
    if last in _ORDINALS:
        return head + dash + _ORDINALS[last]
    return head + dash + (last[:-1] + "ie" if last.endswith("y") else last) + "th"


def ordinal_digits(number: int) -> str:
    """Returns "1st", "12th", "23rd"."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else suffix}"
