"""Sentences of two clauses: reasons, conditions, sequence, contrast."""

from dataclasses import replace

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import (
    Pairing,
    VerbPhrase,
    finish,
    own,
    sentence,
    spaced,
    topic,
)
from polyhead.data.korean_english.conjugation import conjugate, honorific
from polyhead.data.korean_english.deeds import (
    act,
    actor,
    clashes,
    deed,
    order,
    scene_with,
    transitive,
)
from polyhead.data.korean_english.people import Draw, Level, Person, hearer, subject
from polyhead.data.korean_english.times import adverbial


def pronoun_of(person: Person) -> str:
    return person.pronoun or person.english


def gendered(d: Draw, group: str) -> Person:
    return subject(d, group, gendered=True)


def _situation(d: Draw, flag: str, verb: str) -> tuple[VerbPhrase, str, bool]:
    """A situation that bears on the verb: its phrase, its English subject ("~" the sentence's own)
    and whether it speaks for the deed."""
    while True:
        entry = d.choice(d.lexicon.lists["situations"])
        flags = entry[3].split()
        if (
            flag not in flags
            or ("w" in flags and verb not in _OUTDOORS)
            or ("m" in flags and verb not in _PAID)
        ):
            continue
        if "d" in flags and d.domain != "daily_life":
            continue
        before, _, last = entry[0].rpartition(" ")
        phrase = c.verb_phrase(before, last, entry[2], adjective="a" in flags)
        return phrase, entry[1], "if2" not in flags


_OUTDOORS = frozenset(
    [
        "방문하다",
        "만나다",
        "참석하다",
        "관람하다",
        "구경하다",
        "타다",
        "달리다",
        "걷다",
        "수영하다",
        "자전거를",
        "타다",
        "등산하다",
        "산책하다",
        "여행하다",
        "캠핑하다",
        "낚시하다",
        "쇼핑하다",
        "운전하다",
        "이사하다",
        "배웅하다",
        "찾아가다",
        "장을",
        "보다",
        "놀다",
        "출근하다",
        "뛰다",
        "훈련하다",
        "둘러보다",
        "찍다",
        "기다리다",
        "떠나다",
        "심다",
        "출장을",
        "가다",
        "초대하다",
        "빨래하다",
    ]
) | {"자전거를 타다", "장을 보다", "출장을 가다", "사진을 찍다", "꽃을 심다", "해돋이를 보다"}


_PAID = frozenset(
    [
        "사다",
        "구입하다",
        "주문하다",
        "예약하다",
        "빌리다",
        "고치다",
        "수리하다",
        "교체하다",
        "여행하다",
        "쇼핑하다",
        "배우다",
        "인수하다",
        "고용하다",
        "설립하다",
        "확장하다",
        "수입하다",
        "설치하다",
        "이사하다",
        "선물하다",
        "타다",
        "이용하다",
        "받다",
        "신청하다",
        "개발하다",
        "제조하다",
    ]
) | {"차를 빌리다", "기념품을 사다"}


def _outsider(name: str, person: Person) -> Person:
    if name == "~":
        return person
    return Person("", name, name, "its", "he")


def reason(d: Draw) -> Pairing | None:
    """Returns a deed and its reason: -기 때문에 is "because", -아서 is "so"."""
    good = d.chance(0.4)
    scene, phrase = deed(d, d.choice((0, 0, 1)), willed=True, ban="companion span")
    ground, who, _ = _situation(d, "why+" if good else "why-", phrase.verb)
    person = gendered(d, scene.who)
    if clashes(person, phrase):
        return None
    outsider = _outsider(who, person)
    same = who == "~"
    cause = c.clause(outsider, replace(ground, before=""), "past")
    if good:
        result = (
            c.clause(person, phrase, "past")
            if d.chance(0.6)
            else c.clause(person, c.deciding(phrase, person), "past")
        )
    elif d.chance(0.5):
        result = c.clause(person, c.able(phrase, person), "past", True)
    else:
        result = c.clause(person, phrase, "past", True)
    when = adverbial(d, "past", 0.35)
    pronoun = pronoun_of(person)
    done = own(result.statement, person)
    if d.chance(0.5):
        before = conjugate(cause.verb, "기") + " 때문에"
        korean = _chain(
            d,
            when.korean,
            person,
            same,
            ground.before,
            before,
            phrase.before,
            finish(result, d.level),
        )
        said = pronoun if same else outsider.english
        return sentence(
            korean, (person.english, done, when.english, "because", said, cause.statement)
        )
    verb = honorific(ground.verb) if same and person.honorific else ground.verb
    korean = _chain(
        d,
        when.korean,
        person,
        same,
        ground.before,
        conjugate(verb, "아서"),
        phrase.before,
        finish(result, d.level),
    )
    said = person.english if same else outsider.english
    after = pronoun if same else person.english
    return sentence(korean, (said, cause.statement + ",", "so", after, done, when.english))


