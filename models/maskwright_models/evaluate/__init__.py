"""What an evaluation is made into: protocols of papers, tables, curves, a gallery of failures, a calibration."""
