"""The process that draws random programs and runs them on both devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine

from conformance.fuzz.grammar import step
from conformance.fuzz.program import Pair, Step, script, shrunk
from conformance.suite.cells import Suite, main
from conformance.suite.outcome import Difference

STEPS = 14
# Hypothesis allows itself five minutes, and uses them; it makes the sizes small in a few seconds.
# What it leaves of needless steps is taken out afterwards, in a run for each step.
SHRINKING_S = 8


class Failure(AssertionError):
    """A program on which the devices differ."""

    def __init__(self, difference: Difference, steps: list[Step]) -> None:
        super().__init__(str(difference))
        self.difference, self.steps = difference, steps


class Context:
    """The programs of one seed."""

    def __init__(self, task: dict) -> None:
        self.seed: int = task["seed"]
        self.programs: int = task["programs"]
        self.dtypes: list[str] = task["dtypes"]
        self.trace = Path(task["trace"])
        self.cases = 0

    def run_program(self, data: st.DataObject) -> None:
        """Draws and runs one program."""
        pair = Pair()
        for _ in range(data.draw(st.integers(1, STEPS), label="steps")):
            drawn = data.draw(step(pair.stock.count, self.dtypes))
            # Should the step end this process, the one that started it finds the program here.
            self.trace.write_text(script([*pair.steps, drawn]))
            try:
                self.cases += pair.step(drawn)
            except Difference as difference:
                raise Failure(difference, pair.steps) from None


@contextmanager
def shrinking_at_most(seconds: float) -> Iterator[None]:
    """Hypothesis reads this when it starts to shrink; there is no setting for it."""
    before = engine.MAX_SHRINKING_SECONDS
    engine.MAX_SHRINKING_SECONDS = seconds  # type: ignore[assignment]
    try:
        yield
    finally:
        engine.MAX_SHRINKING_SECONDS = before


def programs(context: Context) -> None:
    """Alt and stock agree after each step of each program."""

    @seed(context.seed)
    @settings(
        max_examples=context.programs,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        context.run_program(data)

    try:
        with shrinking_at_most(SHRINKING_S):
            run()
    except Failure as failure:
        steps, found = shrunk(failure.steps, failure.difference)
        raise Difference(f"{found}\n{script(steps)}") from None
    finally:
        context.trace.unlink(missing_ok=True)


SUITE = Suite(
    name="fuzz",
    context=Context,
    variants={"programs": programs},
    native=lambda context: False,
)

if __name__ == "__main__":
    main(SUITE)
