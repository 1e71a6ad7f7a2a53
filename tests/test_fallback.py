"""The CPU fallback: counted, seen and forbidden.

An operator of this file's own, with a kernel for the CPU alone, has none of ours whatever comes.
"""

import re
import threading
from pathlib import Path

import pytest
import torch
from python_process import output, python_code

import altbackend
from altbackend import _C
from altbackend.fallback import FallbackRow

LIBRARY = torch.library.Library("altbackend_tests", "DEF")
LIBRARY.define("twice(Tensor x) -> Tensor")
LIBRARY.impl("twice", lambda x: x + x, "CPU")
twice = torch.ops.altbackend_tests.twice


@pytest.fixture(autouse=True)
def fresh_report():
    with altbackend.fallback_mode("allow"):
        altbackend.reset_fallback_report()
        yield
    altbackend.reset_fallback_report()


def fall_back() -> torch.Tensor:
    return twice(torch.eye(3).alt())


def rows_of_twice() -> list[FallbackRow]:
    return [row for row in altbackend.fallback_report() if "twice" in row["op"]]


def test_the_answer_is_stocks() -> None:
    result = fall_back()
    assert result.is_alt
    torch.testing.assert_close(result.cpu(), 2 * torch.eye(3))


def test_report_counts_calls_bytes_and_sites() -> None:
    for _ in range(3):
        fall_back()
    (row,) = rows_of_twice()
    assert row["calls"] == 3
    assert row["bytes"] >= 3 * 9 * 4
    file, line = re.match(r"(.*?):(\d+)", row["site"]).groups()  # type: ignore[union-attr]
    assert Path(file) == Path(__file__)
    assert "twice" in Path(__file__).read_text().split("\n")[int(line) - 1]


def test_two_sites_are_two_rows_and_most_calls_come_first() -> None:
    x = torch.eye(3).alt()
    twice(x)
    for _ in range(2):
        twice(x)
    assert [row["calls"] for row in rows_of_twice()] == [2, 1]


def test_reset_forgets() -> None:
    fall_back()
    altbackend.reset_fallback_report()
    assert altbackend.fallback_report() == []


def test_native_operators_do_not_count() -> None:
    before = _C.native_calls()
    x = torch.arange(4.0).alt()
    assert (x + x).tolist() == [0, 2, 4, 6]
    assert _C.native_calls() > before
    assert altbackend.fallback_report() == []


def test_no_fallback_raises_and_names_the_operator() -> None:
    with altbackend.no_fallback():
        with pytest.raises(NotImplementedError, match="twice"):
            fall_back()
        assert (torch.ones(2).alt() + 1).tolist() == [2, 2]
    assert fall_back().is_alt


def test_no_fallback_nests_and_ends_with_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError):
        with altbackend.no_fallback():
            with altbackend.fallback_mode("allow"):
                fall_back()
            with pytest.raises(NotImplementedError):
                fall_back()
            raise ZeroDivisionError
    assert fall_back().is_alt


def test_no_fallback_as_a_decorator() -> None:
    @altbackend.no_fallback()
    def forbidden() -> None:
        fall_back()

    for _ in range(2):
        with pytest.raises(NotImplementedError):
            forbidden()
    assert fall_back().is_alt


def test_no_fallback_holds_in_other_threads() -> None:
    errors: list[str] = []

    def work() -> None:
        try:
            fall_back()
        except NotImplementedError as error:
            errors.append(type(error).__name__)

    with altbackend.no_fallback():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert errors == ["NotImplementedError"]


def test_no_fallback_holds_in_backward() -> None:
    class FallsBackInBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
            return twice(grad)

    x = torch.eye(3).alt().requires_grad_()
    y = FallsBackInBackward.apply(x).sum()
    with altbackend.no_fallback():
        with pytest.raises(NotImplementedError, match="twice"):
            y.backward()


def test_warn_warns_and_answers(capfd: pytest.CaptureFixture[str]) -> None:
    # What torch.ops calls warns on stderr; a Python warning is for torch's own bindings to make.
    with altbackend.fallback_mode("warn"):
        assert fall_back().is_alt
    assert "twice' fell back" in capfd.readouterr().err
    assert len(rows_of_twice()) == 1


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="one of allow, warn, forbid"):
        with altbackend.fallback_mode("perhaps"):  # type: ignore[arg-type]
            pass
    assert _C.get_fallback_mode() == "allow"


@pytest.mark.parametrize("mode", ["allow", "warn", "forbid"])
def test_environment_sets_the_mode(mode: str) -> None:
    code = "import torch; from altbackend import _C; print(_C.get_fallback_mode())"
    assert output(python_code(code, ALT_FALLBACK=mode)) == mode
