"""Conformance of the device ``alt``: what it computes against what stock PyTorch computes."""
