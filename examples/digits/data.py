"""The data: 1797 handwritten digits of 8x8 pixels, which scikit-learn carries in its wheel."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor


class Digits(NamedTuple):
    """Images of shape (N, 1, 8, 8) with their labels, split into a training and a test part."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load(device: torch.device | str = "cpu", test_share: float = 0.2) -> Digits:
    """Return the digits on `device`, in the same random split every time."""
    digits = load_digits()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) / 16  # grey from 0 to 1
    labels = torch.from_numpy(digits.target).long()

    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    test, train = order.tensor_split([int(test_share * len(labels))])
    return Digits(
        images[train].to(device),
        labels[train].to(device),
        images[test].to(device),
        labels[test].to(device),
    )


def batches(
    images: Tensor, labels: Tensor, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the data once, in batches of an order that `generator` draws."""
    order = torch.randperm(len(labels), generator=generator).to(labels.device)
    for batch in order.split(batch_size):
        yield images[batch], labels[batch]
