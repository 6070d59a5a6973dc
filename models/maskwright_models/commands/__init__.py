"""One module per command of maskwright-models."""
