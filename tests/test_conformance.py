"""The conformance suite: a sample of its cells, and planted defects that it must report."""

from __future__ import annotations

import datetime
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing._internal.opinfo.core import SampleInput

import altbackend  # noqa: F401 - registers the device
from conformance.__main__ import main
from conformance.fuzz import worker as fuzz
from conformance.fuzz.grammar import DTYPES
from conformance.fuzz.program import Machine, Step
from conformance.ops import database
from conformance.ops.context import Context
from conformance.ops.truth import no_further
from conformance.ops.worker import SUITE
from conformance.suite import expectations, fallbacks, report, summary
from conformance.suite.cells import run_cell
from conformance.suite.expectations import Expectation, judge
from conformance.suite.outcome import Difference, Outcome, Tolerance, compare_errors
from conformance.suite.records import Ran, Record, Status
from conformance.suite.workers import Task, Worker

# One entry of each family, for CI; `python -m conformance ops` runs them all.
SAMPLED = (
    "add", "mul", "exp", "where", "clamp", "sum", "var", "argmax", "cumsum", "cat", "transpose",
    "index_select", "gather", "masked_fill", "nonzero", "sort", "topk", "mm", "bmm", "softmax",
    "nn.functional.conv2d", "nn.functional.max_pool2d", "nn.functional.batch_norm",
    "nn.functional.layer_norm", "nn.functional.cross_entropy", "nn.functional.interpolate.bilinear",
    "nn.functional.linear", "nn.functional.dropout", "nn.functional.embedding",
    "_foreach_add", "_foreach_sqrt", "_foreach_norm", "_refs.softmax.with_dtype", "tanh",
)  # fmt: skip
SAMPLED_DTYPES = ("float32", "int64", "bool", "bfloat16", "complex64")
SAMPLES = 4


def run(context: Context, variant: str, entry: str = "add", dtype: str = "float32") -> Record:
    return run_cell(SUITE, context, {"entry": entry, "dtype": dtype}, variant)


@pytest.mark.parametrize("entry", SAMPLED)
def test_sampled_entries(entry: str) -> None:
    op = database.entries()[entry]
    records = []
    for dtype in SAMPLED_DTYPES:
        if dtype in database.dtypes(op):
            context = Context(entry, dtype, SAMPLES)
            records += [run(context, variant, entry, dtype) for variant in SUITE.variants]
    assert sum(record.status is Status.PASSED for record in records) >= 5
    verdict = judge(records, expectations.load())
    assert not verdict.unexpected


class Spoiled(Context):
    """A Context whose operator is defective on alt."""

    def __init__(self, entry: str, spoil: Any, **more: Any) -> None:
        super().__init__(entry, "float32", 3)
        sound = self.op

        class Op:
            def __getattr__(self, name: str) -> Any:
                return more[name] if name in more else getattr(sound, name)

            @staticmethod
            def op(given: Any, *args: Any, **kwargs: Any) -> Any:
                if getattr(given, "device", torch.device("cpu")).type == "alt":
                    return spoil(sound.op, given, *args, **kwargs)
                return sound.op(given, *args, **kwargs)

        self.op = Op()


def off_by_a_thousandth(op: Any, *args: Any, **kwargs: Any) -> Any:
    return op(*args, **kwargs) * (1 + 1e-3)


def other_strides(op: Any, *args: Any, **kwargs: Any) -> Any:
    result = op(*args, **kwargs)
    if result.dim() < 2:
        return result
    return result.transpose(0, -1).contiguous().transpose(0, -1)


def copied(op: Any, *args: Any, **kwargs: Any) -> Any:
    return op(*args, **kwargs).clone()


def detached(op: Any, *args: Any, **kwargs: Any) -> Any:
    return op(*args, **kwargs).detach()


