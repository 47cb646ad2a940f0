"""One attention: scores, biases, masks and weightings, and the ways to evaluate them."""
