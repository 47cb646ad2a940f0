"""Perceptually uniform colours: lightness changes linearly in OKLab (Ottosson, 2020)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STEPS = 256
Colours = NDArray[np.uint8]
Values = NDArray[np.float64]


def _linear(lightness: Values, chroma: Values, hue: Values) -> Values:
    """Linear sRGB [N, 3] of OKLCH colours, hue in degrees; outside 0 to 1 where sRGB ends."""
    radians = np.deg2rad(hue)
    a, b = chroma * np.cos(radians), chroma * np.sin(radians)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=-1,
    )


def _from_oklch(lightness: Values, chroma: Values, hue: Values) -> Colours:
    """sRGB bytes [N, 3]; a colour sRGB lacks keeps lightness and hue and loses chroma."""
    low, high = np.zeros_like(chroma), chroma
    for _ in range(20):
        middle = (low + high) / 2
        linear = _linear(lightness, middle, hue)
        fits = ((linear >= 0) & (linear <= 1)).all(axis=-1)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    linear = _linear(lightness, low, hue).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (curved * 255).round().astype(np.uint8)


@lru_cache(maxsize=1)
def sequential() -> Colours:
    """White paper (0) over blue to deep indigo (1), [256, 3]: zero prints no ink."""
    t = np.linspace(0, 1, STEPS)
    chroma = 0.004 + 0.12 * np.sin(np.pi * t**0.85) + 0.075 * t**2
    return _from_oklch(0.99 - 0.72 * t, chroma, 228 + 52 * t)


@lru_cache(maxsize=1)
def sequential_dark() -> Colours:
    """Near black (0) over indigo and blue to near white (1), [256, 3], for dark pages."""
    t = np.linspace(0, 1, STEPS)
    chroma = 0.02 + 0.13 * np.sin(np.pi * t**0.85)
    return _from_oklch(0.225 + 0.735 * t, chroma, 276 - 66 * t)


@lru_cache(maxsize=1)
def diverging() -> Colours:
    """Blue (-1) over white (0) to red (+1), [256, 3], equally far from white on both sides."""
    t = np.linspace(-1, 1, STEPS)
    size = np.abs(t)
    chroma = 0.17 * np.sin(np.pi / 2 * np.minimum(1, size * 1.25))
    return _from_oklch(0.985 - 0.55 * size, chroma, np.where(t < 0, 255.0, 30.0))


def paint(values: NDArray[np.floating], colours: Colours, low: float, high: float) -> Colours:
    """Colours [..., 3] of `values` [...], `low` being the first colour and `high` the last."""
    span = high - low if high > low else 1.0
    index = ((values - low) / span * (STEPS - 1)).round().clip(0, STEPS - 1).astype(np.intp)
    return colours[index]


def as_hex(colours: Colours, count: int) -> list[str]:
    """`count` evenly spaced colours as '#rrggbb', for style sheets and scripts."""
    chosen = colours[np.linspace(0, STEPS - 1, count).round().astype(np.intp)]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in chosen.tolist()]
