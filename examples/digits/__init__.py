"""Handwritten digits: four networks, trained on cpu and on alt with the same seeds."""
