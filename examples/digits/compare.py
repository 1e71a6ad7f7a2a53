"""Train the four networks on cpu and on alt, and hold the results against each other.

`python -m examples.digits.compare` prints a table, draws the loss curves and the times into
`out/digits.png`, and exits with 1 where alt disagrees with cpu or needed the CPU fallback.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import altbackend
from examples.digits.train import RECIPES, History, train

TOLERANCE = 1e-3  # of a loss, relative


@dataclass
class Comparison:
    """One network's training on both devices."""

    name: str
    cpu: History
    alt: History
    fallbacks: int

    @property
    def difference(self) -> float:
        """The largest relative difference of two losses, over all epochs and the test."""
        pairs = zip(
            [*self.cpu.losses, self.cpu.test_loss],
            [*self.alt.losses, self.alt.test_loss],
            strict=True,
        )
        differences = [abs(cpu - alt) / abs(cpu) for cpu, alt in pairs]
        return float(np.max(differences))  # a NaN is the largest, which max() would lose

    @property
    def complaints(self) -> list[str]:
        """What is not as it should be."""
        found = []
        if not self.difference <= TOLERANCE:  # not (a > b): a NaN must not pass
            found.append(f"losses differ by {self.difference:.1e}, more than {TOLERANCE:.0e}")
        if self.cpu.accuracy != self.alt.accuracy:
            found.append(f"accuracy {self.cpu.accuracy:.2%} on cpu, {self.alt.accuracy:.2%} on alt")
        if self.fallbacks:
            found.append(f"{self.fallbacks} calls of operators fell back to the CPU")
        return found


def compare(name: str, rounds: int, seed: int) -> Comparison:
    """Train the network `name` in turn on cpu and on alt, `rounds` times; keep the best times."""
    histories: dict[str, History] = {}
    altbackend.reset_fallback_report()
    for _ in range(rounds):
        # In turn, so that a neighbour on this machine slows both alike.
        for device in ("cpu", "alt"):
            history = train(name, device, seed)
            if device in histories:
                history.seconds = min(history.seconds, histories[device].seconds)
            histories[device] = history
    fallbacks = sum(row["calls"] for row in altbackend.fallback_report())
    return Comparison(name, histories["cpu"], histories["alt"], fallbacks)


def table(comparisons: list[Comparison]) -> str:
    """Lay the comparisons out in columns."""
    head = ["network", "loss cpu", "loss alt", "largest diff.", "accuracy cpu", "accuracy alt"]
    head += ["s cpu", "s alt", "speedup", "fallbacks"]
    rows = [head]
    for c in comparisons:
        rows.append(
            [
                RECIPES[c.name].title,
                f"{c.cpu.test_loss:.6f}",
                f"{c.alt.test_loss:.6f}",
                f"{c.difference:.1e}",
                f"{c.cpu.accuracy:.2%}",
                f"{c.alt.accuracy:.2%}",
                f"{c.cpu.seconds:.2f}",
                f"{c.alt.seconds:.2f}",
                f"{c.cpu.seconds / c.alt.seconds:.2f}",
                str(c.fallbacks),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        columns = [name.ljust(widths[0])]
        columns += [c.rjust(width) for c, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join(columns))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def draw(comparisons: list[Comparison], path: Path) -> None:
    """Draw each network's losses on both devices, and all times, into `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(comparisons) + 1, figsize=(4 * len(comparisons) + 4, 3.6), layout="constrained"
    )
    for axis, c in zip(axes, comparisons, strict=False):
        epochs = range(1, len(c.cpu.losses) + 1)
        axis.plot(epochs, c.cpu.losses, color="tab:gray", linewidth=5, alpha=0.5, label="cpu")
        axis.plot(epochs, c.alt.losses, color="tab:red", linewidth=1.5, label="alt")
        axis.set(title=RECIPES[c.name].title, xlabel="epoch", yscale="log")
        axis.legend()
    axes[0].set_ylabel("training loss")

    places = range(len(comparisons))
    times = axes[-1]
    times.bar(
        [i - 0.2 for i in places],
        [c.cpu.seconds for c in comparisons],
        0.4,
        label="cpu",
        color="tab:gray",
    )
    times.bar(
        [i + 0.2 for i in places],
        [c.alt.seconds for c in comparisons],
        0.4,
        label="alt",
        color="tab:red",
    )
    times.set_xticks(list(places), [c.name for c in comparisons])
    times.set(title="training time", ylabel="seconds")
    times.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> int:
    """Compare the networks that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="network", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--rounds", type=int, default=2, help="trainings on each device")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="where the drawing goes")
    arguments = parser.parse_args()
    unknown = set(arguments.networks) - set(RECIPES)
    if unknown:
        parser.error(f"no such network: {', '.join(sorted(unknown))}")

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n", flush=True)
    comparisons = []
    for name in arguments.networks or RECIPES:
        comparisons.append(compare(name, arguments.rounds, arguments.seed))
        print(f"{RECIPES[name].title}: done", flush=True)

    drawing = arguments.out / "digits.png"
    draw(comparisons, drawing)
    print(f"\n{table(comparisons)}\n\nloss curves and times: {drawing}")
    complaints = [f"{c.name}: {text}" for c in comparisons for text in c.complaints]
    if complaints:
        print("\n" + "\n".join(complaints), file=sys.stderr)
        return 1
    print("alt agrees with cpu on every network, without a fallback")
    return 0


if __name__ == "__main__":
    sys.exit(main())