def _chain(
    d: Draw, when: str, person: Person, same: bool, before: str, linked: str, rest: str, ending: str
) -> tuple[str, ...]:
    """Korean order: the subject first where both clauses share it, else before its own clause."""
    if same:
        first, second = order(d, when, topic(person))
        return first, second, before, linked, rest, ending
    return when, before, linked, topic(person), rest, ending


def condition(d: Draw) -> Pairing | None:
    """Returns a condition, -으면, and what then."""
    scene, phrase = deed(d, d.choice((0, 0, 1)), willed=True)
    flag = d.choice(("if", "if", "if2")) if phrase.verb in _OUTDOORS else "if"
    ground, who, good = _situation(d, flag, phrase.verb)
    person = gendered(d, scene.who)
    if clashes(person, phrase):
        return None
    pick = d.rng.random()
    same = who == "~"
    if pick < 0.35:
        return _conditional_request(d, ground, who, phrase, good)
    outsider = _outsider(who, person)
    if pick < 0.7:
        result = c.clause(person, phrase, "future")
    elif pick < 0.85:
        result = c.clause(person, c.wanting(phrase, person), "present")
    else:
        result = c.clause(person, c.able(phrase, person), "present")
    cause = c.clause(outsider, replace(ground, before=""), "present")
    verb = honorific(ground.verb) if same and person.honorific else ground.verb
    when = adverbial(d, "future", 0.25)
    korean = _chain(
        d,
        when.korean,
        person,
        same,
        ground.before,
        conjugate(verb, "으면"),
        phrase.before,
        finish(result, d.level),
    )
    said = person.english if same else outsider.english
    after = pronoun_of(person) if same else person.english
    condition_text = spaced("if", said, cause.statement, when.english) + ","
    return sentence(korean, (condition_text, after, own(result.statement, person)))


def _conditional_request(
    d: Draw, ground: VerbPhrase, who: str, phrase: VerbPhrase, good: bool
) -> Pairing:
    if d.level is Level.PLAIN:
        d.level = Level.CASUAL
    you = hearer(d)
    outsider = _outsider(who, you)
    cause = c.clause(outsider, replace(ground, before=""), "present")
    verb = honorific(ground.verb) if who == "~" and you.honorific else ground.verb
    endings, opening = d.choice(_ASKS[:3] if good else _ASKS[2:])
    ending = endings[{Level.FORMAL: 0, Level.POLITE: 1, Level.CASUAL: 2}[d.level]]
    done = conjugate(phrase.verb, ending)
    return sentence(
        (ground.before, conjugate(verb, "으면"), phrase.before, done),
        ("if", outsider.english, cause.statement + ",", opening, own(phrase.base, you)),
    )


_ASKS = (
    (("아 주십시오", "아 주세요", "아 줘"), "please"),
    (("아도 됩니다", "아도 돼요", "아도 돼"), "you may"),
    (("는 것이 좋습니다", "는 게 좋아요", "는 게 좋아"), "you should"),
    (("지 마십시오", "지 마세요", "지 마"), "don't"),
)


_SEQUENCE = (
    ("고", "and"),
    ("은 후에", "after"),
    ("기 전에", "before"),
    ("으면서", "while"),
)


_MEANWHILE = (
    "걷다", "쉬다", "웃다", "울다", "노래하다",
    "이야기하다", "산책하다", "줄을 서다", "음악을 듣다", "차를 마시다",
    "텔레비전을 보다", "휴가를 보내다", "땀을 흘리다", "스트레칭하다",
    "준비 운동을 하다", "숨을 쉬다", "일하다", "놀다",
    "여행하다", "푹 쉬다", "응원하다",
)  # fmt: skip


