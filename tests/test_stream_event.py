"""Streams and events by torch.Stream, torch.Event and torch.accelerator."""

import threading
import time

import pytest
import torch

from altbackend import alt


def test_streams_differ() -> None:
    first, second = torch.Stream("alt"), torch.Stream("alt", priority=-1)
    assert first != second
    assert first != torch.accelerator.current_stream()
    assert first.device == torch.device("alt:0")
    assert hash(first) != hash(second)


def test_a_stream_is_current_inside_its_block() -> None:
    default = torch.accelerator.current_stream()
    stream = torch.Stream("alt")
    with stream:
        assert torch.accelerator.current_stream() == stream
        x = torch.ones(3, device="alt") * 2
    assert torch.accelerator.current_stream() == default
    default.wait_stream(stream)
    assert x.tolist() == [2, 2, 2]


def test_set_stream() -> None:
    default = torch.accelerator.current_stream()
    stream = torch.Stream("alt")
    torch.accelerator.set_stream(stream)
    try:
        assert torch.accelerator.current_stream() == stream
        seen: list[torch.Stream] = []
        thread = threading.Thread(target=lambda: seen.append(torch.accelerator.current_stream()))
        thread.start()
        thread.join()
        assert seen == [default], "each thread has its own current stream"
    finally:
        torch.accelerator.set_stream(default)


def test_work_is_done() -> None:
    stream = torch.Stream("alt")
    event = torch.Event("alt")
    event.record(stream)
    stream.wait_event(event)
    event.wait(stream)
    assert stream.query() and event.query()
    stream.synchronize()
    event.synchronize()


def test_elapsed_time_is_in_milliseconds() -> None:
    begin, end = (torch.Event("alt", enable_timing=True) for _ in range(2))
    begin.record()
    time.sleep(0.03)
    end.record()
    assert 30 <= begin.elapsed_time(end) < 3000
    assert end.elapsed_time(begin) == -begin.elapsed_time(end)


def test_an_event_can_be_recorded_again() -> None:
    begin, end = (torch.Event("alt", enable_timing=True) for _ in range(2))
    begin.record()
    end.record()
    first = begin.elapsed_time(end)
    time.sleep(0.01)
    end.record()
    assert begin.elapsed_time(end) >= first + 10


def test_record_event_makes_one() -> None:
    stream = torch.Stream("alt")
    event = stream.record_event()
    assert isinstance(event, torch.Event)
    assert event.device == torch.device("alt:0")
    assert stream.record_event(event) is event


def test_elapsed_time_needs_two_recorded_events() -> None:
    recorded, never = (torch.Event("alt", enable_timing=True) for _ in range(2))
    recorded.record()
    with pytest.raises(ValueError, match="must be recorded"):
        recorded.elapsed_time(never)
    with pytest.raises(ValueError, match="must be recorded"):
        never.elapsed_time(recorded)


def test_elapsed_time_needs_timing() -> None:
    timed = torch.Event("alt", enable_timing=True)
    untimed = torch.Event("alt", enable_timing=False)
    timed.record()
    untimed.record()
    with pytest.raises(ValueError, match="enable_timing=True"):
        timed.elapsed_time(untimed)


def test_torch_alt_has_the_names_of_torch_cuda() -> None:
    stream = alt.Stream()
    with alt.stream(stream):
        assert alt.current_stream() == stream
    assert alt.current_stream() == alt.default_stream()
    begin, end = (alt.Event(enable_timing=True) for _ in range(2))
    begin.record()
    end.record()
    alt.synchronize()
    assert isinstance(begin, alt.Event) and not isinstance(stream, alt.Event)
    assert begin.elapsed_time(end) >= 0
