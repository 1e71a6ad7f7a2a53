"""torch.nn's modules, from torch's own module database."""
