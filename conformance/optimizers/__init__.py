"""torch.optim's optimizers, from torch's own optimizer database."""
