"""A project's scenarios are recorded by the plugin and demanded by the gate, in one process and in several."""

import pytest

from ci.tests.functional.conftest import Project
from confidence.model.events import Collected

GATE = "scenario-matrix-complete"
TESTS = """
import pytest

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")


@pytest.mark.scenario("paid")
class TestPaying:
    def test_in_coins(self):
        pass

    @pytest.mark.scenario("late")
    def test_late(self):
        pass


@pytest.mark.parametrize("way", [
    pytest.param("up", marks=pytest.mark.scenario("returned")),
    pytest.param("down", marks=pytest.mark.scenario()),
    "sideways",
])
def test_returning(way):
    pass
"""
WHOLE = TESTS.replace("mark.scenario()", 'mark.scenario("returned")')
REQUIRED = "\n[gates.scenario-matrix-complete.required]\npaid = 2\nlate = 1\nreturned = 2\n"


@pytest.fixture
def matrix(shop: Project) -> Project:
    """The sample project with a whole matrix."""
    shop.write("tests/test_till.py", WHOLE)
    shop.configure(
        '[tiers.quick]\nalias = "fast"\nsuites = ["till"]\nbudget_seconds = 300\ngates = [',
        f'[tiers.quick]\nalias = "fast"\nsuites = ["till"]\nbudget_seconds = 300\ngates = ["{GATE}", ',
    )
    shop.configure("[tiers.full]", f"{REQUIRED}\n[tiers.full]")
    return shop


class TestTheEventLog:
    def test_it_tells_every_mark(self, shop: Project) -> None:
        shop.write("tests/test_till.py", TESTS)

        shop.confidence("run", "--tier", "quick")

        (collected,) = (event for event in shop.bundle().events("till") if isinstance(event, Collected))
        told = {case_id.split("::", 1)[1]: names for case_id, names in collected.scenarios.items()}
        assert told == {
            "TestPaying::test_in_coins": ("paid",),
            "TestPaying::test_late": ("late", "paid"),
            "test_returning[up]": ("returned",),
            "test_returning[down]": ("",),
        }


class TestTheGate:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_whole_matrix_is_green(self, matrix: Project, workers: int) -> None:
        matrix.configure('priority = "P0"', f'priority = "P0"\nworkers = {workers}')

        ended = matrix.confidence("run", "--tier", "quick")

        assert ended.code == 0, ended.text

    def test_a_row_that_went_away_is_red_by_its_name(self, matrix: Project) -> None:
        matrix.write("tests/test_till.py", WHOLE.replace('@pytest.mark.scenario("late")', ""))

        ended = matrix.confidence("run", "--tier", "quick")

        assert (ended.code, matrix.bundle().unmet_gates) == (1, {GATE}), ended.text
        assert "Not proved: late." in ended.text

    def test_a_row_that_is_left_out_of_the_run_is_red_by_its_name(self, matrix: Project) -> None:
        matrix.configure('args = ["-p",', 'args = ["-k", "not late", "-p",')

        ended = matrix.confidence("run", "--tier", "quick")

        assert ended.code == 1, ended.text
        assert "Not proved: paid (1 of 2), late." in ended.text

    def test_a_run_without_scenarios_proves_nothing(self, matrix: Project) -> None:
        matrix.configure('args = ["-p",', 'args = ["-k", "sideways", "-p",')

        ended = matrix.confidence("run", "--tier", "quick")

        assert (ended.code, matrix.bundle().unmet_gates) == (3, {GATE}), ended.text
