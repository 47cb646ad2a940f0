"""The run folder: everything a trained model needs, in one place."""
