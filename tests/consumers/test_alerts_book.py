"""Pages that wait: which is given up, which is forgotten, and what is said about it."""

from charter_otel.consumers.alerts import Page, Pager
from charter_otel.consumers.alerts.book import Book
from charter_otel.consumers.alerts.page import resolve
from charter_otel.consumers.alerts.pager import PageRefused
from charter_otel.consumers.alerts.pagerduty import links
from charter_otel.testing import Capture
from support.polling import eventually


def _trigger(key: str) -> Page:
    return Page(action="trigger", key=key)


def test_a_full_book_gives_up_the_oldest_trigger_and_keeps_resolves() -> None:
    """An incident that nobody hears of is better than one that stays open for ever."""
    book = Book(capacity=2)
    assert book.add(resolve("ended")) is None
    assert book.add(_trigger("older")) is None
    assert book.add(_trigger("newer")) == _trigger("older")
    assert book.state([], []).waiting == [resolve("ended"), _trigger("newer")]


def test_a_full_book_of_resolves_gives_up_the_oldest() -> None:
    """It stays within its bound, whatever it holds."""
    book = Book(capacity=1)
    assert book.add(resolve("older")) is None
    assert book.add(resolve("newer")) == resolve("older")


def test_an_incident_that_was_refused_for_good_is_not_one_that_pagerduty_may_have() -> None:
    """If it opens and resolves while PagerDuty is away, there is nothing to report."""
    book = Book()
    book.add(_trigger("wrong"))
    refused = book.next()
    assert refused is not None
    book.refused(refused)
    book.add(_trigger("other"))
    unanswered = book.next()
    assert unanswered is not None
    book.failed(unanswered)
    book.add(_trigger("wrong"))
    book.add(resolve("wrong"))
    state = book.state([], [])
    assert (state.waiting, state.attempted) == ([_trigger("other")], ["other"])


async def test_pages_that_are_given_up_are_counted_by_reason(charter_capture: Capture) -> None:
    """The metric has the reason, the line also the words and the page."""

    def refuse(page: Page) -> None:
        raise PageRefused(f"{page.key} is wrong")

    pager = Pager(refuse, Book(capacity=1), instrumentation=charter_capture.instrumentation)
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


async def test_the_trouble_is_there_for_as_long_as_pagerduty_takes_no_page() -> None:
    """It says why, and how many pages wait."""
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


def test_a_page_without_a_trace_has_no_link_to_one() -> None:
    """Readings come without one."""
    texts = [link["text"] for link in links(_trigger("one"), "https://grafana.test")]
    assert texts == ["Dashboard"]
