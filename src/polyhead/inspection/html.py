"""Attention as one page that opens offline: everything it needs is inside."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files

from polyhead.inspection.maps import AttentionMaps, Weights, rounded
from polyhead.inspection.palette import as_hex, sequential, sequential_dark

# One script in the page; cut where its ideas change.
SCRIPTS = ("attention_data.js", "attention_views.js", "attention.js")
DIGITS = 4
COLOURS = 64
SHORT_HEADINGS = {"encoder": "Encoder", "decoder": "Decoder", "cross": "Cross"}


def attention_page(maps: AttentionMaps) -> str:
    """The page's HTML; weights are rounded to four digits to keep it small."""
    parts = {
        "TITLE": escape(maps.title or "Attention"),
        "STYLE": _read("attention.css"),
        "SCRIPT": "\n".join(_read(name) for name in SCRIPTS),
        "DATA": _payload(maps),
    }
    # In one pass, so that a title that looks like a placeholder stays a title.
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda match: parts[match[1]], _read("attention.html"))


def _read(name: str) -> str:
    return files("polyhead.inspection").joinpath(name).read_text(encoding="utf-8")


def _payload(maps: AttentionMaps) -> str:
    about = {
        "note": maps.note,
        "main": maps.main_kind,
        "source_tokens": maps.source_tokens,
        "target_tokens": maps.target_tokens,
        "read_tokens": maps.read_tokens or maps.target_tokens,
        "axes": {kind: maps.axes[kind] for kind in maps.attention},
        "headings": {kind: maps.heading(kind) for kind in maps.attention},
        "short_headings": {k: SHORT_HEADINGS.get(k, maps.heading(k)) for k in maps.attention},
        "palette": {
            "light": as_hex(sequential(), COLOURS),
            "dark": as_hex(sequential_dark(), COLOURS),
        },
    }
    weights = ",".join(
        f"{safe_json(kind)}:{_numbers(values)}" for kind, values in maps.attention.items()
    )
    return f'{safe_json(about)[:-1]},"attention":{{{weights}}}}}'


def _numbers(weights: Weights) -> str:
    text = json.dumps(rounded(weights, DIGITS), separators=(",", ":"))
    return re.sub(r"\b([01])\.0(?=[,\]])", r"\1", text)


def safe_json(value: object) -> str:
    """JSON that may stand inside a script element whatever strings it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # '<' and '>' would end the element or open a comment, U+2028 and U+2029 end a line of script,
    # and a lone half of a surrogate pair cannot be written as UTF-8.
    return re.sub(r"[<>&\u2028\u2029\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text)
