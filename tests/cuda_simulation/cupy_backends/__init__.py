"""CuPy's bindings, played."""
