"""Everything that touches disk: scans, features, the journal, datasets."""
