"""Four networks that read a batch of images (N, 1, 8, 8) and answer with scores (N, 10)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class LogisticRegression(nn.Module):
    """One linear layer on the 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Score the images."""
        return self.linear(images.flatten(1))


class MLP(nn.Module):
    """Two hidden layers, each normalised over the batch and thinned by dropout."""

    def __init__(self, hidden: int = 128, dropout: float = 0.2) -> None:
        super().__init__()
        # A bias in front of BatchNorm would be subtracted again with the mean.
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Score the images."""
        return self.layers(images)


class LeNet(nn.Module):
    """Two convolutions with pooling, then two linear layers and tanh throughout, as in LeNet-5."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(32 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Score the images."""
        x = functional.max_pool2d(torch.tanh(self.conv1(images)), 2)  # (N, 16, 4, 4)
        x = functional.max_pool2d(torch.tanh(self.conv2(x)), 2)  # (N, 32, 2, 2)
        x = torch.tanh(self.fc1(x.flatten(1)))
        return self.fc2(x)


class BiLSTM(nn.Module):
    """Reads an image row by row, downwards and upwards, and judges by both last states."""

    def __init__(self, hidden: int = 48) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, hidden, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * hidden, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Score the images."""
        rows = images.squeeze(1)  # (N, 8 rows, 8 pixels)
        _, (state, _) = self.lstm(rows)  # (2 directions, N, hidden)
        return self.linear(torch.cat([state[0], state[1]], dim=1))
