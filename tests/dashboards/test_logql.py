"""The LogQL of the tests: it knows what the project asks, and answers as Loki does."""

import pytest

from dashboards.rules import logs
from dashboards.rules.thresholds import Thresholds
from support.dashboards import every, filled
from support.logql import Record, records, vector

LOGGED = [
    Record(10.0, {"service_name": "one", "robot": "r1", "took": "2.5"}),
    Record(20.0, {"service_name": "one", "robot": "r2", "took": "0.5"}),
    Record(30.0, {"service_name": "one", "robot": "r2", "took": "9"}),
    Record(40.0, {"service_name": "other", "robot": "r10"}),
]


def test_every_query_of_the_project_is_known() -> None:
    """Those of panels and rules are evaluated, where nothing was logged too."""
    for target in every("loki"):
        asked = filled(target.text)
        if asked.startswith("{"):
            assert records(asked, [], 0, 1) == []
        else:
            assert set(vector(asked, [], 1).values()) <= {0.0}
    for alert in logs.alerts(Thresholds()):
        assert vector(alert.expr, [], 1) == {}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ('sum (count_over_time({service_name=~".+"} [1m]))', {"": 4}),
        ('sum (count_over_time({service_name="one"} | robot=~"r1" [1m]))', {"": 1}),
        ('sum (count_over_time({service_name=~".+", site=~".*"} | took!~".+" [1m]))', {"": 1}),
        ('sum (count_over_time({service_name="none"} [1m])) or vector(0)', {"": 0}),
        ('sum by (robot) (count_over_time({service_name="one"} [1m]))', {"r1": 1, "r2": 2}),
        ('sum by (robot) (count_over_time({service_name="one"} [21s]))', {"r2": 1}),
        ('sum(sum_over_time({service_name="one"} | unwrap took [1m]))', {"": 12}),
        ('max_over_time({robot=~"r.*"} | unwrap took [1m]) by (service_name)', {"one": 9}),
        (
            'topk by (robot) (1, max_over_time({robot=~"r.*"} | unwrap took [1m]) by (robot)) > 2',
            {"r1": 2.5, "r2": 9},
        ),
        (
            (
                'sum(sum_over_time({robot="r2"} | unwrap took [1m]))'
                ' / sum(count_over_time({robot="r2"} [1m]))'
            ),
            {"": 4.75},
        ),
    ],
)
def test_numbers(query: str, wanted: dict[str, float]) -> None:
    """Patterns fit the whole value, what is missing is empty, a window begins after its edge."""
    found = {
        "".join(value for _, value in labels): value
        for labels, value in vector(query, LOGGED, 50.0).items()
    }
    assert found == wanted


def test_records_of_a_time() -> None:
    """Those that fit, without those of the beginning's moment."""
    assert records('{service_name="one"} | robot="r2"', LOGGED, 20, 30) == LOGGED[2:3]


@pytest.mark.parametrize(
    "query",
    ['rate({a="b"} [1m])', '{a="b"} |= "c"', '{a="b"} | json', "vector(1) + vector(1)", "sum("],
)
def test_an_unknown_query_is_refused(query: str) -> None:
    """A query that would be evaluated wrongly is not evaluated."""
    with pytest.raises((ValueError, KeyError)):
        vector(query, [], 1)
