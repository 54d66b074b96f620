"""Residuum: build, train and dissect residual networks."""
