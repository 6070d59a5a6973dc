"""Model folders for the app, and proof that they match torch."""
