"""Fits the head of an installed model to the masks a user has accepted; encoder and base model stay as they are."""
