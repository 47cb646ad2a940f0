"""Adverbials of time: clocks, dates, spans and habits, in words and digits."""

from collections.abc import Sequence

from polyhead.data.korean_english.english import number_words, ordinal_words
from polyhead.data.korean_english.numerals import counted, day_name, month_name
from polyhead.data.korean_english.people import Draw, Time

WEEKDAYS = tuple(
    zip(
        ["월", "화", "수", "목", "금", "토", "일"],
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        strict=True,
    )
)


MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


_SIMPLE = {
    "past": (
        ("어제", "yesterday"), ("그저께", "the day before yesterday"), ("지난주에", "last week"),
        ("지난달에", "last month"), ("작년에", "last year"), ("방금", "just now"),
        ("오늘 아침에", "this morning"),
        ("어젯밤에", "last night"), ("지난 주말에", "last weekend"),
        ("작년 여름에", "last summer"),
        ("작년 겨울에", "last winter"), ("며칠 전에", "a few days ago"),
        ("얼마 전에", "not long ago"), ("작년 봄에", "last spring"), ("작년 가을에", "last fall"),
    ),
    "future": (
        ("내일", "tomorrow"), ("모레", "the day after tomorrow"), ("다음 주에", "next week"),
        ("다음 달에", "next month"), ("내년에", "next year"), ("곧", "soon"), ("나중에", "later"),
        ("오늘 오후에", "this afternoon"),
        ("오늘 밤에", "tonight"), ("오늘 저녁에", "this evening"),
        ("이번 주말에", "this weekend"),
        ("다음 주말에", "next weekend"), ("내년 여름에", "next summer"),
        ("내년 겨울에", "next winter"), ("내년 봄에", "next spring"), ("언젠가", "someday"),
    ),
    "present": (
        ("매일", "every day"), ("매주", "every week"),
        ("매달", "every month"), ("아침마다", "every morning"),
        ("저녁마다", "every evening"), ("밤마다", "every night"), ("주말마다", "every weekend"),
        ("요즘", "these days"), ("매년", "every year"),
        ("여름마다", "every summer"), ("겨울마다", "every winter"),
    ),
}  # fmt: skip


_PARTS = {
    "오전": ("in the morning", "morning", (8, 9, 10, 11)),
    "아침": ("in the morning", "morning", (6, 7, 8, 9)),
    "오후": ("in the afternoon", "afternoon", (1, 2, 3, 4, 5)),
    "저녁": ("in the evening", "evening", (6, 7, 8, 9)),
}


_DAYS = {"past": (("어제", "yesterday"),), "future": (("내일", "tomorrow"), ("오늘", "this"))}


UNITS = (
    ("분", "minute"),
    ("시간", "hour"),
    ("일", "day"),
    ("주", "week"),
    ("달", "month"),
    ("년", "year"),
)


_OWN_NAMES = {
    (1, "일"): "하루",
    (2, "일"): "이틀",
    (3, "일"): "사흘",
    (4, "일"): "나흘",
    (1, "주"): "일주일",
}


def clock(d: Draw, part: str) -> tuple[str, str]:
    """Returns a time of day within a part of the day, in words or digits, without its particle."""
    hour = d.choice(_PARTS[part][2])
    minute = d.choice((0, 0, 0, 30, 30, 10, 15, 20, 25, 40, 45, 50, 55))
    if d.chance(0.4):
        return _digit_clock(hour, minute)
    korean = counted(hour, "시")
    if minute == 0:
        return korean, f"at {number_words(hour)} o'clock"
    if minute == 30:
        return f"{korean} 반", f"at half past {number_words(hour)}"
    return f"{korean} {counted(minute, '분')}", f"at {number_words(hour)} {number_words(minute)}"


def _digit_clock(hour: int, minute: int) -> tuple[str, str]:
    if minute == 0:
        return f"{hour}시", f"at {hour} o'clock"
    return f"{hour}시 {minute}분", f"at {hour}:{minute}"


def date(d: Draw) -> tuple[str, str]:
    """Returns a date in words (삼월 오일) or digits (3월 5일) and its English without "on"."""
    month = d.rng.randint(1, 12)
    day = d.rng.randint(1, 28)
    if d.chance(0.5):
        return f"{month}월 {day}일", f"{MONTHS[month - 1]} {day}"
    return f"{month_name(month)} {day_name(day)}", f"{MONTHS[month - 1]} {ordinal_words(day)}"


def span(d: Draw, units: Sequence[tuple[str, str]] = UNITS) -> tuple[str, str]:
    """Returns a length of time: 세 시간, three hours; 2주, 2 weeks."""
    korean, english = d.choice(units)
    digits = d.chance(0.35)
    most = {"minute": 55, "hour": 5, "day": 9, "year": 4}.get(english, 7)
    count = d.choice((10, 15, 20, 30, 40, 50)) if most == 55 else d.rng.randint(1, most)
    amount = str(count) if digits else number_words(count)
    length = counted(count, "개월" if digits and korean == "달" else korean, digits)
    length = length if digits else _OWN_NAMES.get((count, korean), length)
    return length, f"{amount} {english}{'' if count == 1 else 's'}"


