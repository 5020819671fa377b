"""Pages that wait: which is given up, which is forgotten, and what is said about it."""

from charter_otel.consumers.alerts import Page, Pager
from charter_otel.consumers.alerts.page import resolve
from charter_otel.consumers.alerts.page_queue import PageQueue
from charter_otel.consumers.alerts.pager import PageRefused
from charter_otel.consumers.alerts.pagerduty import _event, links
from charter_otel.testing import Capture
from support.polling import eventually


def _trigger(key: str) -> Page:
    return Page(action="trigger", key=key)


def test_a_full_book_gives_up_the_oldest_trigger_and_keeps_resolves() -> None:
    """An incident that nobody hears of is better than one that stays open for ever."""
    queue = PageQueue(capacity=2)
    assert queue.add(resolve("ended")) is None
    assert queue.add(_trigger("older")) is None
    assert queue.add(_trigger("newer")) == _trigger("older")
    assert queue.state([], []).waiting == [resolve("ended"), _trigger("newer")]


def test_a_full_book_of_resolves_gives_up_the_oldest() -> None:
    """It stays within its bound, whatever it holds."""
    queue = PageQueue(capacity=1)
    assert queue.add(resolve("older")) is None
    assert queue.add(resolve("newer")) == resolve("older")


def test_an_incident_that_ends_while_pagerduty_takes_none_is_not_told() -> None:
    """Whether it opened before the first page failed, or after."""
    queue = PageQueue()
    queue.add(_trigger("open"))
    for key in ("before", "after"):
        queue.add(_trigger(key))
        queue.add(resolve(key))
        waiting = queue.next()
        assert waiting is not None
        queue.failed(waiting)
    assert (queue.next(), len(queue)) == (_trigger("open"), 1)


def test_an_incident_that_was_refused_for_good_is_not_one_that_pagerduty_may_have() -> None:
    """If it opens and resolves while PagerDuty is away, there is nothing to report."""
    queue = PageQueue()
    queue.add(_trigger("wrong"))
    refused = queue.next()
    assert refused is not None
    queue.refused(refused)
    queue.add(_trigger("other"))
    unanswered = queue.next()
    assert unanswered is not None
    queue.failed(unanswered)
    queue.add(_trigger("wrong"))
    queue.add(resolve("wrong"))
    state = queue.state([], [])
    assert (state.waiting, state.attempted) == ([_trigger("other")], ["other"])


async def test_pages_that_are_given_up_are_counted_by_reason(charter_capture: Capture) -> None:
    """The metric has the reason, the line also the words and the page."""

    def refuse(page: Page) -> None:
        raise PageRefused(f"{page.key} is wrong")

    pager = Pager(refuse, PageQueue(capacity=1), instrumentation=charter_capture.instrumentation)
    pager.page(_trigger("one"))
    pager.page(_trigger("two"))
    pager.start()
    await eventually(lambda: pager.dropped == 2, "both are given up")
    await pager.stop()
    points = charter_capture.metrics()["charter.event.dropped"]
    assert {p.attributes["charter.drop_reason"]: p.value for p in points} == {
        "queue_full": 1,
        "refused": 1,
    }
    assert {p.attributes["charter.sink"] for p in points} == {"subscriber"}
    lines = [line for line in charter_capture.lines if line["event"] == "page given up"]
    assert [(line["key"], line["reason"], line["error"]) for line in lines] == [
        ("one", "queue_full", "too many pages wait"),
        ("two", "refused", "two is wrong"),
    ]


async def test_the_trouble_is_there_for_as_long_as_pagerduty_takes_no_page(
    charter_capture: Capture,
) -> None:
    """It says why, and how many pages wait; one line says so, and one that it is over."""
    away = [True]

    def send(page: Page) -> None:
        if away[0]:
            raise ConnectionError(f"no way for {page.key}")

    pager = Pager(send, pause=0.01)
    assert pager.trouble is None
    pager.start()
    pager.page(_trigger("one"))
    await eventually(lambda: pager.trouble, "it was tried")
    assert "no way for one); 1 wait for it" in (pager.trouble or "")
    away[0] = False
    await eventually(lambda: pager.sent == 1, "it is taken")
    assert pager.trouble is None
    await pager.stop()
    assert [line["event"] for line in charter_capture.lines] == [
        "PagerDuty takes no pages, they wait",
        "PagerDuty takes pages again",
    ]


def test_an_incident_that_ended_is_forgotten() -> None:
    """The state for the next start does not grow with all that ever was."""
    queue = PageQueue()
    for page in (_trigger("one"), resolve("one")):
        queue.add(page)
        assert queue.next() == page
        queue.taken(page)
    assert queue.state([], []).attempted == []


def test_a_summary_has_1024_characters_at_most() -> None:
    """PagerDuty refuses a longer one."""
    page = Page(action="trigger", key="one", summary="x" * 2_000)
    assert _event(page, None)["summary"] == "x" * 1_024


def test_a_page_without_a_trace_has_no_link_to_one() -> None:
    """Readings come without one."""
    texts = [link["text"] for link in links(_trigger("one"), "https://grafana.test")]
    assert texts == ["Dashboard"]
