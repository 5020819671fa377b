"""`make mutants` changes what a module does, and finds the tests that can notice it."""

import ast
import json
import os

import pytest

from mutants.__main__ import EQUIVALENT_FAULTS
from mutants.calls import Known, copy_instrumented
from mutants.mutations import Mutant, mutants, mutated
from mutants.run import chosen_tests
from mutants.sampling import sample
from mutants.suites import PACKAGE, TESTS, files_of_tests, mirrors, modules, room_of

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
    assert sample(100, seed=1) == sample(120, seed=1)[:100] != sample(100, seed=2)


def test_a_name_that_comes_twice_has_a_number() -> None:
    """Two faults are never taken for one."""
    source = "def both(first, second):\n    first(1)\n    second(1)\n    first(1)\n"
    names = [mutant.name for mutant in mutants(source)]
    assert len(set(names)) == len(names)
    assert "both, call dropped: first(1) -> pass (2)" in names


def test_every_equivalent_fault_is_one_that_the_source_can_have() -> None:
    """A reason goes with the line that it is about."""
    names = {fault.partition(": ")[0] for fault in EQUIVALENT_FAULTS}
    sources = {name: (PACKAGE / name).read_text(encoding="utf-8") for name in names}
    able = {f"{name}: {each.name}" for name, source in sources.items() for each in mutants(source)}
    assert able >= EQUIVALENT_FAULTS


def test_the_recorder_knows_which_functions_a_test_calls(pytester: pytest.Pytester) -> None:
    """Those alone are run for a fault in it; programs that it starts count as it does."""
    package = pytester.mkdir("original")
    (package / "__init__.py").write_text(
        '"""An arm."""\n'
        "from __future__ import annotations\n"
        "class Arm:\n"
        "    def lift(self): return [self.part(each) for each in range(3)]\n"
        "    def part(self, each):\n"
        '        """Return a part."""\n'
        "        return each\n"
        "def main(): Arm().part(1)\n"
    )
    pytester.makepyfile(
        """
        import subprocess, sys
        from arm import Arm

        def test_arm():
            Arm().lift()

        def test_program():
            subprocess.run([sys.executable, "-c", "import arm; arm.main()"], check=True)

        def test_broken():
            Arm().lift()
            assert False
        """
    )
    copy_instrumented(package, pytester.mkdir("copy") / "arm")
    calls = pytester.mkdir("calls")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path / "copy"), str(TESTS)]))
        patch.setenv("MUTANTS_CALLS", str(calls))
        pytester.runpytest_subprocess("-p", "mutants.calls", "-p", "no:cacheprovider")
    (noted,) = calls.glob("*.json")
    found = {test.partition("::")[2]: each for test, each in json.loads(noted.read_text()).items()}
    assert found.keys() == {"test_arm", "test_program"}
    assert set(found["test_arm"][1]) == {"__init__.py Arm.lift", "__init__.py Arm.part"}
    assert set(found["test_program"][1]) == {"__init__.py main", "__init__.py Arm.part"}


def test_the_tests_that_call_a_function_judge_it() -> None:
    """The quick ones first, of its room and that call little else; if none, those of the module."""
    module = PACKAGE / "redis" / "slots.py"
    calls = {"redis/slots.py slot_of"}
    known = {
        "tests/telemetry/test_a.py::test": Known(0.1, frozenset(calls)),
        "tests/streams/test_b.py::test": Known(5.0, frozenset(calls)),
        "tests/streams/test_c.py::test": Known(2.0, frozenset(calls | {"aio.py end"})),
        "tests/streams/test_d.py::test": Known(0.1, frozenset({"redis/slots.py partition_of"})),
        "tests/streams/test_e.py::test": Known(600.0, frozenset(calls)),
        "tests/otel/test_f.py::test": Known(0.1, frozenset({"otel/logs.py other"})),
    }
    fault = Mutant(1, "slot_of", "constant", "1", "2", 0)
    chosen = [test.partition("_")[2] for test in chosen_tests(module, fault, known)]
    assert chosen == ["a.py::test", "b.py::test", "c.py::test"]
    chosen = [
        test.partition("_")[2]
        for test in chosen_tests(module, fault._replace(where="never_called"), known)
    ]
    assert chosen == ["d.py::test", "a.py::test", "b.py::test", "c.py::test"]


def test_every_module_has_tests_that_mirror_it() -> None:
    """A fault is judged by tests of its room first."""
    files = [f"tests/{file.relative_to(TESTS)}" for file in files_of_tests()]
    alone = [path for path in modules() if not any(mirrors(path, file) for file in files)]
    assert alone == []
