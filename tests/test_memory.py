"""The caching allocator, as torch.alt, torch.accelerator and tensors show it."""

import gc
from collections.abc import Callable, Iterator

import pytest
import torch

from altbackend import alt

MIB = 1 << 20
RunPython = Callable[..., str]


@pytest.fixture(autouse=True)
def empty_cache() -> Iterator[None]:
    gc.collect()
    alt.empty_cache()
    yield
    alt.set_per_process_memory_fraction(1.0)


def allocated() -> int:
    return alt.memory_allocated()


def test_a_tensor_counts_while_it_lives() -> None:
    before = allocated()
    x = torch.empty(1 << 20, device="alt")
    assert allocated() - before == 4 * MIB
    assert alt.memory_reserved() >= allocated()
    view = x[10:]
    del x
    assert allocated() - before == 4 * MIB, "a view holds the memory"
    del view
    assert allocated() == before


def test_memory_is_aligned() -> None:
    for size in (1, 3, 17, 1000, 300_000):
        assert torch.empty(size, dtype=torch.uint8, device="alt").data_ptr() % 64 == 0


def test_freed_memory_is_used_again() -> None:
    pointer = torch.empty(10 * MIB, device="alt").data_ptr()
    reserved = alt.memory_reserved()
    for _ in range(5):
        assert torch.empty(10 * MIB, device="alt").data_ptr() == pointer
    assert alt.memory_reserved() == reserved


def test_empty_cache_gives_back_what_no_tensor_holds() -> None:
    held = torch.ones(1000, device="alt")
    torch.empty(50 * MIB, device="alt")
    reserved = alt.memory_reserved()
    alt.empty_cache()
    assert alt.memory_reserved() <= reserved - 200 * MIB
    assert held.sum().item() == 1000


def test_peaks() -> None:
    alt.reset_peak_memory_stats()
    before = allocated()
    torch.empty(3 * MIB, device="alt")
    assert alt.max_memory_allocated() - before == 12 * MIB
    alt.reset_peak_memory_stats()
    assert alt.max_memory_allocated() == before


def test_totals() -> None:
    alt.reset_accumulated_memory_stats()
    for _ in range(3):
        torch.empty(MIB, device="alt")
    stats = alt.memory_stats()
    assert stats["allocation.all.allocated"] == 3
    assert stats["allocation.all.freed"] == 3
    assert stats["allocated_bytes.large_pool.allocated"] == 12 * MIB
    assert stats["requested_bytes.all.allocated"] == 12 * MIB


def test_torch_accelerator_says_the_same() -> None:
    x = torch.empty(1000, device="alt")
    assert torch.accelerator.memory_allocated() == alt.memory_allocated() > 0
    assert torch.accelerator.memory_reserved() == alt.memory_reserved()
    ours, theirs = alt.memory_stats(), torch.accelerator.memory_stats()
    assert {key: theirs[key] for key in ours} == ours
    del x
    torch.accelerator.reset_peak_memory_stats()
    torch.accelerator.reset_accumulated_memory_stats()
    torch.accelerator.empty_cache()
    assert torch.accelerator.memory_stats()["allocation.all.allocated"] == 0


def test_memory_of_the_system() -> None:
    free, total = alt.mem_get_info()
    assert 0 < free <= total
    assert torch.accelerator.get_memory_info()[1] == total


