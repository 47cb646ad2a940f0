"""Sentences with a clause inside: reports, relative clauses, moments, and tags."""

from polyhead.data.korean_english import clauses as c
from polyhead.data.korean_english.clauses import Pairing, finish, own, sentence, spaced, topic
from polyhead.data.korean_english.conjugation import conjugate, honorific
from polyhead.data.korean_english.deeds import (
    actor,
    clashes,
    deed,
    mood_of,
    order,
    scene_with,
    transitive,
)
from polyhead.data.korean_english.descriptions import event_subject
from polyhead.data.korean_english.hangul import attach
from polyhead.data.korean_english.lexicon import Scene
from polyhead.data.korean_english.linking import gendered
from polyhead.data.korean_english.people import (
    Draw,
    Level,
    Person,
    Phrase,
    hearer,
    named,
    relative,
    speaker,
    subject,
)
from polyhead.data.korean_english.times import adverbial, time


def moment(d: Draw) -> Pairing | None:
    """Returns what somebody was doing when another came, called or went."""
    scene, phrase = deed(d, d.choice((0, 1, 1)), willed=True, ban="companion span")
    person = actor(d, scene, phrase)
    comer = d.choice((speaker(d), named(d), named(d), relative(d)))
    if comer.english == person.english or clashes(person, phrase) or comer.english in phrase.tail:
        return None
    korean, english = d.choice(d.lexicon.lists["moments"])[:2]
    before, _, verb = korean.rpartition(" ")
    came = c.clause(comer, c.verb_phrase(before, verb, english), "past")
    doing = c.clause(person, c.progressive(phrase, person), "past")
    started = (topic(comer, "이/가"), before, conjugate(came.verb, "을"), "때")
    if person.dropped:
        return None
    said = own(doing.statement, person)
    return sentence(
        (*started, topic(person), phrase.before, finish(doing, d.level)),
        ("when", comer.english, came.statement + ",", person.english, said),
    )


def report(d: Draw) -> Pairing | None:
    """Returns what somebody says, heard, thinks or what seems to be."""
    kind = d.choice(("heard", "think", "seems", "seems", "know", "hope"))
    scene, phrase = deed(d, d.choice((0, 1, 1)), willed=True)
    person = actor(d, scene, phrase)
    if person.agreement in ("I", "we") or clashes(person, phrase):
        return None
    about = "future" if kind == "hope" else d.choice(("past", "past", "future"))
    when = adverbial(d, about, 0.5)
    told = c.clause(person, phrase, "present" if kind == "hope" else about)
    shown = own(c.clause(person, phrase, about).statement, person)
    tail = (person.english, shown, when.english)
    first, second = order(d, when.korean, topic(person, "이/가"))
    begin = (first, second, phrase.before)
    if kind == "seems":
        stem = honorific(phrase.verb) if person.honorific else phrase.verb
        verb = conjugate(stem, "은" if about == "past" else "을") + " 것 같다"
        made = c.Clause(verb, True, False, "", "", "")
        return sentence((*begin, finish(made, d.level)), ("it seems that", *tail))
    if kind == "know":
        if d.level is Level.PLAIN:
            d.level = Level.CASUAL
        verb = told.verb[:-4] + "것|이다" if about == "future" else told.verb
        asked = conjugate(phrase.verb, "을지") if about == "future" else conjugate(verb, "는지")
        ending = {Level.FORMAL: "아십니까", Level.POLITE: "아세요", Level.CASUAL: "아니"}[d.level]
        return sentence((*begin, asked, ending), ("do you know whether", *tail), "?")
    if kind == "hope":
        stem = honorific(phrase.verb) if person.honorific else phrase.verb
        me = speaker(d, dropped=d.chance(0.5))
        hope = c.Clause(conjugate(stem, "기") + " 바라다", False, False, "", "", "")
        shown = own(c.clause(person, phrase, "present").statement, person)
        return sentence(
            (topic(me), *begin, _hoping(hope.verb, d)),
            ("I hope that", person.english, shown, when.english),
        )
    stem = told.verb[:-4] + "것|이다" if about == "future" else told.verb
    quoted = stem[:-3] + "이라고" if stem.endswith("|이다") else conjugate(stem, "다고")
    me = speaker(d, dropped=d.chance(0.5))
    verb, english = ("듣다", "heard") if kind == "heard" else ("생각하다", "think")
    tense = "past" if kind == "heard" else "present"
    made = c.clause(me, c.verb_phrase("", verb, "hear" if kind == "heard" else "think"), tense)
    return sentence(
        (topic(me), *begin, quoted, finish(made, d.level)), (f"I {english} that", *tail)
    )


