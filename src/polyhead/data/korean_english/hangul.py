"""Hangul syllables as arithmetic, and the particles that depend on how a word ends."""

import re
from functools import lru_cache

LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")

_FIRST, _LAST = 0xAC00, 0xD7A3
_DIGIT_FINALS = dict(
    zip("0123456789", ("ㅇ", "ㄹ", "", "ㅁ", "", "", "ㄱ", "ㄹ", "ㄹ", ""), strict=True)
)
_UNIT_FINALS = {"%": "", "km": "", "cm": "", "m": "", "kg": "ㅁ", "g": "ㅁ"}
_CAPITAL_FINALS = {"L": "ㄹ", "R": "ㄹ", "M": "ㅁ", "N": "ㄴ"}
_LATIN_FINALS = {
    "l": "ㄹ",
    "m": "ㅁ",
    "n": "ㄴ",
    "k": "ㄱ",
    "c": "ㄱ",
    "p": "ㅂ",
    "b": "ㅂ",
    "t": "ㅅ",
}
_TRAILING = re.compile(r"[\s\"'”’)\]}>.,!?]+$")
_NUMBER = re.compile(r"\d[\d,]*$")
_LATIN = re.compile(r"(\d?)([A-Za-z]+)$")


def is_syllable(character: str) -> bool:
    """Returns whether the character is one composed hangul syllable."""
    return len(character) == 1 and _FIRST <= ord(character) <= _LAST


def split(syllable: str) -> tuple[str, str, str]:
    """Returns lead, vowel and final consonant ("" for none); raises ValueError for no syllable."""
    if not is_syllable(syllable):
        raise ValueError(f"{syllable!r} is not one hangul syllable; give a letter from 가 to 힣")
    code = ord(syllable) - _FIRST
    return LEADS[code // 588], VOWELS[code % 588 // 28], FINALS[code % 28]


def join(lead: str, vowel: str, final: str = "") -> str:
    """Returns the syllable made of the three letters; raises ValueError where they make none."""
    try:
        code = LEADS.index(lead) * 588 + VOWELS.index(vowel) * 28 + FINALS.index(final)
    except ValueError:
        raise ValueError(f"{lead!r}, {vowel!r}, {final!r} do not make a hangul syllable") from None
    return chr(_FIRST + code)


def with_final(word: str, final: str) -> str:
    """Returns the word with the final consonant of its last syllable replaced."""
    lead, vowel, _ = split(word[-1])
    return word[:-1] + join(lead, vowel, final)


def _number_final(digits: str) -> str:
    if not digits.strip("0"):
        return _DIGIT_FINALS["0"]
    zeros = len(digits) - len(digits.rstrip("0"))
    if zeros == 0:
        return _DIGIT_FINALS[digits[-1]]
    if zeros < 4:
        return ("ㅂ", "ㄱ", "ㄴ")[zeros - 1]
    return "ㄴ" if zeros < 8 else "ㄱ" if zeros < 12 else ""


def _latin_final(word: str) -> str:
    if word.isupper():
        return _CAPITAL_FINALS.get(word[-1], "")
    lower = word.lower()
    if lower.endswith("ng"):
        return "ㅇ"
    if re.search(r"[^aeiou]le$", lower):
        return "ㄹ"
    if re.search(r"[aeiou][mn]e$", lower):
        lower = lower[:-1]
    if lower[-1] in "lmn":
        return _LATIN_FINALS[lower[-1]]
    if re.search(r"(^|[^aeiou])[aeiou]{1,2}(ck|[kcpbt])$", lower) and not lower.endswith("ke"):
        return _LATIN_FINALS[lower[-1]]
    return ""


@lru_cache(maxsize=100_000)
def final_sound(word: str) -> str:
    """Returns the last consonant as the word is read aloud in Korean, "" where it ends in a vowel.

    Digits are read as Sino-Korean numbers and capital Latin words letter by letter; for other Latin
    words the spelling decides, which is a guess. Raises ValueError for a word without a letter.
    """
    bare = _TRAILING.sub("", word)
    if not bare:
        raise ValueError(f"{word!r} has no letter or digit; a particle needs a word to lean on")
    if is_syllable(bare[-1]):
        return split(bare[-1])[2]
    if match := _NUMBER.search(bare):
        return _number_final(match.group().replace(",", ""))
    if bare[-1] == "%":
        return ""
    if match := _LATIN.search(bare):
        if match.group(1) and match.group(2) in _UNIT_FINALS:
            return _UNIT_FINALS[match.group(2)]
        return _latin_final(match.group(2))
    raise ValueError(f"{word!r} does not end in a letter or digit; a particle needs its sound")


def particle(word: str, pair: str) -> str:
    """Returns the half of a pair such as "은/는" that agrees with the word.

    The first half follows a consonant, the second a vowel; 으로/로 counts ㄹ among the vowels.
    Raises ValueError where the pair has not two halves.
    """
    after_consonant, slash, after_vowel = pair.partition("/")
    if not slash:
        raise ValueError(f"{pair!r} is not a pair of particles; write it like '은/는'")
    final = final_sound(word)
    if final == "ㄹ" and after_consonant.startswith("으로"):
        final = ""
    return after_consonant if final else after_vowel


def attach(word: str, pair: str) -> str:
    """Returns the word followed by the agreeing half of a pair of particles."""
    return word + particle(word, pair)
