"""Inference engines, one a file: uint8 batches in, vectors out."""
