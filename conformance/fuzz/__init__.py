"""Random programs on alt and on stock CPU, step by step."""
