"""Korean verbs and adjectives: every ending from the dictionary form, by jamo arithmetic.

An ending is written as after a stem like 먹- or 작-: "고", "습니다", "는다", "으면", "은", "을",
"아요", "았다". What starts with 으, 은, 을, 음 or 읍 loses its 으 after a vowel; what starts with
아 or 았 follows vowel harmony. Only the last word of a phrase is conjugated.
"""

from functools import lru_cache

from polyhead.data.korean_english.hangul import final_sound, join, split, with_final

# Regular stems by their last syllable; those whose last syllable is not always regular, whole.
_B_REGULAR, _B_REGULAR_STEMS = "입잡뽑씹좁접집업", frozenset(["꼽", "손꼽", "수줍"])
_D_IRREGULAR = frozenset(["듣", "걷", "묻", "싣", "깨닫", "긷", "붇", "일컫", "엿듣", "알아듣"])
_S_IRREGULAR = frozenset(["짓", "낫", "붓", "잇", "긋", "젓", "퍼붓"])
_H_REGULAR, _H_REGULAR_STEMS = "좋넣놓낳쌓닿", frozenset(["찧", "빻", "땋"])
_REU_PLAIN = frozenset(["따르", "치르", "들르", "다다르", "우러르", "잠그", "담그"])
_REO = frozenset(["푸르", "이르", "누르스르"])
_CONTRACT = {"ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ", "ㅚ": "ㅙ"}
_H_VOWEL = {"ㅏ": "ㅐ", "ㅓ": "ㅐ", "ㅑ": "ㅒ", "ㅕ": "ㅖ"}
_L_KEEPS = ("면", "려", "러", "며", "므", "ㄹ")
_HONORIFIC = {
    "먹다": "드시다",
    "마시다": "드시다",
    "자다": "주무시다",
    "말하다": "말씀하시다",
}


def _stem(verb: str) -> str:
    if len(verb) < 2 or not verb.endswith("다"):
        raise ValueError(f"{verb!r} is not a dictionary form; give one that ends in 다, like 먹다")
    return verb[:-1]


def _kind(stem: str) -> str:
    """The letter that changes ("ㅂ", "ㄷ", "ㅅ", "ㅎ", "ㄹ"), or "" for a regular stem."""
    final = split(stem[-1])[2]
    if final == "ㅂ":
        return "" if stem[-1] in _B_REGULAR or stem in _B_REGULAR_STEMS else "ㅂ"
    if final == "ㄷ":
        return "ㄷ" if stem in _D_IRREGULAR else ""
    if final == "ㅅ":
        return "ㅅ" if stem in _S_IRREGULAR else ""
    if final == "ㅎ":
        return "" if stem[-1] in _H_REGULAR or stem in _H_REGULAR_STEMS else "ㅎ"
    return "ㄹ" if final == "ㄹ" else ""


def _bright(syllable: str) -> bool:
    return split(syllable)[1] in "ㅏㅗㅑ"


def _infinitive_open(stem: str) -> str:  # noqa: PLR0911
    """The 아/어 form of a stem that ends in a vowel."""
    lead, vowel, _ = split(stem[-1])
    head = stem[:-1]
    if stem[-1] == "하":
        return head + "해"
    if stem[-1] == "푸" and not head:
        return "퍼"
    if stem[-1] == "르" and stem in _REO:
        return stem + "러"
    if stem[-1] == "르" and head and stem not in _REU_PLAIN:
        return with_final(head, "ㄹ") + ("라" if _bright(head[-1]) else "러")
    if vowel == "ㅡ":
        return head + join(lead, "ㅏ" if head and _bright(head[-1]) else "ㅓ")
    if vowel in "ㅏㅓㅐㅔㅕㅑ":
        return stem
    if vowel in _CONTRACT:
        return head + join(lead, _CONTRACT[vowel])
    return stem + "어"


