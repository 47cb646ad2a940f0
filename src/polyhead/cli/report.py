"""An evaluation's report as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Report = Mapping[str, Any]


def report_lines(report: Report) -> Iterator[str]:
    """What `evaluate` prints without `--json`."""
    yield f"{report['run']}, {report['split']}: {report['examples']:,} examples"
    yield from _metrics(report["metrics"])
    for group, part in report.get("by_group", {}).items():
        shown = "  ".join(f"{name} {v['score']:.2f}" for name, v in part["metrics"].items())
        yield f"  {group}: {part['examples']:,} examples  {shown}"
    yield f"  {report['seconds']:.1f} s, {report['tokens_per_second']:,.0f} tokens/s"
    if "against" in report:
        yield from _against(report)
    if "corrupt" in report:
        yield from _damage(report)


def _metrics(metrics: Report) -> Iterator[str]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            interval = f"[{value['low']:.2f}, {value['high']:.2f}]"
            yield f"  {name:<14}{value['score']:8.2f}  95% {interval}  {value['signature']}"
        else:
            yield f"  {name:<14}{value:8.4f}"


def _against(report: Report) -> Iterator[str]:
    other = report["against"]
    yield f"{other['run']}, on the same data"
    yield from _metrics(other["metrics"])
    yield f"difference: {report['run']} less {other['run']}"
    for name, found in other["difference"].items():
        places = 2 if isinstance(report["metrics"][name], dict) else 4  # of 100, or of 1
        low, high, value = (f"{found[key]:+.{places}f}" for key in ("low", "high", "value"))
        yield f"  {name:<14}{value:>8}  95% [{low}, {high}]  p = {found['p_value']:.4f}"


def _damage(report: Report) -> Iterator[str]:
    parts = [part for part in (report, report.get("against")) if part is not None]
    for part in parts:
        yield f"damaged sources, {part['run']}"
        yield f"  {'damage':<10}{'rate':>6}{'bleu':>8}{'chrf':>8}{'nll':>9}"
        for kind, rate, metrics in [
            ("none", 0.0, part["metrics"]),
            *((one["kind"], one["rate"], one["metrics"]) for one in part["corrupt"]),
        ]:
            scores = f"{metrics['bleu']['score']:8.2f}{metrics['chrf']['score']:8.2f}"
            yield f"  {kind:<10}{rate:>6g}{scores}{metrics['nll']:9.4f}"
