"""The word lists of `words/*.tsv`, read once into small frozen values.

A file holds sections. `[scene key=value flag]` opens a group of words that go together: any of its
verbs takes any of its nouns, at any of its places. `[people.x]`, `[places.x]`, `[names.x]` and the
like open plain lists. `@nouns`, `@verbs`, `@adjs`, `@events`, `@acts`, `@places` and `@adverbs` say
what the lines below are; a line is Korean, English, flags, parted by tabs.

Noun flags: u uncountable, p plural only, `counter=`, `pl=` plural, `m=` English measure.
Verb flags: `o=` particle other than 을/를, r takes a recipient, s a state, n not done on purpose.
Adjective flags: + and - speak for and against, attr and pred limit the place, v conjugates as a
verb, past stands in the past form. `|` parts a noun from the copula, as in 성공적|이다.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

from polyhead.data.korean_english import english

DOMAINS = ("business", "sports", "travel_shopping", "medicine", "daily_life")


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun with its English grammar: determiner the/a/no/own and number count/mass/plural."""

    korean: str
    english: str
    plural: str
    determiner: str
    number: str
    counter: str
    measure: str


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and its frame: the object's particle, a recipient, whether it is a state or willed."""

    korean: str
    english: str
    particle: str = "을/를"
    recipient: bool = False
    state: bool = False
    willed: bool = True


