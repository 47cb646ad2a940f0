"""Korean numbers in words (native and Sino-Korean), and how counters, clocks and prices read."""

from functools import lru_cache

_NATIVE_ONES = ("", "하나", "둘", "셋", "넷", "다섯", "여섯", "일곱", "여덟", "아홉")
_NATIVE_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_BEFORE_COUNTER = {"하나": "한", "둘": "두", "셋": "세", "넷": "네"}
_SINO = ("", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구")
_SMALL = ((1000, "천"), (100, "백"), (10, "십"))

NATIVE_COUNTERS = frozenset(
    [
        "개",
        "명",
        "사람",
        "마리",
        "권",
        "대",
        "장",
        "잔",
        "병",
        "그릇",
        "벌",
        "켤레",
        "자루",
        "송이",
        "살",
        "시",
        "시간",
        "번",
        "군데",
        "채",
        "척",
        "통",
        "봉지",
        "상자",
        "조각",
        "곡",
        "달",
        "가지",
        "줄",
        "알",
        "컵",
        "접시",
        "포기",
        "다발",
        "부",
        "건",
        "판",
        "캔",
        "모",
        "팩",
        "자리",
        "곳",
        "차례",
        "갑",
        "편",
        "경기",
        "골",
        "바퀴",
        "쌍",
        "세트",
    ]
)


@lru_cache(maxsize=1_000)
def native(number: int) -> str:
    """Returns a native Korean number 1 to 99 as it stands alone; raises ValueError outside."""
    if not 1 <= number <= 99:
        raise ValueError(f"{number} has no native Korean reading here; use 1 to 99 or sino()")
    return _NATIVE_TENS[number // 10] + _NATIVE_ONES[number % 10]


@lru_cache(maxsize=1_000)
def native_before_counter(number: int) -> str:
    """Returns the native number as it stands before a counter: 한, 두, 세, 네, 스무, 스물한."""
    if number == 20:
        return "스무"
    tens, ones = _NATIVE_TENS[number // 10], native(number)[len(_NATIVE_TENS[number // 10]) :]
    return tens + _BEFORE_COUNTER.get(ones, ones)


def _below_ten_thousand(number: int) -> str:
    words = ""
    for size, name in _SMALL:
        digit = number // size % 10
        if digit:
            words += ("" if digit == 1 else _SINO[digit]) + name
    return words + _SINO[number % 10]


@lru_cache(maxsize=20_000)
def sino(number: int) -> str:
    """Returns a Sino-Korean number below 10^12, spaced by ten thousands; raises ValueError."""
    if not 0 <= number < 10**12:
        raise ValueError(f"{number} is out of range; sino() reads 0 to 999,999,999,999")
    if number == 0:
        return "영"
    parts = []
    for size, name in ((10**8, "억"), (10**4, "만"), (1, "")):
        group = number // size % 10_000
        if group:
            words = (
                ""
                if group == 1 and name == "만" and number < 20_000
                else _below_ten_thousand(group)
            )
            parts.append(words + name)
    return " ".join(parts)


@lru_cache(maxsize=20_000)
def counted(number: int, counter: str, digits: bool = False) -> str:
    """Returns number and counter: 세 개, 스무 살, 삼 층 in words, or 3개 in digits."""
    if digits:
        return f"{number:,}{counter}"
    if counter in NATIVE_COUNTERS and number < 100:
        return f"{native_before_counter(number)} {counter}"
    return f"{sino(number)} {counter}"


def month_name(month: int) -> str:
    """Returns the Korean month in words: 유월 and 시월 have lost a consonant."""
    return {6: "유월", 10: "시월"}.get(month) or f"{sino(month)}월"


def day_name(day: int) -> str:
    """Returns the Korean day of the month in words: 십오일."""
    return f"{sino(day)}일"
