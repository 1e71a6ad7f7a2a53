"""`python -m altbackend bench`: what it measures, what it refuses, what it writes."""

import dataclasses
import functools
import gc
import json
import math
import re
from pathlib import Path

import pytest
import torch

from altbackend.__main__ import main
from altbackend.bench import (
    check,
    cli,
    compare,
    groups,
    limits,
    load,
    measure,
    preloaded,
    profile,
    records,
    report,
    rivals,
    run,
    summary,
    table,
)
from altbackend.bench.limits import Limits
from altbackend.bench.measure import Contestant, Effort, Ratio, Timing
from altbackend.bench.place import Place
from altbackend.bench.records import Rival, Row, Run
from altbackend.bench.scenario import Group, Scenario, Work, backward_step, distinct, randn, size

TINY = Effort(block=1e-4, rounds=2, least=2, budget=0)
LIMITS = Limits(gemm=1e11, copy=1e10, cache=1 << 20)


@pytest.fixture(autouse=True, scope="module")
def young_collector():
    """Each row calls the garbage collector, which needs not look at all of torch each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Blocks, limits and profiles that take no time, of figures nobody reads."""
    monkeypatch.setattr(limits, "measure", lambda places, quick: LIMITS)
    monkeypatch.setattr(profile, "SECONDS", 0.001)
    monkeypatch.setattr("altbackend.bench.session.QUICK", TINY)


def bench(*arguments: str) -> int:
    return main(["bench", "--quick", *arguments])


@pytest.fixture
def group(monkeypatch) -> Group:
    """A group of its own, the only one that the bench has."""
    made = Group("made up")
    monkeypatch.setattr(groups, "GROUPS", [made])
    return made


@functools.cache
def large_copy() -> limits.LargeCopy:
    return limits.LargeCopy(Place("alt"), quick=True)


def measured(scenario: Scenario, *names: str, busy: bool = False, limited: Limits = LIMITS) -> Row:
    sides = [rivals.side(name) for name in names or ["stock"]]
    return run.measure_row(scenario, run.Settings(sides, TINY, limited, large_copy(), busy))


def on_alt(change):
    """A function that changes what it is given on alt only."""
    return lambda x: change(x) if x.device.type == "alt" else x.clone()


# ---- the rows ----


def test_rows_have_names_of_their_own_and_each_group_a_sample() -> None:
    rows = groups.scenarios()
    names = [row.row for row in rows]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.search(r"[\s,*?\[]", name)]
    assert {row.group for row in rows if row.quick} == {group.name for group in groups.GROUPS}


def test_files_are_named_after_their_groups() -> None:
    folder = Path(groups.__file__).parent
    files = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    assert files == {group.name for group in groups.GROUPS}


@pytest.mark.parametrize(
    "pattern, count",
    [
        ("one", 2),
        ("one/", 2),
        ("ONE/add", 1),
        ("one/add/1M", 1),
        ("*/add/*", 2),
        ("one/ad", 0),
        ("add", 0),
    ],
)
def test_a_pattern_names_a_group_a_name_or_a_row(pattern: str, count: int) -> None:
    made = [
        Scenario(group, name, "1M", build=lambda place: Work(int))
        for group, name in (("one", "add"), ("one", "adding"), ("two", "add"))
    ]
    assert len(cli.selected(made, [pattern])) == count


def test_sizes_read_as_people_write_them() -> None:
    assert [size(16), size(4096), size(1 << 24), size(1000), size(3, 4)] == [
        "16",
        "4K",
        "16M",
        "1000",
        "3x4",
    ]


# ---- one row ----


