"""From a model's step to whole sequences; knows only `step` and the state's `select`."""