@dataclass(frozen=True, slots=True)
class Adjective:
    """An adjective, its place (attr, pred or both), its sign (+, -, none), how it conjugates."""

    korean: str
    english: str
    place: str
    sign: str
    verbal: bool
    past: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A place with the English preposition for being there; a destination if one can go there."""

    korean: str
    located: str
    toward: str


@dataclass(frozen=True, slots=True)
class Role:
    """A kind of person, honoured or not."""

    korean: str
    english: str
    honorific: bool
    plural: bool


@dataclass(frozen=True, slots=True)
class Adverb:
    """An adverb of manner and the Korean verbs it goes with (all, where none are named)."""

    korean: str
    english: str
    verbs: frozenset[str]


@dataclass(slots=True)
class Scene:
    """Words that go together in one domain; `traits` are thing, human, building, food, ..."""

    name: str
    domain: str
    who: str
    at: str
    traits: frozenset[str]
    size: int
    nouns: list[Noun] = field(default_factory=list)
    verbs: list[Verb] = field(default_factory=list)
    adjs: list[Adjective] = field(default_factory=list)
    events: list[Verb] = field(default_factory=list)
    acts: list[Verb] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    adverbs: list[Adverb] = field(default_factory=list)


@dataclass(slots=True)
class Lexicon:
    """All scenes by domain and all plain lists by name."""

    scenes: dict[str, list[Scene]]
    places: dict[str, list[Place]]
    people: dict[str, list[Role]]
    lists: dict[str, list[tuple[str, ...]]]


def _flags(text: str) -> tuple[set[str], dict[str, str]]:
    plain: set[str] = set()
    keyed: dict[str, str] = {}
    for item in text.split():
        key, equals, value = item.partition("=")
        if equals:
            keyed[key] = value
        else:
            plain.add(key)
    return plain, keyed


def _noun(columns: list[str], header: dict[str, str]) -> Noun:
    plain, keyed = _flags(columns[2])
    number = "mass" if "u" in plain else "plural" if "p" in plain else "count"
    return Noun(
        korean=columns[0],
        english=columns[1],
        plural=keyed.get("pl") or (columns[1] if number != "count" else english.plural(columns[1])),
        determiner=keyed.get("det", header.get("det", "the")).replace("my", "own"),
        number=number,
        counter=keyed.get("counter", header.get("counter", "개")),
        measure=keyed.get("m", ""),
    )


def _verb(columns: list[str]) -> Verb:
    plain, keyed = _flags(columns[2])
    particle = {"와": "과/와", "로": "으로/로"}.get(keyed.get("o", ""), keyed.get("o", "을/를"))
    return Verb(columns[0], columns[1], particle, "r" in plain, "s" in plain, "n" not in plain)


def _adjective(columns: list[str]) -> Adjective:
    plain, _ = _flags(columns[2])
    place = "attr" if "attr" in plain else "pred" if "pred" in plain else "both"
    sign = "+" if "+" in plain else "-" if "-" in plain else ""
    return Adjective(columns[0], columns[1], place, sign, "v" in plain, "past" in plain)


def _place(columns: list[str]) -> Place:
    korean, preposition, noun = columns[:3]
    plain = _flags(columns[3])[0] if len(columns) > 3 else set()
    if "my" in plain:
        noun = f"OWN {noun}"
    elif "a" in plain:
        noun = f"{english.article(noun)} {noun}"
    elif "no" not in plain:
        noun = f"the {noun}"
    toward = "" if "nodest" in plain else noun if noun in ("home", "downtown") else f"to {noun}"
    return Place(korean, noun if preposition == "-" else f"{preposition} {noun}", toward)


def _role(columns: list[str]) -> Role:
    plain, _ = _flags(columns[2])
    return Role(columns[0], columns[1], "h" in plain, "p" in plain)


def _adverb(columns: list[str]) -> Adverb:
    return Adverb(columns[0], columns[1], frozenset(filter(None, columns[2].split(","))))


class _Reader:
    def __init__(self) -> None:
        self.lexicon = Lexicon({name: [] for name in DOMAINS}, {}, {}, {})
        self.header: dict[str, str] = {}
        self.scene: Scene | None = None
        self.kind = ""
        self.target = ""

    def open(self, line: str, domain: str) -> None:
        name, _, rest = line.partition("]")
        name = name[1:]
        plain, self.header = _flags(rest)
        group, _, self.target = name.partition(".")
        self.scene = None
        self.kind = group
        if group in ("people", "places"):
            (self.lexicon.people if group == "people" else self.lexicon.places).setdefault(
                self.target, []
            )
        elif "who" in self.header:
            at, size = self.header.get("at", ""), int(self.header.get("size", "1"))
            self.scene = Scene(name, domain, self.header["who"], at, frozenset(plain), size)
            self.lexicon.scenes[domain].append(self.scene)
        else:
            self.target = name
            self.kind = "list"
            self.lexicon.lists[name] = []

    def entry(self, columns: list[str]) -> None:
        if self.kind == "people":
            self.lexicon.people[self.target].append(_role(columns))
        elif self.kind == "places" and self.scene is None:
            self.lexicon.places[self.target].append(_place(columns))
        elif self.scene is None:
            self.lexicon.lists[self.target].append(tuple(columns))
        elif self.kind == "nouns":
            self.scene.nouns.append(_noun(columns, self.header))
        elif self.kind in ("verbs", "events", "acts"):
            getattr(self.scene, self.kind).append(_verb(columns))
        elif self.kind == "adjs":
            self.scene.adjs.append(_adjective(columns))
        elif self.kind == "places":
            self.scene.places.append(_place(columns))
        else:
            self.scene.adverbs.append(_adverb(columns))


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    """Returns the lexicon of the package; raises ValueError for a line it cannot read."""
    reader = _Reader()
    folder = resources.files("polyhead.data.korean_english") / "words"
    for domain in (*DOMAINS, "common"):
        text = (folder / f"{domain}.tsv").read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                reader.open(line, domain)
            elif line.startswith("@"):
                reader.kind = line[1:]
            else:
                columns = line.split("\t")
                if len(columns) < 2 and reader.kind != "list":
                    raise ValueError(
                        f"{domain}.tsv:{number}: {line!r} has no English; part with a tab"
                    )
                reader.entry(columns + [""] * (3 - len(columns)))
    for scenes in reader.lexicon.scenes.values():
        for scene in scenes:
            scene.places = scene.places or reader.lexicon.places.get(scene.at, [])
    return reader.lexicon