def test_a_row_counts_what_it_moves(group: Group) -> None:
    group.add("add", 1000, torch.add, randn(1000), randn(1000))
    group.gradient("gelu", 1000, torch.nn.functional.gelu, randn(1000, grad=True))
    group.add("a row to each", (50, 20), torch.add, randn(50, 20), randn(20))
    group.add("mm", 10, torch.mm, randn(10, 10), randn(10, 10), flops=2000)
    group.build("lstm", 8, recurrent, flops=None)
    rows = [measured(scenario) for scenario in group.rows]
    # Four gates from input and state, in five steps of four rows. The first state has no gradient.
    product = 2 * 4 * 8 * (4 * 8)
    assert [row.error for row in rows] == [""] * 5
    assert [row.bytes for row in rows[:4]] == [12000, 20000, 8080, 1200]
    assert [row.elements for row in rows[:4]] == [1000, 1000, 1000, 100]
    assert [row.flops for row in rows] == [0, 0, 0, 2000, 3 * (2 * 5 * product) - product]
    assert [row.bound for row in rows[:4]] == ["copy"] * 4
    assert rows[0].percent == pytest.approx(100 * 12000 / 1e10 / rows[0].alt.median)


def test_a_row_that_no_cache_holds_is_timed_beside_a_copy(group: Group, monkeypatch) -> None:
    group.add("add", 1000, torch.add, randn(1000), randn(1000))
    copy, seconds = large_copy(), {"add": 2.0, "copy": 0.5}
    taken = []

    def take_turns(contestants, effort):
        names = ["copy" if c is copy.contestant else "add" for c in contestants]
        taken.append(names)
        return [[seconds[name]] * 3 for name in names], [1] * len(names)

    monkeypatch.setattr(measure, "take_turns", take_turns)
    row = measured(group.rows[0], limited=dataclasses.replace(LIMITS, cache=0))
    assert taken == [["add", "add", "copy"]] and not row.cached
    assert row.percent == pytest.approx(100 * (12000 / copy.bytes) * (0.5 / 2.0))
    assert row.rivals["stock"].ratio.median == 1


def recurrent(place) -> Work:
    """Which stock runs as one operator, with a backward pass for the input and the weights."""
    layer = torch.nn.LSTM(8, 8).to(place.device)
    x = randn(5, 4, 8, grad=True)(place)
    return Work(backward_step(lambda: layer(x)[0], [x, *layer.parameters()]))


def test_a_row_has_both_sides(group: Group) -> None:
    group.add("add", 1 << 20, torch.add, randn(1 << 20), randn(1 << 20))
    row = measured(group.rows[0])
    rival = row.rivals["stock"]
    assert row.alt.blocks == rival.timing.blocks == 2
    assert 0 < row.alt.best <= row.alt.low <= row.alt.median <= row.alt.high
    assert rival.ratio.low <= rival.ratio.median <= rival.ratio.high
    assert row.memory == row.memory_later == 12 << 20
    assert rival.memory is None or rival.memory > 8 << 20
    assert row.fallbacks == []


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda x: x + 1e-2, "differs by 1.0e-02"),
        (lambda x: x * float("nan"), "differs by nan"),
        (lambda x: x.double(), "torch.float64"),
        (lambda x: x[:-1], "(999,)"),
        (lambda x: (x, x), "2 results, not 1"),
        (lambda x: x.no_such_method(), "on alt: AttributeError"),
    ],
    ids=["number", "nan", "dtype", "shape", "count", "error"],
)
def test_a_wrong_result_is_not_timed(group: Group, change, complaint: str) -> None:
    group.add("wrong", 1000, on_alt(change), randn(1000))
    row = measured(group.rows[0])
    assert complaint in row.error
    assert row.alt is None and row.rivals == {}


def test_a_wrong_gradient_is_not_timed(group: Group) -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return x + (x - x.detach()) if x.device.type == "alt" else x.clone()

    group.gradient("wrong", 1000, doubled, randn(1000, grad=True))
    assert "result 1 differs" in measured(group.rows[0]).error