def other_error(op: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return op(*args, **kwargs)
    except Exception as error:
        raise KeyError(str(error)) from None


@pytest.mark.parametrize(
    "entry, variant, spoil",
    [
        ("add", "forward", off_by_a_thousandth),
        ("add", "gradient", off_by_a_thousandth),
        ("add", "noncontiguous", off_by_a_thousandth),
        ("nn.functional.conv2d", "strides", other_strides),
        ("transpose", "views", copied),
        ("mul", "metadata", detached),
        ("gather", "errors", other_error),
    ],
)
def test_planted_defect_is_reported(entry: str, variant: str, spoil: Any) -> None:
    assert run(Context(entry, "float32", 3), variant, entry).status is Status.PASSED
    record = run(Spoiled(entry, spoil), variant, entry)
    assert record.status is Status.FAILED, record
    assert judge([record], []).unexpected == [record]


def broken_where_strided(op: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
    """Right on contiguous operands; the memory's order elsewhere, as kernels that take it for
    granted."""
    result = op(given, *args, **kwargs)
    strided = given.dim() > 1 and not given.is_contiguous()
    return result + 1 if strided else result


class StockSpoiled(Context):
    """A Context whose operator is defective on stock, and on alt too if ``both``."""

    def __init__(self, entry: str, spoil: Any, both: Any = None, dtype: str = "float32") -> None:
        super().__init__(entry, dtype, 3)
        sound = self.op

        class Op:
            def __getattr__(self, name: str) -> Any:
                return getattr(sound, name)

            @staticmethod
            def op(given: Any, *args: Any, **kwargs: Any) -> Any:
                wrong = spoil if given.device.type == "cpu" else both
                if wrong is None or given.dtype == torch.float64 != self.dtype:
                    return sound.op(given, *args, **kwargs)
                return wrong(sound.op, given, *args, **kwargs)

        self.op = Op()


def test_stock_that_contradicts_itself_is_told_from_a_defect_of_alt() -> None:
    record = run(StockSpoiled("add", broken_where_strided), "transposed")
    assert (record.status, record.rule) == (Status.STOCK_WRONG, "plain")
    # The same defect in alt, where stock is of one mind.
    record = run(Spoiled("add", broken_where_strided), "transposed")
    assert record.status is Status.FAILED
    # Both wrong, in different ways.
    both = StockSpoiled("add", broken_where_strided, both=off_by_a_thousandth)
    assert run(both, "transposed").status is Status.FAILED


def test_stock_off_the_truth_is_told_from_a_defect_of_alt() -> None:
    # In single precision the truth is the same in double; in double it is mpmath's.
    for dtype in ("float32", "float64"):
        record = run(StockSpoiled("exp", off_by_a_thousandth, dtype=dtype), "forward", "exp", dtype)
        assert (record.status, record.rule) == (Status.STOCK_WRONG, "truth"), record
    half_as_wrong = StockSpoiled(
        "exp", lambda op, x: op(x) * (1 + 5e-3), both=off_by_a_thousandth, dtype="float64"
    )
    assert run(half_as_wrong, "forward", "exp").status is Status.FAILED
    assert run(Spoiled("exp", off_by_a_thousandth), "forward", "exp").status is Status.FAILED


def test_empty_results_of_another_shape_are_judged_by_the_meta_device() -> None:
    def unchanged(op: Any, given: Any, *args: Any) -> Any:
        return given.clone() if given.device.type != "meta" else op(given, *args)

    entry = "nn.functional.pixel_unshuffle"
    record = run(Context(entry, "float32", None), "zero_size", entry)
    assert (record.status, record.rule) == (Status.STOCK_WRONG, "meta")
    record = run(Spoiled("flatten", unchanged), "zero_size", "flatten")
    assert record.status is Status.FAILED


def test_places_of_equal_elements_are_compared_by_what_lies_there() -> None:
    def backwards(op: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
        values, indices = op(given.flip(0), *args, **kwargs)
        return values, given.shape[0] - 1 - indices

    def twice(op: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
        values, indices = op(given, *args, **kwargs)
        return values, indices * 0

    sample = SampleInput(torch.zeros(5), args=(0,))
    for spoil, holds in ((backwards, True), (twice, False)):
        context = Spoiled("sort", spoil)
        stock, alt = (context.call(sample, device) for device in ("cpu", "alt"))
        assert not torch.equal(stock.value[1], alt.value[1].cpu())
        if holds:
            context.agree(sample, stock, alt)
        else:
            with pytest.raises(Difference):
                context.agree(sample, stock, alt)
    # A stable sort has no choice.
    context = Spoiled("sort", backwards)
    stable = SampleInput(torch.zeros(5), kwargs={"dim": 0, "stable": True})
    with pytest.raises(Difference):
        context.agree(stable, *(context.call(stable, device) for device in ("cpu", "alt")))


def test_cells_where_stock_is_wrong_are_shown_apart() -> None:
    wrong = replace(record_of(Status.STOCK_WRONG), rule="plain")
    records = [record_of(Status.PASSED), wrong]
    verdict = judge(records, [])
    assert verdict.good and not wrong.bad
    (row,) = summary.totals(records)
    assert (row["cells"], row["passed"], row["stock_wrong"]) == (2, 1, 1)
    assert "1 where stock contradicts its own result" in summary.text(records, verdict)


def test_missing_version_bump_is_reported() -> None:
    def without_bump(given: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if given.device.type == "alt":
            given.data.add_(*args, **kwargs)
            return given
        return given.add_(*args, **kwargs)

    context = Spoiled("add", off_by_a_thousandth, get_inplace=lambda: without_bump)
    record = run(context, "inplace")
    assert record.status is Status.FAILED
    assert "version" in record.detail


def test_result_left_on_the_cpu_is_reported() -> None:
    record = run(Spoiled("add", lambda op, *a, **k: op(*a, **k).cpu()), "forward")
    assert record.status is Status.FAILED
    assert "not on alt" in record.detail


def test_a_crash_takes_only_its_own_cell() -> None:
    # The worker below dies in its first cell and answers the second in a new process.
    worker = Worker("tests.crashing_worker")
    try:
        records = list(worker.run(Task("ops", "entry", "float32", {})))
    finally:
        worker.close()
    assert [(r.variant, r.status) for r in records] == [
        ("dies", Status.CRASHED),
        ("lives", Status.PASSED),
    ]


def test_last_words_of_a_crash_are_reported() -> None:
    worker = Worker("tests.crashing_worker")
    try:
        record = next(iter(worker.run(Task("ops", "entry", "float32", {}))))
    finally:
        worker.close()
    assert "altbackend: these are its last words" in record.detail


def test_fuzz_shrinks_a_defect_to_a_script_that_runs(tmp_path: Path) -> None:
    task = {"seed": 0, "programs": 200, "dtypes": ["float32"], "trace": str(tmp_path / "trace")}
    context = fuzz.Context(task)
    sound = Machine.run

    def spoiled(machine: Machine, step: Step) -> Any:
        result = sound(machine, step)
        if machine.names["device"] == "alt" and ".flip(0)" in step.text:
            result.add_(1)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Machine, "run", spoiled)
        with pytest.raises(Difference) as failure:
            fuzz.programs(context)
    _, script = str(failure.value).split("\n", 1)
    assert script.count("\nt") == 2, "not shrunk"
    assert ".flip(0)" in script
    exec(script, {"print": lambda *values: None})
    assert not context.trace.exists()


def test_fuzz_agrees(tmp_path: Path) -> None:
    task = {"seed": 1, "programs": 30, "dtypes": list(DTYPES), "trace": str(tmp_path / "trace")}
    context = fuzz.Context(task)
    fuzz.programs(context)
    assert context.cases > 30


def test_totals_replace_those_in_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{summary.PART.begin}\nold\n{summary.PART.end}\nafter\n")
    arguments = ["optimizers", "--only", "SGD", "--dtypes", "float32", "--variants", "default"]
    html = tmp_path / "report.html"
    report = ["--markdown", str(page), "--html", str(html), "--jobs", "1", "--quiet"]
    assert main([*arguments, *report]) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "old" not in text
    assert "| optimizers | 1 | 1 | 1 | 1 | 0 | 0 | 0 |" in text
    assert f"torch {torch.__version__}" in text and str(datetime.date.today()) in text
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", html.read_text())


def test_page_without_a_place_for_totals_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks")
    assert main(["optimizers", "--only", "SGD", "--markdown", str(page)]) == 2
    assert page.read_text() == "no marks"


def test_rounding_is_judged_by_the_truth() -> None:
    exact = torch.tensor([1.0, 2.0], dtype=torch.float64)
    worse, better = exact.float() * 1.0002, exact.float() * 1.0001
    assert no_further(exact, better, worse, Tolerance())
    assert not no_further(exact, worse, better, Tolerance())
    # Of a stock that is far off, nothing follows for alt.
    assert not no_further(exact, better, exact.float() * 1.1, Tolerance())


def test_dtype_that_stock_has_no_kernel_for_is_not_compared() -> None:
    missing = Outcome(error=NotImplementedError("not implemented for 'Bool'"))
    assert not compare_errors(missing, Outcome(value=1))
    with pytest.raises(Difference):
        compare_errors(Outcome(error=ValueError("bad")), Outcome(value=1))


def test_fallbacks_are_told_from_native() -> None:
    context = Context("add", "float32", 2)
    assert run(context, "forward").ran is Ran.NATIVE


def record_of(status: Status) -> Record:
    return Record("ops", "add", "float32", "forward", status, Ran.NATIVE, cases=1)


def test_stale_expectations_fail_the_run() -> None:
    known = Expectation("ops", ("sub", "a*d"), "*", "*", "a difference with a reason")
    verdict = judge([record_of(Status.FAILED)], [known])
    assert verdict.good
    assert report.known(verdict) == [["ops", "sub, a*d", "*", "*", 1, known.reason]]
    assert not judge([record_of(Status.PASSED)], [known]).good
    assert judge([], [known]).good  # its cells were not part of the run


def test_fallbacks_are_listed_with_their_reason() -> None:
    fell_back = replace(record_of(Status.PASSED), fallbacks=("aten::add.Tensor",))
    assert fallbacks.used([record_of(Status.PASSED)], {}) == []
    (row,) = fallbacks.used([fell_back, fell_back], {"a*": "no kernel yet"})
    assert (row.entry, row.reason) == ("add", "no kernel yet")
    assert "| `add` | `aten::add.Tensor` | no kernel yet |" in fallbacks.markdown([row])
    assert fallbacks.used([fell_back], {"sub": "another"})[0].reason == ""


def test_reason_is_required(tmp_path: Any) -> None:
    path = tmp_path / "expectations.yaml"
    path.write_text("- {suite: ops, entry: add, reason: ' '}\n")
    with pytest.raises(ValueError, match="no reason"):
        expectations.load(path)
