"""PyTorch's operator database, entry by entry and dtype by dtype, on alt against stock CPU."""