def test_random_numbers_are_the_cpus(group: Group) -> None:
    """On the host engine, so that a row that draws is compared like any other."""
    group.add("normal_", 1000, torch.Tensor.normal_, randn(1000), draws=True)
    group.add("rand", 1000, on_alt(torch.rand_like), randn(1000), draws=True)
    good, wrong = (measured(scenario).error for scenario in group.rows)
    assert good == ""
    assert "differs by" in wrong


def test_a_rival_that_fails_is_left_out(group: Group, monkeypatch) -> None:
    def broken(function, **_):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    group.add("add", 16, torch.add, randn(16), randn(16))
    row = measured(group.rows[0], "stock", "compile")
    assert row.error == ""
    assert row.rivals["stock"].timing is not None
    assert row.rivals["compile"].timing is None
    assert row.rivals["compile"].note == "RuntimeError: no compiler"


def test_what_falls_back_is_named(group: Group, monkeypatch) -> None:
    before = [{"op": "aten::old", "calls": 1}]
    counted = iter([before, [*before, {"op": "aten::new", "calls": 2}]])
    monkeypatch.setattr(run.altbackend, "fallback_report", lambda: next(counted))
    group.add("add", 16, torch.add, randn(16), randn(16))
    assert measured(group.rows[0]).fallbacks == ["aten::new"]


def test_distinct_numbers_are_distinct() -> None:
    assert distinct(50, 20).draw().unique().numel() == 1000


# ---- equality ----


def test_differences_are_relative_to_the_largest_number() -> None:
    large, small = torch.tensor([1e6, 1.0]), torch.tensor([1e-9])
    assert check.difference([large + 50], [large], 1e-4) is None
    assert check.difference([large + 200], [large], 1e-4) is not None
    assert check.difference([large, small * 2], [large, small], 1e-4) is None  # rounding of `large`
    assert check.difference([small * 2], [small], 1e-4) is not None


def test_infinities_nan_and_integers_are_compared_exactly() -> None:
    odd = torch.tensor([math.inf, -math.inf, math.nan, 1.0])
    assert check.difference([odd.clone()], [odd], 1e-4) is None
    for wrong in ([-math.inf, -math.inf, math.nan, 1.0], [math.inf, -math.inf, 0.0, 1.0]):
        assert check.difference([torch.tensor(wrong)], [odd], 1e-4) is not None
    assert check.difference([torch.tensor([3, 4])], [torch.tensor([3, 5])], 1.0) is not None
    assert check.difference([True], [False], 1.0) is not None


def test_different_draws_may_only_resemble_each_other() -> None:
    theirs = torch.randn(10000, generator=torch.Generator().manual_seed(0))
    ours = torch.randn(10000, generator=torch.Generator().manual_seed(1))
    assert check.difference([ours], [theirs], 1e-2) is not None
    assert check.resemblance([ours], [theirs]) is None
    for wrong in (ours * 5, ours * math.nan, ours[:-1], ours.double()):
        assert check.resemblance([wrong], [theirs]) is not None


# ---- timing ----


def test_sides_take_turns() -> None:
    called: list[str] = []

    def contestant(name: str) -> Contestant:
        return Contestant(lambda: called.append(name), lambda: None)

    effort = Effort(block=0, rounds=4, least=4, budget=0)
    blocks, calls = measure.take_turns([contestant("A"), contestant("B")], effort)
    assert calls == [1, 1]
    assert [len(times) for times in blocks] == [4, 4]
    # Before each block of one call comes one that is not timed.
    assert "".join(called[-16:]) == "AABBBBAAAABBBBAA"


def test_blocks_last_as_long_as_asked() -> None:
    effort = Effort(block=2e-3, rounds=3, least=3, budget=0)
    [times], [calls] = measure.take_turns([Contestant(lambda: None, lambda: None)], effort)
    assert calls > 1000
    assert len(times) == 3


def test_ratios_are_of_neighbouring_blocks() -> None:
    # The machine was three times slower for the last three rounds.
    found = measure.ratio([2.0, 2.0, 6.0, 6.0, 6.0], [1.0, 1.0, 3.0, 3.0, 3.0])
    assert found == Ratio(2.0, 2.0, 2.0)