@lru_cache(maxsize=10_000)
def infinitive(verb: str) -> str:
    """Returns the 아/어 form of a dictionary form; raises ValueError for anything else."""
    stem = _stem(verb)
    lead, vowel, final = split(stem[-1])
    if not final:
        return _infinitive_open(stem)
    kind = _kind(stem)
    if kind == "ㅂ":
        open_stem = with_final(stem, "")
        return open_stem + ("와" if stem in ("돕", "곱") else "워")
    if kind == "ㅎ":
        return stem[:-1] + join(lead, _H_VOWEL[vowel])
    if kind == "ㅅ":
        stem = with_final(stem, "")
    elif kind == "ㄷ":
        stem = with_final(stem, "ㄹ")
    # 았, 었 and 겠 always take 어; so do 있- and 없-.
    return stem + ("아" if vowel in "ㅏㅗㅑ" and final != "ㅆ" else "어")


def _attach_eu(stem: str, ending: str) -> str:  # noqa: PLR0911
    """The stem with an ending that starts with 으, 은, 을, 음 or 읍."""
    kind = _kind(stem)
    letter = split(ending[0])[2]
    rest = ending[1:]
    if kind == "ㅂ":
        stem = with_final(stem, "") + "우"
    elif kind == "ㅎ":
        stem = with_final(stem, "")
    elif kind == "ㄷ":
        return with_final(stem, "ㄹ") + ending
    elif kind == "ㅅ":
        return with_final(stem, "") + ending
    elif kind == "ㄹ":
        if letter == "ㅁ":
            return with_final(stem, "ㄻ") + rest
        if letter:
            return with_final(stem, letter) + rest
        return (stem if rest.startswith(_L_KEEPS) else with_final(stem, "")) + rest
    elif split(stem[-1])[2]:
        return stem + ending
    return (with_final(stem, letter) if letter else stem) + rest


@lru_cache(maxsize=200_000)
def conjugate(verb: str, ending: str) -> str:
    """Returns the verb phrase with the ending on its last word; raises ValueError for a bad form.

    A bar parts a noun from the copula that leans on it: "의사|이다", honoured "의사|이시다".
    """
    noun, bar, last = verb.partition("|")
    if bar and last == "이다":
        return copula(noun, ending)
    if bar:
        return noun + conjugate(last, ending)
    head, space, verb = verb.rpartition(" ")
    if verb == "아니다" and ending in ("아요", "아"):
        return f"{head}{space}아니{'에요' if ending == '아요' else '야'}"
    stem = _stem(verb)
    first = ending[0]
    if first in "아았":
        form = infinitive(verb)
        form = (with_final(form, "ㅆ") if first == "았" else form) + ending[1:]
    elif first in "으은을음읍":
        form = _attach_eu(stem, ending)
    elif ending.startswith(("습니", "는다")):
        if split(stem[-1])[2] in ("", "ㄹ"):
            form = with_final(stem, "ㅂ" if first == "습" else "ㄴ") + ending[1:]
        else:
            form = stem + ending
    elif _kind(stem) == "ㄹ" and split(first)[0] in "ㄴㅅ":
        form = with_final(stem, "") + ending
    else:
        form = stem + ending
    return head + space + form


@lru_cache(maxsize=10_000)
def honorific(verb: str) -> str:
    """Returns the dictionary form that honours the subject: 가시다, 들으시다, 드시다."""
    if verb.endswith("|이다"):
        return verb[:-2] + "이시다"
    head, space, last = verb.rpartition(" ")
    if last == "있다" and head.endswith("고"):
        return head + " 계시다"
    return head + space + (_HONORIFIC.get(last) or conjugate(last, "으시다"))


@lru_cache(maxsize=50_000)
def copula(noun: str, ending: str) -> str:
    """Returns the noun with 이다 in an ending: 의사예요, 학생이에요, 의사였다, 학생입니다."""
    open_noun = not final_sound(noun)
    if ending == "아요":
        return noun + ("예요" if open_noun else "이에요")
    if ending == "아":
        return noun + ("야" if open_noun else "이야")
    if ending.startswith("아서"):
        return noun + ("여서" if open_noun else "이어서")
    if ending.startswith("았"):
        return noun + ("였" if open_noun else "이었") + ending[1:]
    if open_noun and ending[0] in "다지니":
        return noun + ending
    return noun + conjugate("이다", ending)
