"""Devices: their number, the current one, and tensors that live on different ones."""

from collections.abc import Callable

import pytest
import torch

from altbackend import alt

RunPython = Callable[..., str]


def test_torch_knows_the_device() -> None:
    assert torch.accelerator.is_available()
    assert torch.accelerator.current_accelerator() == torch.device("alt")
    assert torch.accelerator.device_count() == alt.device_count() == 1
    assert torch.empty(1, device="alt").device == torch.device("alt:0")
    assert torch.accelerator.current_device_index() == alt.current_device() == 0
    torch.accelerator.synchronize()


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.empty(1, device="alt:9"),
        lambda: torch.ones(1).to("alt:9"),
        lambda: torch.ones(1, device="alt").to("alt:1"),
        lambda: torch.accelerator.set_device_index(9),
        lambda: torch.Stream("alt:9"),
        lambda: torch.Generator("alt:9"),
        lambda: torch.accelerator.synchronize(9),
    ],
)
def test_a_device_that_is_not_there(call: Callable[[], object]) -> None:
    with pytest.raises(RuntimeError, match="alt:"):
        call()
    assert torch.accelerator.current_device_index() == 0


def test_several_devices(run_python: RunPython) -> None:
    run_python(
        """
        import torch, threading

        assert torch.accelerator.device_count() == 3
        assert torch.empty(1, device="alt").device.index == 0
        assert torch.empty(1, device="alt:2").device.index == 2
        torch.accelerator.set_device_index(1)
        assert torch.empty(1, device="alt").device.index == 1

        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.alt.current_device()))
        thread.start()
        thread.join()
        assert seen == [0], "each thread has its own current device"

        with torch.accelerator.device_index(2):
            x = torch.ones(4, device="alt")
            assert (x + x).device.index == 2
        assert torch.alt.current_device() == 1

        # An operator works where its tensors are.
        assert (x * 2).device.index == 2
        y = x.to("alt:0")
        assert y.device.index == 0 and y.tolist() == [1, 1, 1, 1]
        before = torch.alt.memory_allocated(2)
        z = torch.empty(1000, device="alt:2")
        assert torch.alt.memory_allocated(2) == before + 4032
        w = torch.ones(2, device="alt:2", requires_grad=True)
        (w * w).sum().backward()
        assert w.grad.device.index == 2 and w.grad.tolist() == [2, 2]
        """,
        ALT_DEVICE_COUNT="3",
    )


def test_operands_on_different_devices_are_an_error(run_python: RunPython) -> None:
    printed = run_python(
        """
        import torch

        a, b = torch.ones(2, 2, device="alt:0"), torch.ones(2, 2, device="alt:1")
        calls = [lambda: a + b, lambda: a.add_(b), lambda: a @ b, lambda: torch.cat([a, b])]
        for call in calls:
            try:
                call()
                print("no error")
            except RuntimeError as error:
                print(str(error).splitlines()[0])
        assert a.tolist() == [[1, 1], [1, 1]]
        """,
        ALT_DEVICE_COUNT="2",
    ).splitlines()
    assert len(printed) == 4
    for line in printed:
        assert "Expected all tensors to be on the same device" in line
        assert "alt:0" in line and "alt:1" in line


def test_device_of_a_thread_pool_is_not_mixed_up() -> None:
    assert alt.device_count() == 1
    with torch.accelerator.device_index(0):
        assert torch.ones(2, device="alt").sum().item() == 2


@pytest.mark.parametrize("count", ["1", "2", "127"])
def test_device_counts(run_python: RunPython, count: str) -> None:
    printed = run_python(
        "import torch; print(torch.accelerator.device_count())", ALT_DEVICE_COUNT=count
    )
    assert printed.strip() == count