def test_a_busy_core_is_seen() -> None:
    before = load.OthersLoad()
    if before.cores() is None:
        pytest.skip("this system has no /proc/stat")
    with load.busy_core():
        watch = load.OthersLoad()
        end = watch._began[0] + 0.5
        while measure.time.monotonic() < end:
            measure.time.sleep(0.05)
        assert watch.cores() >= load.NOISY


def test_busy_rows_tell_how_much_slower_they_are(group: Group) -> None:
    group.add("add", 16, torch.add, randn(16), randn(16))
    row = measured(group.rows[0], busy=True)
    assert set(row.busy) == {"alt", "stock"}
    assert all(factor > 0 for factor in row.busy.values())


def test_limits_are_of_the_best_place(monkeypatch) -> None:
    monkeypatch.undo()  # of the fixture `short`
    monkeypatch.setattr(limits, "SECONDS", 0.001)
    best = iter([2.0, 4.0, 1.0, 8.0])  # seconds of a product and a copy, on two places
    monkeypatch.setattr(limits, "_best", lambda contestant: next(best))
    found = limits.measure([Place("cpu"), Place("alt")], quick=True)
    assert found.gemm == 2 * 1024**3 / 1.0
    assert found.copy == 8 * (1 << 24) / 4.0
    assert found.seconds(flops=found.gemm, bytes=0) == 1.0


# ---- the command ----


def test_two_rows_into_a_table_json_and_a_page(tmp_path: Path, capsys) -> None:
    files = [tmp_path / "new" / "b.json", tmp_path / "new" / "b.html"]
    only = ["--only", "dispatch/add/16", "--only", "gemm/mm/16x16x16"]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{summary.PART.begin}\nold\n{summary.PART.end}\nafter\n")
    outputs = ["--json", str(files[0]), "--html", str(files[1]), "--markdown", str(page)]
    assert bench(*only, *outputs) == 0
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert re.search(r"^\| dispatch \| 1 \| \d+\.\d\d \|", text, re.MULTILINE)

    printed = capsys.readouterr().out
    assert re.search(
        r"^dispatch/add/16 +\S+ [num]?s +\S+ [num]?s +\d+\.\d\d ", printed, re.MULTILINE
    )
    assert "geomean" in printed and "GFLOP/s" in printed

    document = json.loads(files[0].read_text())
    assert set(document) == {"schema", "environment", "limits", "rows"}
    assert document["schema"] == records.SCHEMA
    assert {"torch", "altbackend", "processor", "threads", "seconds", "load"} <= set(
        document["environment"]
    )
    assert document["limits"]["gemm"] > 0 and document["limits"]["copy"] > 0
    assert [row["row"] for row in document["rows"]] == ["dispatch/add/16", "gemm/mm/16x16x16"]
    for row in document["rows"]:
        assert set(row) == {field.name for field in dataclasses.fields(Row)}
        assert set(row["alt"]) == {field.name for field in dataclasses.fields(Timing)}
        assert set(row["rivals"]) == {"stock"}
        assert set(row["rivals"]["stock"]) == {field.name for field in dataclasses.fields(Rival)}
        assert set(row["rivals"]["stock"]["ratio"]) == {"median", "low", "high"}
    assert document["rows"][1]["flops"] == 2 * 16**3

    page = files[1].read_text()
    assert "dispatch/add/16" in page and "@DATA@" not in page
    assert not re.search(r"(src|href)=|@import|https?://(?!www\.w3\.org)", page)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    before = made_run(made_row("a/b/1", 2.0), made_row("a/c/1", None))
    records.write(tmp_path / "run.json", before)
    assert records.read(tmp_path / "run.json") == before


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 0}'])
def test_other_files_are_refused(tmp_path: Path, capsys, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert bench("--compare", str(path), str(path)) == 2
    assert str(path) in capsys.readouterr().err


def test_a_wrong_result_fails_the_run(group: Group, tmp_path: Path, capsys) -> None:
    group.add("wrong", 1000, on_alt(lambda x: x + 1), randn(1000), quick=True)
    group.add("right", 1000, torch.neg, randn(1000), quick=True)
    assert bench("--html", str(tmp_path / "b.html")) == 1
    printed = capsys.readouterr().out
    assert "made-up/wrong/1000" in printed and "NOT TIMED: alt's results are not stock's" in printed
    assert "made-up/right/1000" in printed
    assert "1 rows were NOT TIMED" in printed


def test_only_without_a_match_fails(capsys) -> None:
    assert bench("--only", "no-such-thing") == 2
    error = capsys.readouterr().err
    assert "no row matches no-such-thing" in error and "pointwise" in error


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--rivals", "tpu"], "no such rival: tpu"),
        (["--malloc", "mimalloc"], "no such malloc: mimalloc"),
        (["--malloc", "/no/such.so"], "no such library: /no/such.so"),
        (["--profile", "dispatch"], "choose one of"),
        (["--compare", "/no/such.json", "/no/such.json"], "/no/such.json"),
    ],
)
def test_what_is_not_there_fails(capsys, arguments: list[str], complaint: str) -> None:
    assert bench("--only", "dispatch/add", *arguments) == 2
    assert complaint in capsys.readouterr().err


