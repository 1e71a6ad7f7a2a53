"""Random programs of views, with in-place writes through them, leave the same bytes as on cpu."""

import math
import random
from dataclasses import dataclass

import pytest
import torch

import altbackend

DEVICE = "alt"
PROGRAMS = 10_000
SHARDS = 20
STEPS = 10

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]


@dataclass
class Step:
    """Calls `method` on value number `source`: a view becomes the next value, a write does not.

    An argument ("value", k) stands for a copy of value number k.
    """

    source: int
    method: str
    arguments: tuple = ()
    error: type[Exception] | None = None  # what the call raises on cpu

    @property
    def writes(self) -> bool:
        return self.method.endswith("_") and not self.method.endswith("__")

    def run(self, values: list[torch.Tensor]) -> type[Exception] | None:
        """Run the step, which may add to `values`; return the type of the error, if it raised."""
        resolved = [values[a[1]].clone() if is_value(a) else a for a in self.arguments]
        try:
            result = getattr(values[self.source], self.method)(*resolved)
        except Exception as error:
            return type(error)
        if not self.writes:
            values.append(result)
        return None


@dataclass
class Program:
    """A tensor of `count` elements, value number 0, and the steps that view and write it."""

    dtype: torch.dtype
    count: int
    steps: list[Step]

    def start(self, device: str) -> torch.Tensor:
        return torch.arange(self.count, device=device).to(self.dtype)

    def script(self) -> str:
        """Return the program as a script that prints every value on both devices."""
        lines = [
            "import torch",
            "def run(device):",
            f"    v0 = torch.arange({self.count}, device=device).to({self.dtype})",
        ]
        values = 1
        for step in self.steps:
            text = ", ".join(
                f"v{argument[1]}.clone()" if is_value(argument) else repr(argument)
                for argument in step.arguments
            )
            call = f"v{step.source}.{step.method}({text})"
            if step.error:
                lines += ["    try:", f"        {call}"]
                lines += ["    except Exception as error:", "        print(error)"]
            elif step.writes:
                lines.append(f"    {call}")
            else:
                lines.append(f"    v{values} = {call}")
                values += 1
        lines.append(f"    return [{', '.join(f'v{i}.cpu()' for i in range(values))}]")
        lines.append(f"for a, b in zip(run('cpu'), run('{DEVICE}')): print(a, b, sep='\\n')")
        return "\n".join(lines)


def is_value(argument: object) -> bool:
    return isinstance(argument, tuple) and len(argument) == 2 and argument[0] == "value"


def random_factors(rng: random.Random, count: int) -> list[int]:
    """Split `count` into factors, in random order."""
    if count == 0:
        return rng.choice([[0], [0, 3], [2, 0]])
    factors = []
    rest = count
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            factors.append(prime)
            rest //= prime
    if rest > 1:
        factors.append(rest)
    rng.shuffle(factors)
    shape: list[int] = []
    for factor in factors:
        if shape and rng.random() < 0.4:
            shape[-1] *= factor
        else:
            shape.append(factor)
    if rng.random() < 0.2:
        shape.insert(rng.randint(0, len(shape)), 1)
    return shape