def time(d: Draw, tense: str) -> Time:
    """Returns an adverbial of time that goes with the tense."""
    pick = d.rng.random()
    if tense == "present":
        return _habit(d, pick)
    if tense == "near":
        return _soon(d, pick)
    if pick < 0.34:
        korean, english = d.choice(_SIMPLE[tense])
    elif pick < 0.56:
        korean, english = _day_and_clock(d, tense)
    elif pick < 0.68:
        korean, english = span(d)
        korean, english = (
            (f"{korean} 전에", f"{english} ago")
            if tense == "past"
            else (f"{korean} 후에", f"in {english}")
        )
    elif pick < 0.80:
        day, name = d.choice(WEEKDAYS)
        week, which = ("지난주", "last")
        if tense == "future":
            week, which = d.choice((("다음 주", "next"), ("이번 주", "this")))
        korean, english = f"{week} {day}요일에", f"{which} {name}"
    elif pick < 0.9:
        day, name = d.choice(WEEKDAYS)
        part = d.choice(tuple(_PARTS))
        when, at = clock(d, part)
        korean, english = f"{day}요일 {part} {when}에", f"{at} on {name} {_PARTS[part][1]}"
    else:
        korean, english = date(d)
        korean, english = f"{korean}에", f"on {english}"
    return Time(korean, english, tense)


def _day_and_clock(d: Draw, tense: str) -> tuple[str, str]:
    day, name = d.choice(_DAYS[tense])
    parts = ("오후", "저녁") if name == "this" else tuple(_PARTS)
    part = d.choice(parts)
    if d.chance(0.3) and name != "this":
        return f"{day} {part}에", f"{name} {_PARTS[part][1]}"
    when, at = clock(d, part)
    return f"{day} {part} {when}에", f"{at} {name} {_PARTS[part][1]}"


def _soon(d: Draw, pick: float) -> Time:
    if pick < 0.4:
        korean, english = d.choice(_NEAR)
    elif pick < 0.7:
        korean, english = _day_and_clock(d, "future")
    elif pick < 0.85:
        day, name = d.choice(WEEKDAYS)
        korean, english = f"{day}요일에", f"on {name}"
    else:
        korean, english = span(d, UNITS[:3])
        korean, english = f"{korean} 후에", f"in {english}"
    return Time(korean, english, "future")


_NEAR = (
    ("내일", "tomorrow"), ("모레", "the day after tomorrow"), ("지금", "now"), ("나중에", "later"),
    ("오늘 오후에", "this afternoon"),
    ("오늘 저녁에", "this evening"), ("이번 주말에", "this weekend"),
    ("다음 주에", "next week"), ("오늘", "today"), ("내일 아침에", "tomorrow morning"),
)  # fmt: skip


def _habit(d: Draw, pick: float) -> Time:
    if pick < 0.4:
        korean, english = d.choice(_SIMPLE["present"])
    elif pick < 0.6:
        day, name = d.choice(WEEKDAYS)
        korean, english = f"{day}요일마다", f"every {name}"
    elif pick < 0.8:
        unit, name = d.choice(
            (("하루", "day"), ("일주일", "week"), ("한 달", "month"), ("일 년", "year"))
        )
        count = d.rng.randint(1, 5)
        digits = d.chance(0.3)
        amount = str(count) if digits else number_words(count)
        times = f"{amount} time{'' if count == 1 else 's'}"
        if count <= 2 and not digits:
            times = ("once", "twice")[count - 1]
        korean, english = f"{unit}에 {counted(count, '번', digits)}", f"{times} a {name}"
    else:
        part = d.choice(tuple(_PARTS))
        when, at = clock(d, part)
        korean, english = f"매일 {part} {when}에", f"{at} every {_PARTS[part][1]}"
    return Time(korean, english, "present")


def deadline(d: Draw) -> Time:
    """Returns "by Friday", "by three o'clock"."""
    pick = d.rng.random()
    if pick < 0.5:
        day, english = d.choice(WEEKDAYS)
        return Time(f"{day}요일까지", f"by {english}", "future")
    if pick < 0.75:
        return Time(
            *d.choice(
                (
                    ("내일까지", "by tomorrow"),
                    ("다음 주까지", "by next week"),
                    ("오늘 밤까지", "by tonight"),
                )
            ),
            "future",
        )
    part = d.choice(("오전", "오후"))
    korean, english = clock(d, part)
    where = "in the morning" if part == "오전" else "in the afternoon"
    return Time(f"{part} {korean}까지", f"{english.replace('at ', 'by ')} {where}", "future")


def adverbial(d: Draw, wanted: str, probability: float = 0.6) -> Time:
    """Returns a time for what mood_of asked, or an empty one."""
    if wanted == "now":
        return Time("지금", "now", "present") if d.chance(0.7) else Time("", "", "")
    if wanted == "none" or not d.chance(probability):
        return Time("", "", "")
    return time(d, wanted)
