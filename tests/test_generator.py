"""The generator: states, seeds and copies. What it draws is tested with the random operators."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch

RunPython = Callable[..., str]


def draw(generator: torch.Generator, count: int = 20) -> list[float]:
    return torch.rand(count, generator=generator, device=generator.device).tolist()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator("alt")


def test_a_new_generator_has_torchs_seed(generator: torch.Generator) -> None:
    assert generator.device == torch.device("alt:0")
    assert generator.initial_seed() == torch.Generator().initial_seed()


def test_a_seed_gives_the_numbers_of_the_cpu(generator: torch.Generator) -> None:
    for seed in (0, 1, 2**40, -1):
        assert draw(generator.manual_seed(seed)) == draw(torch.Generator().manual_seed(seed))
        assert generator.initial_seed() == seed % 2**64


def test_the_state_is_the_cpus_byte_for_byte(generator: torch.Generator) -> None:
    cpu = torch.Generator().manual_seed(7)
    generator.manual_seed(7)
    assert torch.equal(generator.get_state(), cpu.get_state())
    draw(generator), draw(cpu)
    assert torch.equal(generator.get_state(), cpu.get_state())
    # An odd count of normal samples leaves one over, which is part of the state.
    torch.randn(3, generator=generator, device="alt")
    torch.randn(3, generator=cpu)
    assert torch.equal(generator.get_state(), cpu.get_state())


def test_a_state_carries_over_to_the_cpu_and_back(generator: torch.Generator) -> None:
    cpu = torch.Generator().manual_seed(5)
    draw(cpu)
    generator.set_state(cpu.get_state())
    expected = draw(cpu)
    state = generator.get_state()
    assert draw(generator) == expected
    generator.set_state(state)
    assert draw(generator) == expected


@pytest.mark.parametrize(
    "state",
    [
        torch.zeros(5056, dtype=torch.uint8),
        torch.zeros(10, dtype=torch.uint8),
        torch.zeros(5056),
        torch.zeros(5056, dtype=torch.uint8, device="alt"),
    ],
    ids=["invalid", "short", "float", "on alt"],
)
def test_states_that_are_none_are_refused_as_on_cpu(
    generator: torch.Generator, state: torch.Tensor
) -> None:
    before = generator.get_state()
    errors = []
    for refusing in (torch.Generator(), generator):
        with pytest.raises((RuntimeError, TypeError)) as error:
            refusing.set_state(state)
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1]
    assert torch.equal(generator.get_state(), before)


def test_torch_manual_seed_seeds_every_device(run_python: RunPython) -> None:
    run_python(
        """
        import torch
        torch.manual_seed(3)
        expected = torch.get_rng_state()
        for index in range(2):
            assert torch.equal(torch.alt.get_rng_state(index), expected)
        a = torch.rand(5, device="alt:0")
        assert torch.equal(torch.alt.get_rng_state(1), expected)
        assert torch.equal(torch.rand(5, device="alt:1").cpu(), a.cpu())
        """,
        ALT_DEVICE_COUNT="2",
    )


def test_default_generators_start_from_the_system(run_python: RunPython) -> None:
    code = "import torch; print(torch.alt.initial_seed())"
    assert run_python(code) != run_python(code)


def test_seed_is_new_each_time(generator: torch.Generator) -> None:
    seeds = {generator.seed() for _ in range(5)}
    assert len(seeds) == 5
    assert generator.initial_seed() in seeds


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, copy.copy, lambda g: pickle.loads(pickle.dumps(g)), lambda g: g.clone_state()],
    ids=["deepcopy", "copy", "pickle", "clone_state"],
)
def test_copies_go_their_own_way(
    generator: torch.Generator, copied: Callable[[torch.Generator], torch.Generator]
) -> None:
    draw(generator.manual_seed(11))
    other = copied(generator)
    assert other.device == generator.device
    assert other.initial_seed() == 11
    first = draw(generator)
    assert draw(other) == first


def test_fork_rng_restores() -> None:
    torch.manual_seed(1)
    expected = torch.rand(4, device="alt").tolist()
    torch.manual_seed(1)
    with torch.random.fork_rng(devices=[0], device_type="alt"):
        torch.rand(100, device="alt")
    assert torch.rand(4, device="alt").tolist() == expected


def test_checkpoint_draws_the_same_again() -> None:
    from torch.utils.checkpoint import checkpoint

    x = torch.ones(1000, device="alt", requires_grad=True)
    y = checkpoint(lambda t: torch.nn.functional.dropout(t), x, use_reentrant=False)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())
