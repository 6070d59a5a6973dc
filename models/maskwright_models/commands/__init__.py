"""One module per command of maskwright-models, and the arguments that several have."""
