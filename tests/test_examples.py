"""The networks of `make run`, trained briefly: alt agrees with cpu and does all of it natively."""

import pytest

import altbackend
from examples.digits import compare
from examples.digits.train import RECIPES, History, train


@pytest.mark.parametrize("name", RECIPES)
def test_network_trains_alike(name: str) -> None:
    expected = train(name, "cpu", epochs=2, progress=False)
    with altbackend.no_fallback():
        actual = train(name, "alt", epochs=2, progress=False)
    assert actual.losses == pytest.approx(expected.losses, rel=1e-4)
    assert actual.test_loss == pytest.approx(expected.test_loss, rel=1e-4)
    assert actual.accuracy == expected.accuracy
    assert actual.losses[-1] < 0.9 * actual.losses[0], "does not learn"


@pytest.fixture
def agreeing() -> compare.Comparison:
    def history() -> History:
        return History(losses=[2.0, 1.0], test_loss=1.0, accuracy=0.9, seconds=1.0)

    return compare.Comparison("mlp", history(), history(), fallbacks=0)


def test_comparison_is_content_when_all_agrees(agreeing: compare.Comparison) -> None:
    assert agreeing.complaints == []


def test_comparison_sees_what_differs(agreeing: compare.Comparison) -> None:
    agreeing.alt.losses[0] *= 1.01
    agreeing.alt.accuracy = 0.8
    agreeing.fallbacks = 3
    assert len(agreeing.complaints) == 3


def test_comparison_sees_a_loss_that_is_no_number(agreeing: compare.Comparison) -> None:
    agreeing.alt.test_loss = float("nan")
    assert len(agreeing.complaints) == 1


def test_compare_writes_table_and_drawing(
    tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["compare", "logistic", "--rounds", "1", "--out", str(tmp_path)]
    )
    assert compare.main() == 0
    assert "logistic regression" in capsys.readouterr().out
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")
