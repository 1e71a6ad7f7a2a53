"""Train one network: `python -m examples.digits.train lenet --device alt`."""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn, optim
from torch.nn import functional
from tqdm import tqdm

from examples.digits import data
from examples.digits.models import MLP, BiLSTM, LeNet, LogisticRegression


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained."""

    title: str
    network: Callable[[], nn.Module]
    optimizer: Callable[..., optim.Optimizer]
    learning_rate: float
    epochs: int
    batch_size: int = 64


# Rounding differs from device to device, and training amplifies it: a ReLU or a maximum that tips
# the other way changes a gradient. These rates keep the loss within 1e-4 of itself when the first
# weights change in their last bit; with SGD at 0.05 and momentum, LeNet's drifts by a tenth.
RECIPES = {
    "logistic": Recipe("logistic regression", LogisticRegression, optim.SGD, 0.5, epochs=15),
    "mlp": Recipe("MLP, BatchNorm, Dropout", MLP, optim.Adam, 1e-3, epochs=10),
    "lenet": Recipe("LeNet", LeNet, optim.AdamW, 1e-3, epochs=10),
    "bilstm": Recipe("bidirectional LSTM", BiLSTM, optim.RMSprop, 2e-3, epochs=10, batch_size=32),
}


@dataclass
class History:
    """What a training left behind."""

    losses: list[float] = field(default_factory=list)  # mean training loss of each epoch
    test_loss: float = float("nan")
    accuracy: float = float("nan")
    seconds: float = float("nan")  # of the training alone


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean loss and the share of images that `network` names rightly."""
    network.eval()
    scores = network(images)
    loss = functional.cross_entropy(scores, labels)
    correct = (scores.argmax(dim=1) == labels).sum()
    return loss.item(), correct.item() / len(labels)


def train(
    name: str,
    device: torch.device | str = "cpu",
    seed: int = 0,
    epochs: int | None = None,
    progress: bool | None = None,
) -> History:
    """Train the network called `name` on `device`; `progress` shows a bar (None: on a terminal)."""
    recipe = RECIPES[name]
    epochs = epochs or recipe.epochs
    digits = data.load(device)

    torch.manual_seed(seed)
    network = recipe.network().to(device)
    optimizer = recipe.optimizer(network.parameters(), lr=recipe.learning_rate)
    # The initial weights were drawn on the cpu. From here on only dropout draws, on `device`: with
    # its generator set anew and the batches drawn by one of their own, every device draws alike.
    torch.manual_seed(seed)
    shuffle = torch.Generator().manual_seed(seed)

    history = History()
    bar = tqdm(
        range(epochs),
        desc=f"{recipe.title} on {device}",
        unit="epoch",
        disable=None if progress is None else not progress,
    )
    start = time.perf_counter()
    for _ in bar:
        network.train()
        total = 0.0
        for images, labels in data.batches(
            digits.train_images, digits.train_labels, recipe.batch_size, shuffle
        ):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        history.losses.append(total / len(digits.train_labels))
        bar.set_postfix(loss=f"{history.losses[-1]:.4f}")
    history.seconds = time.perf_counter() - start
    history.test_loss, history.accuracy = evaluate(network, digits.test_images, digits.test_labels)
    return history


def main() -> None:
    """Train what the command line names and say how well it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=RECIPES)
    parser.add_argument("--device", default="alt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="default: the recipe's own")
    arguments = parser.parse_args()
    history = train(arguments.network, arguments.device, arguments.seed, arguments.epochs)
    print(
        f"test loss {history.test_loss:.4f}, accuracy {history.accuracy:.2%}, "
        f"{history.seconds:.2f} s"
    )


if __name__ == "__main__":
    main()