def _hoping(verb: str, d: Draw) -> str:
    # 바라다 keeps 바라- in careful writing: 바라요, 바라.
    ending = {Level.FORMAL: "습니다", Level.PLAIN: "는다"}.get(d.level)
    if ending:
        return conjugate(verb, ending)
    return verb[:-1] + ("요" if d.level is Level.POLITE else "")


def which_one(d: Draw) -> Pairing | None:  # noqa: PLR0911
    """Returns a relative clause: the bag that I bought yesterday is expensive."""
    scene = scene_with(d, "verbs")
    noun = d.choice(scene.nouns)
    verb = d.choice(scene.verbs)
    if (
        verb.state
        or verb.recipient
        or verb.particle != "을/를"
        or noun.determiner == "own"
        or "sport" in scene.traits
    ):
        return None
    owner = gendered(d, scene.who)
    if owner.dropped:
        return None
    if d.chance(0.75) or not verb.willed:
        when = adverbial(d, "past", 0.4)
        stem = honorific(verb.korean) if owner.honorific else verb.korean
        inner = spaced(when.korean, topic(owner, "이/가"), conjugate(stem, "은"))
        made = c.clause(owner, c.verb_phrase("", verb.korean, verb.english), "past")
    else:
        when = adverbial(d, "none")
        going = c.progressive(c.verb_phrase("", verb.korean, verb.english), owner)
        made = c.clause(owner, going, "present")
        inner = spaced(topic(owner, "이/가"), conjugate(made.verb, "는"))
    plural = noun.number == "plural"
    thing = Phrase(
        f"{inner} {noun.korean}",
        spaced(f"the {noun.english} that", owner.english, made.statement, when.english),
        plural,
    )
    pick = d.rng.random()
    if pick < 0.45 and scene.adjs:
        return _which_is(d, scene, thing, plural)
    if pick < 0.65 and scene.events:
        happening = d.choice(scene.events)
        person = Person(thing.korean, thing.english, "", "its", "they" if plural else "he")
        result = c.clause(person, c.verb_phrase("", happening.korean, happening.english), "past")
        return sentence(
            (topic(person, "이/가"), finish(result, d.level)), (thing.english, result.statement)
        )
    second = d.choice(scene.verbs)
    if second.korean == verb.korean or second.state:
        return None
    phrase = transitive(d, scene, second, 0, thing)
    person = subject(d, scene.who)
    if person.english == owner.english or person.english in phrase.tail:
        return None
    if phrase.willed:
        phrase, tense, _ = mood_of(d, phrase, person)
    else:
        tense = "past"
    if tense == "present" and phrase.verb == second.korean:
        tense = "past"
    result = c.clause(person, phrase, tense)
    return sentence(
        (topic(person), phrase.before, finish(result, d.level)),
        (person.english, own(result.statement, person)),
    )


def _which_is(d: Draw, scene: Scene, thing: Phrase, plural: bool) -> Pairing | None:
    adjective = d.choice(scene.adjs)
    if adjective.place == "attr" or adjective.past:
        return None
    degree = d.choice((("매우", "very"), ("정말", "really"), ("", "")))
    person = Person(thing.korean, thing.english, "", "its", "they" if plural else "he")
    phrase = c.verb_phrase(
        degree[0],
        adjective.korean,
        "be",
        spaced(degree[1], adjective.english),
        adjective=not adjective.verbal,
    )
    result = c.clause(person, phrase, d.choice(("present", "past")))
    return sentence(
        (topic(person), phrase.before, finish(result, d.level)), (thing.english, result.statement)
    )


