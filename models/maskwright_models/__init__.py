"""The torch side of maskwright: model families, training, export. Never imported by the app."""
