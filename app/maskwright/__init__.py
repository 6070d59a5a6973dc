"""maskwright: interactive annotation and segmentation of scans and photos."""

__version__ = "0.1.0"
