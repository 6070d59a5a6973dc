"""Feature computation over many machines."""
