"""Network parts shared by the families."""
