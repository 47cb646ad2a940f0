"""What layers cost as sequences grow: Table 1 of Vaswani et al. 2017, measured."""
