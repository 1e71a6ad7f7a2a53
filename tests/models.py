"""Networks as people write them, from torch.nn alone, each with the loss of one training step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from altbackend.bench.models import ResNet18


class Translator(nn.Module):
    """A Transformer of two encoder and two decoder layers, with its embeddings."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.source = nn.Embedding(vocabulary, width)
        self.target = nn.Embedding(vocabulary, width)
        self.transformer = nn.Transformer(
            width, 4, 2, 2, 2 * width, dropout=0.1, batch_first=True, norm_first=False
        )
        self.head = nn.Linear(width, vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.size(1), device=target.device)
        hidden = self.transformer(
            self.source(source), self.target(target), tgt_mask=mask, tgt_is_causal=True
        )
        return self.head(hidden)


class DoubleConv(nn.Sequential):
    """Convolution, group norm and activation, twice."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels, 3, padding=1),
            nn.GroupNorm(4, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(4, channels),
            nn.SiLU(),
        )


class UNet(nn.Module):
    """Down by pooling, up by transposed convolution and by interpolation, with skips."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down1, self.down2 = DoubleConv(1, 8), DoubleConv(8, 16)
        self.middle = DoubleConv(16, 32)
        self.up2 = nn.ConvTranspose2d(32, 16, 2, 2)
        self.merge2, self.merge1 = DoubleConv(32, 16), DoubleConv(24, 8)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(functional.max_pool2d(first, 2))
        bottom = self.middle(functional.max_pool2d(second, 2))
        up = self.merge2(torch.cat([second, self.up2(bottom)], 1))
        up = functional.interpolate(up, scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(self.merge1(torch.cat([first, up], 1)))


class DCGAN(nn.Module):
    """Generator and discriminator."""

    def __init__(self, noise: int) -> None:
        super().__init__()
        self.generator = nn.Sequential(
            nn.ConvTranspose2d(noise, 32, 4, 1, 0, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(True),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(True),
            nn.ConvTranspose2d(16, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(
            nn.Conv2d(1, 16, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(16, 32, 4, 2, 1, bias=False),
            nn.BatchNorm2d(32),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(32, 1, 4, 1, 0, bias=False),
            nn.Flatten(0),
        )


class PackedClassifier(nn.Module):
    """A bidirectional LSTM over sequences of different lengths."""

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, 24, 2, batch_first=True, bidirectional=True, dropout=0.2)
        self.fc = nn.Linear(48, classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        output, (hidden, _) = self.lstm(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
        return self.fc(torch.cat([hidden[-2], hidden[-1]], 1) + padded.amax(1))


class VAE(nn.Module):
    """Encoder to mean and log variance, a sample, decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16))
        self.decoder = nn.Sequential(nn.Linear(8, 32), nn.ELU(), nn.Linear(32, 64), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, -1)
        sample = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decoder(sample), mean, log_variance


class CausalSelfAttention(nn.Module):
    """Heads over the past; a cache holds the keys and values of what was said before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, cache: list[Tensor] | None = None) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        causal = length > 1
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class GPT(nn.Module):
    """Blocks of attention and MLP, learned positions, weights shared with the embedding."""

    def __init__(self, vocabulary: int, width: int, context: int, layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.attention = nn.ModuleList(CausalSelfAttention(width, 4) for _ in range(layers))
        self.mlp = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, 4 * width),
                nn.GELU(approximate="tanh"),
                nn.Linear(4 * width, width),
            )
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.final = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, caches: list[list[Tensor]] | None = None) -> Tensor:
        past = caches[0][0].size(2) if caches and caches[0] else 0
        positions = torch.arange(past, past + tokens.size(1), device=tokens.device)
        x = self.tokens(tokens) + self.positions(positions)
        for i, (attention, mlp, norm) in enumerate(
            zip(self.attention, self.mlp, self.norms, strict=True)
        ):
            x = x + attention(norm(x), caches[i] if caches is not None else None)
            x = x + mlp(x)
        return functional.linear(self.final(x), self.tokens.weight)

    @torch.no_grad()
    def generate(self, prompt: Tensor, length: int) -> Tensor:
        """The prompt and the likeliest tokens after it, one at a time from the cache."""
        caches: list[list[Tensor]] = [[] for _ in self.attention]
        said, latest = prompt, prompt
        for _ in range(length):
            latest = self(latest, caches)[:, -1:].argmax(-1)
            said = torch.cat([said, latest], 1)
        return said


Loss = Callable[[nn.Module, dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Task:
    """A network, what it is trained on, its loss and its optimizer."""

    model: Callable[[], nn.Module]
    data: Callable[[], dict[str, Tensor]]
    loss: Loss
    optimizer: Callable[..., torch.optim.Optimizer]


def tokens(vocabulary: int, *size: int) -> Tensor:
    return torch.randint(1, vocabulary, size)


def gan_loss(model: nn.Module, data: dict[str, Tensor]) -> Tensor:
    criterion = nn.BCEWithLogitsLoss()
    fake = model.generator(data["noise"])
    real_score, fake_score = model.discriminator(data["x"]), model.discriminator(fake.detach())
    wanted = model.discriminator(fake)
    return (
        criterion(real_score, torch.ones_like(real_score))
        + criterion(fake_score, torch.zeros_like(fake_score))
        + criterion(wanted, torch.ones_like(wanted))
    )


def vae_loss(model: nn.Module, data: dict[str, Tensor]) -> Tensor:
    reconstructed, mean, log_variance = model(data["x"])
    divergence = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum()
    return (
        functional.binary_cross_entropy(reconstructed, data["x"], reduction="sum") + divergence
    ) / len(mean)


def next_token_loss(logits: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), target.flatten())


TASKS = {
    "resnet18": Task(
        lambda: ResNet18(10),
        lambda: {"x": torch.randn(8, 3, 40, 40), "y": torch.randint(10, (8,))},
        lambda model, d: functional.cross_entropy(model(d["x"]), d["y"], label_smoothing=0.1),
        lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, weight_decay=1e-4),
    ),
    "transformer": Task(
        lambda: Translator(40, 32),
        lambda: {"source": tokens(40, 6, 12), "target": tokens(40, 6, 10)},
        lambda model, d: next_token_loss(
            model(d["source"], d["target"][:, :-1]), d["target"][:, 1:]
        ),
        lambda p: torch.optim.AdamW(p, 1e-3),
    ),
    "unet": Task(
        lambda: UNet(3),
        lambda: {"x": torch.randn(2, 1, 32, 32), "y": torch.randint(3, (2, 32, 32))},
        lambda model, d: functional.cross_entropy(model(d["x"]), d["y"]),
        lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.5),
    ),
    "dcgan": Task(
        lambda: DCGAN(20),
        lambda: {"noise": torch.randn(8, 20, 1, 1), "x": torch.rand(8, 1, 16, 16) * 2 - 1},
        gan_loss,
        lambda p: torch.optim.Adam(p, 2e-4, betas=(0.5, 0.999)),
    ),
    "packed_lstm": Task(
        lambda: PackedClassifier(30, 4),
        lambda: {
            "tokens": tokens(30, 6, 9),
            "lengths": torch.tensor([9, 3, 7, 1, 5, 9]),
            "y": torch.randint(4, (6,)),
        },
        lambda model, d: functional.cross_entropy(model(d["tokens"], d["lengths"]), d["y"]),
        lambda p: torch.optim.Adam(p, 1e-3),
    ),
    "vae": Task(
        VAE,
        lambda: {"x": torch.rand(128, 64)},
        vae_loss,
        lambda p: torch.optim.Adagrad(p, 1e-2),
    ),
    "gpt": Task(
        lambda: GPT(40, 32, 32, 2),
        lambda: {"tokens": tokens(40, 4, 20)},
        lambda model, d: next_token_loss(model(d["tokens"][:, :-1]), d["tokens"][:, 1:]),
        lambda p: torch.optim.AdamW(p, 1e-3 * math.sqrt(2), weight_decay=0.1),
    ),
}
