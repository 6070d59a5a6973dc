"""Training data: index, views, frozen features, simulated users."""
