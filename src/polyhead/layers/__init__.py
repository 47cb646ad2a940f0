"""The bricks models are laid from; they know tensors and plain keyword arguments only."""
