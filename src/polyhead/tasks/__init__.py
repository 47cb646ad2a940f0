"""What a model is trained for: a batch to a loss, metrics, and a sample a person can look at."""
