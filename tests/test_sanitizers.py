"""What `make asan` adds: a kernel that reads past the end of alt's memory is seen and reported.

Alt's memory comes from a caching allocator, so the sanitizer knows where a tensor ends only because
the allocator tells it (csrc/runtime/heap.cpp).
"""

import os
import subprocess
from pathlib import Path

import pytest

from altbackend import _C
from conformance.suite.expectations import judge
from conformance.suite.records import Record, Status
from conformance.suite.workers import Task, Worker

SANITIZED = b"__asan_poison_memory_region" in Path(_C.__file__).read_bytes()

KERNEL = """
extern "C" void neg(const float* from, float* to, long count) {
  float next = from[0];
  for (long i = 0; i < count; ++i) {
    to[i] = -next;
    next = from[i + 1];  // of the last element too
  }
}
"""


def record_with(kernel: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """What the suite says of `neg` on alt with this kernel."""
    source, library = folder / "kernel.cpp", folder / "kernel.so"
    source.write_text(kernel)
    compiler = os.environ.get("CXX", "g++")
    flags = ["-O0", "-shared", "-fPIC", "-fsanitize=address"]
    subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
    monkeypatch.setenv("ALT_TEST_KERNEL", str(library))
    worker = Worker("tests.overrunning_worker")
    try:
        [record] = worker.run(Task("ops", "neg", "float32", {"variants": ["forward"]}))
    finally:
        worker.close()
    return record


@pytest.mark.skipif(not SANITIZED, reason="needs the build of `make asan`")
def test_read_past_the_end_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_with(KERNEL, tmp_path, monkeypatch)
    assert record.status is Status.CRASHED
    assert "AddressSanitizer: use-after-poison" in record.detail
    assert judge([record], []).unexpected == [record]


@pytest.mark.skipif(not SANITIZED, reason="needs the build of `make asan`")
def test_kernel_that_stays_inside_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = KERNEL.replace("from[i + 1]", "i + 1 < count ? from[i + 1] : 0.f")
    record = record_with(sound, tmp_path, monkeypatch)
    assert record.status is Status.PASSED, record.detail