@pytest.mark.parametrize("elements", [1 << 40, 1 << 45, (1 << 60) // 8])
def test_more_than_there_is(elements: int) -> None:
    before = allocated()
    ooms = alt.memory_stats()["num_ooms"]
    with pytest.raises(torch.OutOfMemoryError, match=r"alt out of memory. Tried to allocate .*iB"):
        torch.empty(elements, device="alt")
    assert alt.memory_stats()["num_ooms"] == ooms + 1
    assert allocated() == before
    assert torch.ones(3, device="alt").sum().item() == 3


def test_sizes_that_overflow_are_refused_as_on_cpu() -> None:
    for size in ((1 << 62,), (1 << 40, 1 << 40), (-1,)):
        messages = []
        for device in ("cpu", "alt"):
            with pytest.raises(RuntimeError) as error:
                torch.empty(size, device=device)
            messages.append(str(error.value).split("\n")[0])
        assert messages[0] == messages[1]


def test_an_operator_that_runs_out_of_memory_changes_nothing() -> None:
    x = torch.ones(4 * MIB, device="alt")
    _, total = alt.mem_get_info()
    alt.set_per_process_memory_fraction((alt.memory_reserved() + MIB) / total)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(20 * MIB, device="alt")
    with pytest.raises(torch.OutOfMemoryError):
        x.repeat(20)
    alt.set_per_process_memory_fraction(1.0)
    assert x.sum().item() == 4 * MIB


def test_the_cache_makes_room_before_memory_is_out() -> None:
    torch.empty(40 * MIB, dtype=torch.uint8, device="alt")
    _, total = alt.mem_get_info()
    alt.set_per_process_memory_fraction((alt.memory_reserved() + 20 * MIB) / total)
    retries = alt.memory_stats()["num_alloc_retries"]
    assert torch.empty(55 * MIB, dtype=torch.uint8, device="alt").numel() == 55 * MIB
    assert alt.memory_stats()["num_alloc_retries"] == retries + 1


def test_limit_from_the_environment(run_python: RunPython) -> None:
    printed = run_python(
        """
        import torch
        print(torch.alt.mem_get_info()[1])
        torch.empty(60 << 20, dtype=torch.uint8, device="alt")
        try:
            torch.empty(70 << 20, dtype=torch.uint8, device="alt")
        except torch.OutOfMemoryError as error:
            print(error)
        """,
        ALT_MEMORY_LIMIT="64M",
    ).splitlines()
    assert int(printed[0]) == 64 * MIB
    assert "70.00 MiB" in printed[1] and "64.00 MiB" in printed[1]


def test_zero_elements_take_nothing() -> None:
    before = allocated()
    x = torch.empty(0, 5, device="alt")
    assert allocated() == before
    assert (x + x).shape == (0, 5)


def test_storage_resize() -> None:
    x = torch.arange(4.0, device="alt")
    storage = x.untyped_storage()
    storage.resize_(64)
    assert storage.nbytes() == 64
    assert x.tolist() == [0, 1, 2, 3]
    x.resize_(16)
    assert x[:4].tolist() == [0, 1, 2, 3]
    storage.resize_(8)
    assert x[:2].tolist() == [0, 1]
    storage.resize_(0)
    assert storage.nbytes() == 0


def test_storages_of_foreign_memory_do_not_grow() -> None:
    cpu = torch.arange(4.0)
    for tensor in (cpu.numpy(), cpu):
        shared = torch.as_tensor(tensor)
        assert not shared.is_pinned()


def test_pinned_memory() -> None:
    x = torch.arange(10.0)
    assert not x.is_pinned()
    pinned = x.pin_memory()
    assert pinned.is_pinned() and pinned.device.type == "cpu"
    assert pinned[3:].is_pinned()
    assert torch.equal(pinned.to("alt", non_blocking=True).cpu(), x)
    assert torch.empty(3, pin_memory=True).is_pinned()
    assert not torch.empty(3, device="alt").is_pinned()


def test_record_stream() -> None:
    x = torch.ones(10, device="alt")
    x.record_stream(torch.Stream("alt"))
    assert x.sum().item() == 10


def test_profiler_sees_memory() -> None:
    with torch.profiler.profile(profile_memory=True) as profile:
        x = torch.empty(MIB, device="alt")
        del x
    amounts = [
        event.nbytes() for event in profile.profiler.kineto_results.events() if event.nbytes()
    ]
    assert 4 * MIB in amounts
    assert -4 * MIB in amounts


def test_threads_share_the_allocator() -> None:
    import concurrent.futures

    def work(seed: int) -> bool:
        good = True
        for i in range(200):
            x = torch.full(((seed * 37 + i * 101) % 5000 + 1,), float(seed), device="alt")
            good = good and bool((x == seed).all())
        return good

    before = allocated()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    gc.collect()
    assert allocated() == before
