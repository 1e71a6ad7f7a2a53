"""Losses, forward and backward."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from altbackend.bench.scenario import Group, integers, rand, randn

GROUP = Group("loss")

# The loss is one number: of what flows in and out, only the scores and their gradient count, which
# the scores are read for once more.
for rows, classes in ((64, 10), (4096, 1000), (2048, 32000)):
    GROUP.gradient(
        "cross_entropy",
        (rows, classes),
        F.cross_entropy,
        randn(rows, classes, grad=True),
        integers(rows, high=classes),
        quick=classes != 32000,
    )
IMAGE = (8, 21, 128, 128)
GROUP.gradient(
    "cross_entropy of images",
    IMAGE,
    F.cross_entropy,
    randn(*IMAGE, grad=True),
    integers(8, 128, 128, high=21),
)
for n in (640, 1 << 20, 1 << 24):
    middle = n == 1 << 20
    scores = randn(n, grad=True)
    GROUP.gradient("mse_loss", n, F.mse_loss, scores, randn(n), quick=middle)
    GROUP.gradient("l1_loss", n, F.l1_loss, scores, randn(n))
    GROUP.gradient("smooth_l1_loss", n, F.smooth_l1_loss, scores, randn(n))
    GROUP.gradient(
        "bce with logits", n, F.binary_cross_entropy_with_logits, scores, rand(n), quick=middle
    )
    GROUP.gradient("bce", n, F.binary_cross_entropy, rand(n, grad=True), rand(n))
    GROUP.gradient("kl_div", n, F.kl_div, scores, rand(n))
GROUP.gradient(
    "nll_loss",
    (4096, 1000),
    lambda x, target: F.nll_loss(torch.log_softmax(x, 1), target),
    randn(4096, 1000, grad=True),
    integers(4096, high=1000),
)