def sequence(d: Draw) -> Pairing | None:
    """Returns two deeds of one person: and, after, before, while."""
    scene, one = deed(d, 0, willed=True)
    if d.chance(0.3):
        scene = scene_with(d, "acts")
        one = act(d, scene, d.choice(scene.acts), 0)
        if not one.willed:
            return None
    _, two = deed(d, d.choice((0, 0, 1)), willed=True, ban="span")
    person = actor(d, scene, replace(one, tail=one.tail + two.tail))
    if one.verb == two.verb or clashes(person, one) or clashes(person, two):
        return None
    ending, word = d.choice(_SEQUENCE)
    if word == "while" and not one.verb.endswith(_MEANWHILE):
        ending, word = _SEQUENCE[0]
    tense = d.choice(("past", "past", "future"))
    result = c.clause(person, two, tense)
    when = adverbial(d, tense, 0.5)
    early, late = order(d, when.korean, topic(person))
    verb = honorific(one.verb) if person.honorific else one.verb
    parts = (
        early,
        late,
        one.before,
        conjugate(verb, ending),
        two.before,
        finish(result, d.level),
    )
    done = own(result.statement, person)
    if word == "and":
        lead = own(c.clause(person, one, tense).statement, person)
        done = done.removeprefix("will ")
        return sentence(parts, (person.english, lead, "and", done, when.english))
    return sentence(parts, (person.english, done, word, own(one.ing, person), when.english))


def purpose(d: Draw) -> Pairing | None:
    """Returns a deed and its aim: -기 위해, in order to."""
    scene, phrase = deed(d, d.choice((0, 0, 1)), willed=True)
    person = actor(d, scene, phrase)
    korean, english = d.choice([a for a in d.lexicon.lists["aims"] if d.domain in a[2]])[:2]
    if clashes(person, phrase):
        return None
    tense = d.choice(("past", "past", "future"))
    base = phrase
    if d.chance(0.45):
        name = d.choice(("obliged", "wanting", "trying", "deciding", "intending"))
        phrase = getattr(c, name)(phrase, person)
        tense = "past" if name == "deciding" else d.choice(("present", "past"))
    made = c.clause(person, phrase, tense)
    when = adverbial(d, tense if phrase is base else "none", 0.4)
    first, second = order(d, when.korean, topic(person))
    aim = conjugate(korean, "기") + " 위해"
    korean_parts = (first, second, aim, phrase.before, finish(made, d.level))
    shown = own(made.statement, person)
    return sentence(korean_parts, (person.english, shown, when.english, "in order to", english))


def contrast(d: Draw) -> Pairing | None:
    """Returns two clauses joined by "but", of two people or of one who wanted and could not."""
    scene, one = deed(d, d.choice((0, 0, 1)), willed=True, ban="companion")
    person = gendered(d, scene.who)
    if clashes(person, one):
        return None
    if d.chance(0.45):
        ground, who, _ = _situation(d, "why-", one.verb)
        if who != "~":
            return None
        wish = c.clause(person, c.wanting(one, person), "past")
        other = c.clause(person, replace(ground, before=""), "past")
        first = (topic(person), one.before, conjugate(wish.verb, "지만"))
        return sentence(
            (*first, ground.before, finish(other, d.level)),
            (
                person.english,
                own(wish.statement, person) + ",",
                "but",
                pronoun_of(person),
                other.statement,
            ),
        )
    another = gendered(d, scene.who)
    second = d.choice(scene.verbs or scene.acts)
    two = transitive(d, scene, second, 0) if scene.verbs else act(d, scene, second, 0)
    if (
        another.english == person.english
        or clashes(another, two)
        or another.dropped
        or person.dropped
    ):
        return None
    if not two.lasting or two.verb == one.verb:
        return None
    tense = d.choice(("past", "past", "future"))
    left, right = c.clause(person, one, tense), c.clause(another, two, tense, d.chance(0.4))
    korean = (
        topic(person),
        one.before,
        conjugate(left.verb, "지만"),
        topic(another),
        two.before,
        finish(right, d.level),
    )
    return sentence(
        korean,
        (
            person.english,
            own(left.statement, person) + ",",
            "but",
            another.english,
            own(right.statement, another),
        ),
    )
