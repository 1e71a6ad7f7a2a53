"""The networks of the whole steps: from logistic regression to ResNet-18 and a Transformer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def meta_parameters(make: Callable[[], nn.Module]) -> list[Tensor]:
    """A network's parameters, without memory."""
    with torch.device("meta"):
        return list(make().parameters())


class LogisticRegression(nn.Module):
    """One linear layer on 784 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Score images."""
        return self.linear(x.flatten(1))


def mlp() -> nn.Module:
    """Two hidden layers with BatchNorm and dropout."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 256),
        nn.BatchNorm1d(256),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(256, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 10),
    )


def lenet() -> nn.Module:
    """LeNet-5 on images of 28 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.Tanh(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, 10),
    )


class LSTMClassifier(nn.Module):
    """Reads a sentence of word numbers and judges by the last state."""

    def __init__(self, words: int = 5000, hidden: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 64)
        self.lstm = nn.LSTM(64, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 10)

    def forward(self, words: Tensor) -> Tensor:
        """Score sentences (N, T)."""
        _, (state, _) = self.lstm(self.embedding(words))
        return self.linear(state[-1])


class LSTMCellClassifier(nn.Module):
    """The rows of an image, one LSTMCell call each."""

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(28, hidden)
        self.linear = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Score images (N, 1, 28, 28)."""
        hidden = x.new_zeros(x.shape[0], self.cell.hidden_size)
        state = (hidden, hidden)
        for row in x.squeeze(1).unbind(1):
            state = self.cell(row, state)
        return self.linear(state[0])


class Block(nn.Module):
    """Two 3x3 convolutions around which the input goes too."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class ResNet18(nn.Module):
    """ResNet-18 as in the paper."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks, channels = [], 64
        for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            blocks += [Block(channels, width, stride), Block(width, width, 1)]
            channels = width
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score images (N, 3, H, W)."""
        x = F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1)
        return self.linear(x.flatten(1))


class Transformer(nn.Module):
    """An encoder of four layers that reads word numbers and scores each sentence."""

    def __init__(self, words: int = 5000, width: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.linear = nn.Linear(width, 10)

    def forward(self, words: Tensor) -> Tensor:
        """Score sentences (N, T)."""
        return self.linear(self.encoder(self.embedding(words)).mean(1))
