"""Example programs: ordinary PyTorch, run on the device `alt`."""
