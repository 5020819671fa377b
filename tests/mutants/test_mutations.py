"""`make mutants` changes what a module does, and finds the tests that can notice it."""

import ast
from pathlib import Path

import pytest

from mutants.calls import Recorder
from mutants.mutations import mutants, mutated
from mutants.run import sample
from mutants.suites import PACKAGE, modules, room_of, suite_of

pytest_plugins = "pytester"

SOURCE = '''
LIMIT = 3

def limit(count: int) -> int:
    """Return 3."""
    if count > LIMIT and count != 7:
        raise ValueError("no")
    return count + 1
'''


def test_each_fault_changes_one_place_and_is_python() -> None:
    """Comparisons, conditions, constants, arithmetic, raises and returns; never a docstring."""
    found = mutants(SOURCE)
    kinds = {mutant.kind for mutant in found}
    assert kinds == {
        *("comparison", "and/or", "constant", "arithmetic", "raise dropped", "return None"),
        *("condition true", "condition false"),
    }
    sources = {mutated(SOURCE, mutant)[1] for mutant in found}
    assert len(sources) == len(found)
    for source in sources:
        assert ast.get_docstring(ast.parse(source).body[1]) == "Return 3."  # type: ignore[arg-type]


def test_a_fault_is_named_by_where_it_is() -> None:
    """A line that moves changes no name: an equivalent fault stays known."""
    names = [mutant.name for mutant in mutants(SOURCE)]
    assert names == [mutant.name for mutant in mutants("\n\n" + SOURCE)]
    assert names[0] == "(module), constant: 3 in LIMIT = 3 -> 4"
    assert "limit, comparison: count > LIMIT -> count >= LIMIT" in names


def test_a_sample_takes_a_fifth_from_each_part() -> None:
    """The robots' connections, the spool, audit, alerts, and all other rooms in turn."""
    rooms = [room_of(module) for module, _ in sample(100, seed=1)]
    assert sum(room.startswith("telemetry") for room in rooms) == 20
    for room in ("streams/spool", "consumers/audit", "consumers/alerts"):
        assert rooms.count(room) == 20
    assert len(set(rooms)) == 20
    assert sample(100, seed=1) == sample(100, seed=1) != sample(100, seed=2)


def test_the_recorder_knows_which_functions_a_test_calls(pytester: pytest.Pytester) -> None:
    """Those alone are run for a fault in it; what fails without a fault is not."""
    pytester.makepyfile(
        """
        class Arm:
            def lift(self):
                return [str(part) for part in range(3)]

        def test_arm():
            Arm().lift()

        def test_broken():
            Arm().lift()
            assert False
        """
    )
    recorder = Recorder(Path(pytester.path))
    scope = "asyncio_default_fixture_loop_scope=function"  # an older plugin warns without it
    pytester.inline_run("-p", "no:cacheprovider", "-o", scope, plugins=[recorder])
    ((test, known),) = recorder.known().items()
    assert test.endswith("::test_arm")
    assert {call.partition(" ")[2] for call in known.calls} == {"Arm.lift", "test_arm"}


def test_every_module_has_tests_that_mirror_it() -> None:
    """A fault is judged by tests that exist."""
    assert [str(path.relative_to(PACKAGE)) for path in modules() if not suite_of(path)] == []
