"""Fine-tuning of published systems with their own recipes: from an official checkpoint to one of the same names."""
