"""Translate the first lines of a file from Python: python translate_api.py RUN FILE"""

import sys
from pathlib import Path

import polyhead

run, file = sys.argv[1:]
translator = polyhead.load(run)
sources = Path(file).read_text(encoding="utf-8").splitlines()[:3]
translations = translator.translate(sources)
likelihoods = translator.score(sources, translations)
for source, translation, likelihood in zip(sources, translations, likelihoods, strict=True):
    print(f"{source} -> {translation} ({likelihood:.2f} nats)")