def random_as_strided(rng: random.Random, count: int) -> tuple:
    """Sizes, strides and an offset that stay inside `count` elements."""
    offset = rng.randrange(count) if count else 0
    room = count - offset - 1
    sizes, strides = [], []
    for _ in range(rng.randint(0, 3)):
        stride = rng.randint(0, 7)
        size = rng.randint(0 if rng.random() < 0.1 else 1, 4)
        if stride * (size - 1) > room:
            size = 1 + (room // stride if stride else 0)
        if size > 0:
            room -= stride * (size - 1)
        sizes.append(size)
        strides.append(stride)
    if count == 0:
        sizes.append(0)
        strides.append(1)
    return tuple(sizes), tuple(strides), offset


def random_view(rng: random.Random, tensor: torch.Tensor, count: int) -> tuple[str, tuple]:
    """Choose a view of `tensor`; a few choices are not possible and must raise on both devices."""
    kinds = ["permute", "as_strided", "expand", "view", "squeeze", "unsqueeze"]
    if tensor.dim() >= 1:
        kinds += ["slice", "slice", "select", "transpose", "unfold"]
    if tensor.dim() >= 2:
        kinds += ["diagonal", "transpose"]
    kind = rng.choice(kinds)
    dim = rng.randrange(tensor.dim()) if tensor.dim() else 0
    size = tensor.size(dim) if tensor.dim() else 1
    if rng.random() < 0.3 and tensor.dim():
        signed_dim = dim - tensor.dim()
    else:
        signed_dim = dim

    if kind == "permute":
        order = list(range(tensor.dim()))
        rng.shuffle(order)
        return "permute", (tuple(order),)
    if kind == "as_strided":
        return "as_strided", random_as_strided(rng, count)
    if kind == "expand":
        shape = [rng.randint(1, 3) if n == 1 else -1 for n in tensor.shape]
        if rng.random() < 0.3:
            shape.insert(0, rng.randint(1, 3))
        return "expand", (tuple(shape),)
    if kind == "view":
        return "view", (tuple(random_factors(rng, tensor.numel())),)
    if kind == "squeeze":
        return "squeeze", ((signed_dim,) if tensor.dim() and rng.random() < 0.7 else ())
    if kind == "unsqueeze":
        return "unsqueeze", (rng.randint(-tensor.dim() - 1, tensor.dim()),)
    if kind == "slice":
        start = rng.randint(-size, size)
        stop = rng.choice([None, rng.randint(-size - 1, size + 1)])
        index = (slice(None),) * dim + (slice(start, stop, rng.randint(1, 3)),)
        return "__getitem__", (index,)
    if kind == "select":
        return "select", (signed_dim, rng.randint(-size, size - 1) if size else 0)
    if kind == "transpose":
        return "transpose", (signed_dim, rng.randrange(tensor.dim()))
    if kind == "unfold":
        return "unfold", (signed_dim, rng.randint(0, size), rng.randint(1, 3))
    other = rng.choice([d for d in range(tensor.dim()) if d != dim])
    return "diagonal", (rng.randint(-2, 2), dim, other)


def overlaps(tensor: torch.Tensor, count: int) -> bool:
    """Whether two indices of `tensor` name the same element, so that order would matter."""
    if tensor.numel() < 2 or tensor.is_contiguous():
        return False
    places = torch.arange(count).as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
    return places.unique().numel() != places.numel()


def random_write(rng: random.Random, values: list[torch.Tensor], count: int) -> Step:
    """Choose an in-place write through one of the values."""
    source = rng.randrange(len(values))
    target = values[source]
    number = rng.choice([0, 1, 3, -2, 2.5]) if target.is_floating_point() else rng.choice([0, 1, 3])
    if target.dtype == torch.bool:
        number = rng.choice([False, True])
    if overlaps(target, count):
        # The same bytes in whatever order (or, where stock sees the overlap, an error).
        return rng.choice([Step(source, "fill_", (1,)), Step(source, "zero_")])
    method = rng.choice(["fill_", "zero_", "add_", "mul_", "copy_", "add_ value", "copy_"])
    if method in ("copy_", "add_ value"):
        fitting = [
            number
            for number, value in enumerate(values)
            if value.dim() <= target.dim()
            and all(
                n in (1, m) for n, m in zip(value.shape[::-1], target.shape[::-1], strict=False)
            )
        ]
        other = rng.choice(fitting) if rng.random() < 0.9 else rng.randrange(len(values))
        return Step(source, method.split()[0], (("value", other),))
    return Step(source, method, () if method == "zero_" else (number,))


def generate(seed: int) -> tuple[Program, list[torch.Tensor]]:
    """Build a program by running it on cpu; return it with the values it ends with there."""
    rng = random.Random(seed)
    count = rng.choice([0, 1, 12, 24, 30, 64, 72, 105, 120, 210])
    program = Program(rng.choice(DTYPES), count, [])
    values = [program.start("cpu")]
    step = Step(0, "view", (tuple(random_factors(rng, count)),))
    for _ in range(STEPS):
        step.error = step.run(values)
        program.steps.append(step)
        if rng.random() < 0.6:
            # Mostly a view of the newest value, so that views pile up.
            source = len(values) - 1 if rng.random() < 0.7 else rng.randrange(len(values))
            step = Step(source, *random_view(rng, values[source], count))
        else:
            step = random_write(rng, values, count)
    return program, values


def same(expected: torch.Tensor, actual: torch.Tensor) -> bool:
    """Whether shape, strides, offset and every byte agree."""
    if (expected.shape, expected.stride(), expected.storage_offset()) != (
        actual.shape,
        actual.stride(),
        actual.storage_offset(),
    ):
        return False
    return torch.equal(element_bytes(expected), element_bytes(actual))


def element_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The elements' bytes in order, on cpu."""
    # Not flatten(): a tensor of one element may keep an odd stride, which view(dtype) refuses.
    return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor).view(-1).view(torch.uint8)