def test_list_names_the_rows(capsys) -> None:
    assert main(["bench", "--list", "--only", "steps"]) == 0
    names = capsys.readouterr().out.split()
    assert "steps/LeNet/batch-64" in names
    assert all(name.startswith("steps/") for name in names)


def test_profile_shows_the_operators_of_both_sides(capsys) -> None:
    assert bench("--profile", "dispatch/mm/16") == 0
    head, *lines = capsys.readouterr().out.splitlines()[1:]
    assert "alt calls" in head and "stock calls" in head
    line = next(line for line in lines if line.startswith("aten::mm "))
    assert line.split()[1] == line.split()[4] == "1"  # one call a step, on either side


def test_another_malloc_is_one_more_rival(tmp_path: Path) -> None:
    """Any library will do to see the second process: one that Python has loaded anyway."""
    library = re.search(r"(/\S*/libm[.-]\S*so\S*)", Path("/proc/self/maps").read_text())
    out = tmp_path / "b.json"
    only = ["--only", "dispatch/add/16", "--json", str(out)]
    assert library is not None
    assert bench(*only, "--malloc", library[1]) == 0
    [row] = records.read(out).rows
    name = Path(library[1]).name
    assert set(row.rivals) == {"stock", name}
    theirs = row.rivals[name]
    assert theirs.ratio is not None and theirs.alt is not None and theirs.alt != row.alt


def test_figures_read_well() -> None:
    assert [table.seconds(t) for t in (2.5, 0.9999, 1.234e-5, 4e-8)] == [
        "2.5 s",
        "1000 ms",
        "12.3 us",
        "40 ns",
    ]
    assert [table.memory(n) for n in (None, 64, 1023 << 10, 3 << 30)] == [
        "",
        "64 B",
        "1023 KB",
        "3 GB",
    ]
    assert [table.times(r) for r in (0.5, 12.345, 345.6)] == ["0.50", "12.35", "346"]


# ---- several rows, several runs ----


def made_row(name: str, ratio: float | None, spread: float = 0.01, elements: int = 1) -> Row:
    group, operator, length = name.split("/")
    row = Row(name, group, operator, length, elements=elements)
    if ratio is None:
        row.error = "on alt: RuntimeError: no"
        return row
    seconds = Timing(1e-3, 1e-3, 1e-3, 1e-3, 3, 30)
    row.alt = seconds
    bounds = Ratio(ratio, ratio * (1 - spread), ratio * (1 + spread))
    row.rivals["stock"] = Rival(seconds, bounds)
    return row


