"""Which writing systems a language uses, and whether a text is written in them."""

from __future__ import annotations

from collections import Counter
from functools import cache

import regex

LATIN = (
    "af az bs ca cs cy da de en eo es et eu fi fil fo fr ga gl ha hr hu id ig is it jv la lb lt lv "
    "mi ms mt nb nl nn no oc pl pt ro sk sl so sq su sv sw tl tn tr uz vi wo xh yo zu"
)
_OTHERS = {
    "am": "Ethiopic",
    "ar": "Arabic",
    "be": "Cyrillic",
    "bg": "Cyrillic",
    "bn": "Bengali",
    "el": "Greek",
    "fa": "Arabic",
    "gu": "Gujarati",
    "he": "Hebrew",
    "hi": "Devanagari",
    "hy": "Armenian",
    "ja": "Hiragana Katakana Han",
    "ka": "Georgian",
    "kk": "Cyrillic Latin",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Hangul",
    "ky": "Cyrillic",
    "lo": "Lao",
    "mk": "Cyrillic",
    "ml": "Malayalam",
    "mn": "Cyrillic Mongolian",
    "mr": "Devanagari",
    "my": "Myanmar",
    "ne": "Devanagari",
    "or": "Oriya",
    "pa": "Gurmukhi Arabic",
    "ps": "Arabic",
    "ru": "Cyrillic",
    "sa": "Devanagari",
    "sd": "Arabic Devanagari",
    "si": "Sinhala",
    "sr": "Cyrillic Latin",
    "ta": "Tamil",
    "te": "Telugu",
    "tg": "Cyrillic",
    "th": "Thai",
    "uk": "Cyrillic",
    "ur": "Arabic",
    "yi": "Hebrew",
    "zh": "Han Bopomofo",
}
SCRIPTS: dict[str, tuple[str, ...]] = dict.fromkeys(LATIN.split(), ("Latin",)) | {
    code: tuple(names.split()) for code, names in _OTHERS.items()
}
_SUBTAGS = {"latn": "Latin", "cyrl": "Cyrillic", "arab": "Arabic", "deva": "Devanagari"}
_NAMES = sorted({name for names in SCRIPTS.values() for name in names})
_LEAST = 0.25  # of a text's letters: names and quotations in another script are no fault


def scripts_of(language: str) -> tuple[str, ...]:
    """The scripts of a language code (`ko`, `ko_KR`, `sr-Latn`), as Unicode names them; or none."""
    first, *rest = language.lower().replace("_", "-").split("-")
    told = tuple(_SUBTAGS[part] for part in rest if part in _SUBTAGS)
    return told or SCRIPTS.get(first, ())


class Script:
    """Tells whether texts are written as a language is; of an unknown language every text is."""

    def __init__(self, language: str):
        self.names = scripts_of(language)
        classes = "".join(rf"\p{{Script={name}}}" for name in self.names)
        self._other = regex.compile(rf"[^{classes}]+") if classes else None
        self._no_letter = regex.compile(r"\P{L}+")

    def fits(self, text: str) -> bool:
        """Whether at least a quarter of the letters, if there are any, are the language's."""
        if self._other is None:
            return True
        own = len(self._other.sub("", text))
        return own >= _LEAST * len(text) or own >= _LEAST * len(self._no_letter.sub("", text))


@cache
def _letters_of(name: str) -> regex.Pattern[str]:
    return regex.compile(rf"\p{{Script={name}}}")


def main_script(text: str) -> str:
    """The script most letters of a text are in, of those in the table; "another" if none."""
    counts = Counter({name: len(_letters_of(name).findall(text)) for name in _NAMES})
    name, count = counts.most_common(1)[0]
    return name if count else "another script"