def check(seed: int) -> None:
    """Run the program of `seed` on the device, and compare."""
    program, expected = generate(seed)
    values = [program.start(DEVICE)]
    for step in program.steps:
        error = step.run(values)
        if error is not step.error:
            pytest.fail(f"program {seed}: {DEVICE} raises {error} in {step}\n{program.script()}")
    for number, (wanted, got) in enumerate(zip(expected, values, strict=True)):
        if not same(wanted, got):
            pytest.fail(f"program {seed} differs in v{number}\n{program.script()}")


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_programs(shard: int) -> None:
    share = PROGRAMS // SHARDS
    for seed in range(shard * share, (shard + 1) * share):
        check(seed)


def test_the_generator_makes_what_it_is_for() -> None:
    """Most programs change their tensor through a view, and every kind of view is among them."""
    changed = 0
    steps: list[Step] = []
    for seed in range(500):
        program, values = generate(seed)
        changed += not torch.equal(values[0], program.start("cpu"))
        steps += program.steps
    assert changed > 250
    assert sum(step.error is not None for step in steps) < len(steps) / 5
    assert {step.method for step in steps if not step.error} == {
        *("__getitem__", "select", "transpose", "permute", "as_strided", "expand", "unfold"),
        *("view", "diagonal", "squeeze", "unsqueeze", "fill_", "zero_", "add_", "mul_", "copy_"),
    }


def test_the_script_of_a_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    program, values = generate(3)
    exec(compile(program.script(), "program", "exec"), {})
    printed = capsys.readouterr().out
    assert str(values[0]) in printed
    assert math.prod(values[0].shape) == program.count


@pytest.mark.parametrize("into", ["alt", "cpu"])
@pytest.mark.parametrize("source", ["alt", "cpu"])
def test_copies_between_layouts_devices_and_lazy_bits(into, source):
    if into == source == "cpu":
        return
    x = torch.randn(6, 5, dtype=torch.complex64)
    for given in (x, x.t(), x.conj(), x[::2], x[:, 1:], x.real, x.imag, x.imag.contiguous()):
        for like in (given, given.mT.contiguous().mT, given.contiguous()):
            expected = torch.zeros_like(like).copy_(given)
            for to in (
                torch.ones_like(like, device=into),
                torch.ones_like(like, device=into).conj(),
            ):
                with altbackend.no_fallback():
                    to.copy_(given.to(source))
                assert torch.equal(to.cpu(), expected)


def test_a_copy_between_overlapping_parts_is_refused():
    x = torch.arange(8.0, device="alt")
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        x[:4].copy_(x[2:6])
    assert x.tolist() == list(range(8))
    assert x.copy_(x) is x
    assert x[:4].copy_(x[4:]).tolist() == [4, 5, 6, 7]