def who_did(d: Draw) -> Pairing | None:
    """Returns a relative clause about a person: I met the nurse who treated Minsu."""
    scene, phrase = deed(d, d.choice((0, 0, 1)), willed=True)
    group = d.lexicon.people[scene.who]
    who = d.choice(group)
    if who.honorific or who.plural or "OWN" in phrase.tail or who.english in phrase.tail:
        return None
    doer = Person(who.korean, who.english, who.english, "their", "he")
    about = d.choice(("past", "past", "present"))
    inner = c.clause(doer, phrase if about == "past" else c.progressive(phrase, doer), about)
    verb = (
        conjugate(phrase.verb, "은") if about == "past" else conjugate(phrase.verb, "고") + " 있는"
    )
    korean, english, particle = d.choice(_MEETING)
    person = subject(d, scene.who)
    if person.english == f"the {who.english}" or person.english in phrase.tail:
        return None
    noun = f"{spaced(phrase.before, verb)} {who.korean}"
    marked = attach(noun, particle) if "/" in particle else noun + particle
    outer = c.verb_phrase(marked, korean, english, f"the {who.english} who {inner.statement}")
    tense = d.choice(("past", "past", "future"))
    made = c.clause(person, outer, tense)
    return sentence(
        (topic(person), marked, finish(made, d.level)), (person.english, made.statement)
    )


_MEETING = (
    ("만나다", "meet", "을/를"),
    ("찾다", "look for", "을/를"),
    ("전화하다", "call", "에게"),
    ("돕다", "help", "을/를"),
    ("칭찬하다", "praise", "을/를"),
    ("기다리다", "wait for", "을/를"),
    ("방문하다", "visit", "을/를"),
    ("초대하다", "invite", "을/를"),
)


def because_of_it(d: Draw) -> Pairing | None:
    """Returns a deed done or left for what the thing is like: it was cheap, so I bought it."""
    scene = scene_with(d, "adjs")
    fitting = [a for a in scene.adjs if a.sign and a.place != "attr" and not a.past]
    verbs = [v for v in scene.verbs if v.korean in _CHOOSING]
    if not fitting or not verbs:
        return None
    adjective, verb = d.choice(fitting), d.choice(verbs)
    person = event_subject(d, scene, bare=True)
    if "'" in person.english or "my" in person.english.split():
        return None
    doer = gendered(d, scene.who)
    if "human" in scene.traits:
        return None
    it = "them" if person.agreement == "they" else "it"
    phrase = c.verb_phrase("", verb.korean, verb.english, it)
    degree = d.choice((("너무", "too"), ("정말", "really"), ("", "")))
    if adjective.sign == "+" and degree[1] == "too":
        degree = ("매우", "very")
    made = c.clause(
        person,
        c.verb_phrase(
            "", adjective.korean, "be", spaced(degree[1], adjective.english), adjective=True
        ),
        "past",
    )
    result = c.clause(doer, phrase, "past", adjective.sign == "-", short=d.chance(0.4))
    cause = conjugate(adjective.korean, "아서")
    korean = (topic(person, "이/가"), degree[0], cause, topic(doer), finish(result, d.level))
    return sentence(
        korean, (person.english, made.statement + ",", "so", doer.english, result.statement)
    )


_CHOOSING = frozenset(
    [
        "사다",
        "고르다",
        "추천하다",
        "주문하다",
        "예약하다",
        "사용하다",
        "선택하다",
        "승인하다",
        "받아들이다",
        "지지하다",
        "빌리다",
        "먹다",
        "마시다",
        "배우다",
        "즐기다",
        "방문하다",
        "입어",
        "보다",
        "구입하다",
        "챙기다",
        "복용하다",
        "판매하다",
        "수입하다",
        "이용하다",
        "타다",
        "읽다",
        "제안하다",
        "처방하다",
        "권하다",
        "신청하다",
        "구경하다",
        "보다",
        "관람하다",
        "출시하다",
        "섭취하다",
        "인수하다",
    ]
) | {"입어 보다", "먹어 보다"}


def tag(d: Draw) -> Pairing | None:
    """Returns a statement that asks for agreement: -지요, right?"""
    scene, phrase = deed(d, d.choice((0, 1)))
    person = hearer(d) if d.chance(0.4) else actor(d, scene, phrase)
    if d.level in (Level.PLAIN, Level.FORMAL):
        d.level = Level.POLITE if d.humble else Level.CASUAL
    if person.agreement == "I" or clashes(person, phrase):
        return None
    tense = d.choice(("past", "past", "future"))
    when = time(d, tense) if d.chance(0.6) else adverbial(d, "none")
    made = c.clause(person, phrase, tense, d.chance(0.12))
    first, second = order(d, when.korean, topic(person))
    ending = conjugate(made.verb, "지요" if d.level is Level.POLITE else "지")
    said = spaced(person.english, own(made.statement, person), when.english) + ","
    return sentence((first, second, phrase.before, ending), (said, "right"), "?")
