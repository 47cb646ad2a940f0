"""From a model's step to whole sequences.

`search`, `best`, `alternatives` and `sampling` know only `step` and the state's `select`;
`translate` and `generate` bring batches and tokenizers to them.
"""
