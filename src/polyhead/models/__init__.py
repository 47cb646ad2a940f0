"""One file per model, read top to bottom like its paper; tensors in, tensors out."""