def made_run(*rows: Row) -> Run:
    known = {"date": "today", "altbackend": "1", "torch": "2", "processor": "p", "threads": 2}
    more = {"engine": "host", "seconds": 1, "quick": False, "only": []}
    return Run({**known, **more}, LIMITS, list(rows))


def test_comparing_shows_what_moved(tmp_path: Path, capsys) -> None:
    old = made_run(
        made_row("a/slower/1", 2.0),
        made_row("a/faster/1", 1.0),
        made_row("a/noisy/1", 1.0, spread=0.5),
        made_row("a/barely/1", 1.0),
        made_row("a/gone/1", 1.0),
    )
    new = made_run(
        made_row("a/slower/1", 1.0),
        made_row("a/faster/1", 1.5),
        made_row("a/noisy/1", 1.3, spread=0.5),
        made_row("a/barely/1", 1.03),
        made_row("a/added/1", 1.0),
        made_row("a/refused/1", None),
    )
    moved = [change for change in compare.changes(old, new) if change.moved]
    assert [(change.row, change.factor) for change in moved] == [
        ("a/slower/1", 0.5),
        ("a/faster/1", 1.5),
    ]
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, made in zip(paths, (old, new), strict=True):
        records.write(path, made)
    assert main(["bench", "--compare", *map(str, paths)]) == 0
    printed = capsys.readouterr().out
    assert "2 of 4 rows moved" in printed
    assert re.search(r"^a/slower/1 +2\.00 +1\.00 +-50%", printed, re.MULTILINE)
    assert "no longer there: a/gone/1" in printed and "new: a/added/1" in printed
    assert "not timed in the new run: a/refused/1" in printed


def test_a_summary_has_means_and_the_slowest_row() -> None:
    made = made_run(
        made_row("a/x/1", 0.5),
        made_row("a/y/1", 2.0),
        made_row("b/z/1", 4.0, elements=1 << 20),
        made_row("b/w/1", None),
    )
    whole = summary.summarize(made.rows, "stock")
    assert (whole.rows, whole.below, whole.slowest, whole.lowest) == (3, 1, "a/x/1", 0.5)
    assert whole.geomean == pytest.approx(4 ** (1 / 3))
    assert summary.summarize(summary.parts(made)["a"], "stock").geomean == pytest.approx(1.0)
    assert summary.summarize(summary.parts(made)["from 1M elements on"], "stock").rows == 1
    assert summary.summarize(made.rows, "compile") is None


def test_growth_is_of_the_time_an_element() -> None:
    rows = [made_row(f"a/add/{n}M", 1.0, elements=n << 20) for n in (1, 4)]
    for row in rows:
        row.bound = "copy"
    assert summary.growth(rows) == {"a/add": pytest.approx(4.0)}  # the same time for both


def test_what_ran_in_the_other_process_is_merged() -> None:
    here = made_run(made_row("a/x/1", 2.0), made_row("a/y/1", 2.0), made_row("a/z/1", 2.0))
    preloaded.merge(here, made_run(made_row("a/x/1", 1.5), made_row("a/y/1", None)), "tcmalloc")
    assert here.rivals == ["stock", "tcmalloc"]
    assert [row.ratio("tcmalloc") for row in here.rows] == [1.5, None, None]
    assert here.rows[1].rivals["tcmalloc"].note.startswith("on alt")
    assert here.rows[2].rivals["tcmalloc"].note == "not run"


def test_a_page_cannot_be_broken_by_what_it_shows() -> None:
    row = made_row("a/x/1", None)
    row.error = "</script><!-- <b>"
    page = report.page(made_run(row, made_row("a/y/1", 1.0)))
    data = page.split('id="data">')[1].split("</script>")[0]
    assert json.loads(data)["rows"][0]["error"] == row.error
