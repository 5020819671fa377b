"""`make mutants` changes what a module does, and finds the tests that mirror it."""

import ast

from mutants.mutations import mutants
from mutants.suites import PACKAGE, modules, suite_of

SOURCE = '''
def limit(count: int) -> int:
    """Return 3."""
    if count > 3 and count != 7:
        raise ValueError("no")
    return count + 1
'''


def test_each_fault_changes_one_place_and_is_python() -> None:
    """Comparisons, conditions, constants, arithmetic, raises and returns; never a docstring."""
    found = list(mutants(SOURCE))
    kinds = {mutant.kind for mutant in found}
    assert kinds == {
        *("comparison", "and/or", "constant", "arithmetic", "raise dropped", "return None"),
        *("condition true", "condition false"),
    }
    assert len({mutant.source for mutant in found}) == len(found)
    for mutant in found:
        assert ast.get_docstring(ast.parse(mutant.source).body[0]) == "Return 3."  # type: ignore[arg-type]


def test_every_module_has_tests_that_mirror_it() -> None:
    """A fault is judged by tests that exist."""
    assert [str(path.relative_to(PACKAGE)) for path in modules() if not suite_of(path)] == []
