"""Which of the registered models keep which contract: those of one family."""

from __future__ import annotations

from polyhead import registry


def of_family(family: str) -> list[str]:
    """The kinds of model of a family, sorted."""
    kinds = registry.names("models")
    return [kind for kind in kinds if registry.find("models", kind).Config.family == family]
