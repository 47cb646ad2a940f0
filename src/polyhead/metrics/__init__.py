"""How good an output is; shared by tasks, training and evaluation."""
