"""Processes: a forked child goes on with the parent's memory, a spawned one starts anew."""

import os
from collections.abc import Callable

import pytest
import torch

from altbackend import alt

RunPython = Callable[..., str]


def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def in_child(body: Callable[[], bool]) -> bool:
    """Run `body` in a forked child, which is ended should it hang."""
    import signal

    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            os._exit(0 if body() else 1)
        except BaseException as error:
            print(error)
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def test_a_child_computes_with_its_parents_tensors() -> None:
    x = torch.arange(200_000.0, device="alt")
    assert (x + x)[-1].item() == 399_998  # The parent's threads are running.
    assert in_child(lambda: (x * 2)[-1].item() == 399_998 and x.sum().item() > 0)


def test_what_a_child_writes_stays_in_it() -> None:
    x = torch.ones(100_000, device="alt")

    def body() -> bool:
        x.mul_(5)
        return x[0].item() == 5

    assert in_child(body)
    assert x[0].item() == 1


def test_a_child_allocates_frees_and_draws() -> None:
    torch.ones(100_000, device="alt").sum().item()

    def body() -> bool:
        for _ in range(10):
            torch.rand(300_000, device="alt").sum().item()
        alt.empty_cache()
        return alt.memory_allocated() < 10**9

    assert in_child(body)


def test_children_of_children() -> None:
    x = torch.ones(50_000, device="alt")
    assert in_child(lambda: (x + 1)[0].item() == 2 and in_child(lambda: (x + 2)[0].item() == 3))


def test_fork_while_another_thread_allocates() -> None:
    import threading

    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            torch.ones(20_000, device="alt").add_(1)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(10):
            assert in_child(lambda: torch.ones(70_000, device="alt").sum().item() == 70_000)
    finally:
        stop.set()
        thread.join()


def test_data_loader_workers() -> None:
    data = torch.utils.data.TensorDataset(torch.arange(64.0))
    torch.ones(100_000, device="alt").sum().item()
    total = 0.0
    for (batch,) in torch.utils.data.DataLoader(data, batch_size=8, num_workers=2, pin_memory=True):
        assert batch.is_pinned()
        total += batch.to("alt").sum().item()
    assert total == 63 * 32


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools_of_processes(method: str) -> None:
    context = torch.multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        result = pool.apply_async(double, (torch.ones(3, device="alt"),)).get(timeout=100)
    assert result.device.type == "alt"
    assert result.tolist() == [2, 2, 2]


def test_backward_in_a_child_works_or_says_why(run_python: RunPython) -> None:
    printed = run_python(
        """
        import os, signal, torch
        def step():
            w = torch.ones(10, device="alt", requires_grad=True)
            (w * w).sum().backward()
            return w.grad[0].item()
        print(step(), flush=True)
        if os.fork() == 0:
            signal.alarm(60)
            try:
                print(step(), flush=True)
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
        """
    ).splitlines()
    assert printed[0] == "2.0"
    assert printed[1] == "2.0" or "autograd's threading" in printed[1]


def test_a_process_may_end_right_after_a_backward_pass(run_python: RunPython) -> None:
    """The engine's thread for a device would be ended while it drops a Python object: an abort."""
    for _ in range(3):
        run_python(
            """
            import threading, torch
            def step():
                w = torch.ones(2, device="alt", requires_grad=True)
                (w * w).sum().backward()
            thread = threading.Thread(target=step)
            thread.start()
            thread.join()
            with torch.inference_mode():
                torch.ones(2, device="alt")
            step()
            """
        )
