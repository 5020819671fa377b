"""structlog and the standard library through one renderer: JSON lines, or a console form."""

import json
import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from charter_otel import emit
from charter_otel.charter import decode
from charter_otel.otel.lines.configure import configure_logs, default_format
from charter_otel.otel.lines.values import Envelope
from charter_otel.testing import Capture
from support.events import EXAMPLES, PAYLOADS
from support.written import Written

RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
FIRST_KEYS = ["timestamp", "level", "event", "logger", "service.name"]


@pytest.fixture
def written() -> Written:
    """Configure JSON lines, and give what is written."""
    writer = Written()
    configure_logs(service_name="fleet", log_format="json", level="DEBUG", writer=writer)
    return writer


@pytest.fixture
def console() -> Written:
    """Configure the console form, and give what is written."""
    writer = Written()
    configure_logs(service_name="fleet", log_format="console", writer=writer)
    return writer


class Hostile:
    """A value that does not let itself be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Wordless(Exception):  # noqa: N818 - it is a value here
    """An error that does not let itself be read."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def endless() -> dict[str, Any]:
    """Return a dict that contains itself."""
    value: dict[str, Any] = {}
    value["self"] = value
    return value


HOSTILE: dict[str, Any] = {
    "surrogate": "\ud800",
    "nested surrogate": {"a": ["\ud800"]},
    "2**70": 2**70,
    "nan": float("nan"),
    "bytes": b"\xff\x00",
    "datetime": datetime(2024, 1, 2, tzinfo=UTC),
    "endless": endless(),
    "object": object(),
    "hostile": Hostile(),
    "hostile inside": [{"a": Hostile()}],
    "tuple keys": {(1, 2): 3},
    "newline": "a\nb\r\n\x00\x1b[2J\u2028",
    "exception": ValueError("x"),
}


class TestJson:
    """One JSON object a line, with stable keys."""

    def test_keys_and_their_order(self, written: Written) -> None:
        """The common keys come first, in the contract's order, then the line's own."""
        context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
        with trace.use_span(NonRecordingSpan(context)):
            structlog.get_logger("fleet.robots").info("robot moved", robot="r1", metres=2.5)
        line = written.last
        assert list(line) == [
            *FIRST_KEYS,
            "trace_id",
            "span_id",
            "trace_flags",
            "robot",
            "metres",
        ]
        assert RFC_3339_UTC.fullmatch(line["timestamp"])
        assert line | {"timestamp": ""} == {
            "timestamp": "",
            "level": "info",
            "event": "robot moved",
            "logger": "fleet.robots",
            "service.name": "fleet",
            "trace_id": f"{0xABC:032x}",
            "span_id": f"{0xDEF:016x}",
            "trace_flags": "01",
            "robot": "r1",
            "metres": 2.5,
        }

    def test_without_a_span_there_are_no_trace_ids(self, written: Written) -> None:
        """No ids are better than zeroes."""
        structlog.get_logger("fleet").info("quiet")
        assert list(written.last) == FIRST_KEYS

    def test_timestamp_is_now_in_utc(self, written: Written) -> None:
        """The time of a line is the time at which it was written."""
        before = time.time()
        structlog.get_logger("fleet").info("now")
        moment = datetime.fromisoformat(written.last["timestamp"])
        assert before - 0.001 <= moment.timestamp() <= time.time() + 0.001

    @pytest.mark.parametrize(
        ("method", "level"),
        [
            ("debug", "debug"),
            ("info", "info"),
            ("warning", "warning"),
            ("warn", "warning"),
            ("error", "error"),
            ("exception", "error"),
            ("critical", "critical"),
        ],
    )
    def test_levels(self, method: str, level: str, written: Written) -> None:
        """Every method has one name of its level."""
        getattr(structlog.get_logger("fleet"), method)("line")
        assert written.last["level"] == level

    def test_bound_context_is_in_the_line(self, written: Written) -> None:
        """Values that are bound for a unit of work stand on each of its lines."""
        with structlog.contextvars.bound_contextvars(correlation_id="abc"):
            structlog.get_logger("fleet").info("one")
            logging.getLogger("other").warning("two")
        assert [json.loads(line)["correlation_id"] for line in written.lines] == ["abc", "abc"]

    def test_level_filters_both(self) -> None:
        """Lines below the level are not written, whoever writes them."""
        writer = Written()
        configure_logs(service_name="fleet", log_format="json", level="WARNING", writer=writer)
        structlog.get_logger("fleet").info("no")
        logging.getLogger("fleet").info("no")
        logging.getLogger("fleet").warning("yes")
        assert [json.loads(line)["event"] for line in writer.lines] == ["yes"]

    @pytest.mark.parametrize("event_type", EXAMPLES)
    def test_charter_event(self, event_type: str, charter_capture: Capture) -> None:
        """An event's line has the event's own time, and the envelope as it is on the stream."""
        event = emit(event_type, PAYLOADS[event_type])
        assert event is not None
        line = next(line for line in charter_capture.lines if "charter" in line)
        assert line["event"] == event_type
        assert line["timestamp"] == "2023-12-19T15:53:54.567000Z"
        assert list(line["charter"]) == list(EXAMPLES[event_type])
        assert line["charter"]["payload"] == PAYLOADS[event_type]

    def test_charter_event_beside_a_hostile_value(self, charter_capture: Capture) -> None:
        """The envelope stays whole when another value of the line cannot be encoded."""
        with structlog.contextvars.bound_contextvars(other="\ud800"):
            event = emit("metrics.aggregation_started", PAYLOADS["metrics.aggregation_started"])
        assert event is not None
        line = next(line for line in charter_capture.lines if "charter" in line)
        assert line["charter"]["id"] == event.id
        assert line["other"] == "\\ud800"


class TestHostileValues:
    """A line must not fail the code that writes it."""

    @pytest.mark.parametrize("name", HOSTILE)
    def test_value(self, name: str, written: Written) -> None:
        """Any value gives one line of valid JSON, with the other values as they are."""
        structlog.get_logger("fleet").info("line", value=HOSTILE[name], other=1)
        assert written.last["other"] == 1
        assert "value" in written.last

    @pytest.mark.parametrize("name", HOSTILE)
    def test_value_as_the_event(self, name: str, written: Written) -> None:
        """So does any event, that of the standard library too."""
        structlog.get_logger("fleet").info(HOSTILE[name])
        assert "event" in written.last

    def test_known_renderings(self, written: Written) -> None:
        """A value that has a rendering in JSON gets it."""
        values = {"a": float("nan"), "b": datetime(2024, 1, 2, tzinfo=UTC), "c": b"\xff", "d": (1,)}
        structlog.get_logger("fleet").info("line", **values)
        line = written.last
        assert (line["a"], line["b"], line["c"], line["d"]) == (
            None,
            "2024-01-02T00:00:00Z",
            "/w==",
            [1],
        )

    @pytest.mark.parametrize("key", ["\ud800", "a\nb", "timestamp", "logger", "level", "trace_id"])
    def test_key(self, key: str, written: Written) -> None:
        """Any key, those of the renderer's own included, gives a line."""
        structlog.get_logger("fleet").info("line", **{key: "x"})
        line = written.last
        assert RFC_3339_UTC.fullmatch(line["timestamp"])
        assert (line["level"], line["logger"]) == ("info", "fleet")

    @given(st.text(st.characters()), st.text(st.characters()))
    def test_text(self, event: str, value: str) -> None:
        """Any text at all stays inside of one line."""
        writer = Written()
        configure_logs(service_name="fleet", log_format="json", writer=writer)
        structlog.get_logger("fleet").info(event, value=value)
        if value.isprintable() and value.isascii():
            assert writer.last["value"] == value
        assert "value" in writer.last


class TestExceptions:
    """An exception is three fields of the conventions."""

    def raised(self) -> ValueError:
        """Return an error with a traceback and a cause."""
        error = ValueError("no\nnumber")
        try:
            try:
                int("x")
            except ValueError as cause:
                raise error from cause
        except ValueError:
            pass
        return error

    @pytest.mark.parametrize("given", ["exception", "error", "tuple"])
    def test_fields(self, given: str, written: Written) -> None:
        """Type, message and traceback, however the exception is given."""
        error = self.raised()
        log = structlog.get_logger("fleet")
        if given == "exception":
            try:
                raise error
            except ValueError:
                log.exception("failed")
        else:
            exc_info = (type(error), error, error.__traceback__) if given == "tuple" else error
            log.error("failed", exc_info=exc_info)
        line = written.last
        assert line["exception.type"] == "ValueError"
        assert line["exception.message"] == "no\nnumber"
        assert "direct cause" in line["exception.stacktrace"]
        assert "exc_info" not in line

    @pytest.mark.parametrize("exc_info", [None, False, True, (None, None, None)])
    def test_no_exception(self, exc_info: Any, written: Written) -> None:
        """Without one, the fields are absent."""
        structlog.get_logger("fleet").error("fine", exc_info=exc_info)
        assert list(written.last) == FIRST_KEYS

    def test_exception_without_words(self, written: Written) -> None:
        """An exception that cannot be read still gives its line."""
        structlog.get_logger("fleet").error("failed", exc_info=Wordless())
        assert written.last["exception.type"] == "Wordless"

    def test_deep_recursion_is_cut(self, written: Written) -> None:
        """A traceback keeps its innermost frames only."""

        def left(depth: int) -> None:
            if depth == 0:
                raise ValueError("bottom")
            right(depth - 1)

        def right(depth: int) -> None:
            left(depth - 1)

        try:
            left(200)
        except ValueError:
            structlog.get_logger("fleet").exception("failed")
        stacktrace = written.last["exception.stacktrace"]
        assert stacktrace.endswith("ValueError: bottom\n")
        assert stacktrace.count('File "') == 30


class TestStandardLibrary:
    """Lines of other libraries and of the server look the same."""

    @pytest.mark.parametrize("name", ["uvicorn.error", "uvicorn.access", "redis", "asyncio"])
    def test_same_keys(self, name: str, written: Written) -> None:
        """A standard logger's line has the same keys in the same order."""
        logging.getLogger(name).warning("%s on %d", "listening", 8000)
        line = written.last
        assert list(line) == FIRST_KEYS
        assert line["event"] == "listening on 8000"
        assert (line["logger"], line["level"]) == (name, "warning")

    def test_extra_fields(self, written: Written) -> None:
        """A program's own values are there; objects, and those that hide usual keys, are not."""
        extra = {"robot": "r1", "tries": 3, "socket": object(), "level": "x", "color_message": "x"}
        logging.getLogger("fleet").warning("moved", extra=extra)
        line = written.last
        assert list(line) == [*FIRST_KEYS, "robot", "tries"]
        assert (line["robot"], line["tries"], line["level"]) == ("r1", 3, "warning")

    def test_time_is_the_record_s(self, written: Written) -> None:
        """The time is that at which the record was made."""
        record = logging.LogRecord("x", logging.INFO, "x.py", 1, "then", None, None)
        record.created = 1703001234.567
        logging.getLogger().handle(record)
        assert written.last["timestamp"] == "2023-12-19T15:53:54.567000Z"

    def test_exception(self, written: Written) -> None:
        """An exception has the same three fields."""
        try:
            int("x")
        except ValueError:
            logging.getLogger("uvicorn.error").exception("failed\nbadly")
        line = written.last
        assert line["event"] == "failed\nbadly"
        assert line["exception.type"] == "ValueError"

    def test_trace_ids(self, written: Written) -> None:
        """A line written inside of a span has its ids."""
        context = SpanContext(1, 2, is_remote=False)
        with trace.use_span(NonRecordingSpan(context)):
            logging.getLogger("uvicorn.error").error("inside")
        assert written.last["trace_id"] == f"{1:032x}"

    def test_configured_twice(self, written: Written) -> None:
        """Configuring again replaces the handler, so that no line is doubled."""
        configure_logs(service_name="fleet", log_format="json", writer=written)
        logging.getLogger("x").warning("once")
        assert len(written.lines) == 1

    def test_exporters_do_not_log_about_themselves(self, written: Written) -> None:
        """The HTTP client of the exporters stays quiet, also at debug level."""
        logging.getLogger("urllib3.connectionpool").debug("POST /v1/logs")
        assert written.lines == []


class TestConsole:
    """The form that a person reads."""

    def text(self, written: Written) -> str:
        """Return the last line without its colours."""
        return re.sub(r"\x1b\[\d+m", "", written.lines[-1].decode())

    def test_line(self, console: Written) -> None:
        """Time of day, level, event and the line's own values, in one line."""
        structlog.get_logger("fleet").info("robot moved", robot="r1")
        assert re.fullmatch(
            r"\d\d:\d\d:\d\d\.\d{3} info  robot moved  robot=r1\n", self.text(console)
        )

    def test_a_long_line_is_wrapped_between_words(self, console: Written) -> None:
        """No row is wider than 80 columns, further rows are indented, and no word is broken."""
        said = " ".join(f"word{number}" for number in range(40))
        structlog.get_logger("fleet").warning(said, where="on the way to the charging station")
        first, *others = self.text(console).removesuffix("\n").split("\n")
        assert max(len(row) for row in (first, *others)) <= 80
        assert all(row.startswith(" " * 13) for row in others)
        told = " ".join(row[13:] for row in (first, *others))
        assert re.sub(" +", " ", told) == f"warn {said} where=on the way to the charging station"

    def test_a_value_that_fits_into_no_row_begins_in_the_first(self, console: Written) -> None:
        """Only a value that fits into one, behind the indentation, is kept together."""
        for words, row in ((7, 0), (6, 1)):
            structlog.get_logger("fleet").info("robot moved", where=" ".join(["abcdefghi"] * words))
            assert "where=abcdefghi" in self.text(console).split("\n")[row]

    @pytest.mark.parametrize(
        ("event_type", "told"),
        [
            ("metrics.aggregation_started", "aggregate_mission_metrics"),
            (
                "metrics.aggregation_completed",
                "aggregate_mission_metrics  247 entries in 3323.0 ms",
            ),
            (
                "metrics.aggregation_failed",
                "aggregate_mission_metrics  RedisConnectionError: Connection to Redis lost",
            ),
            ("telemetry.connection_established", "robot_001"),
            ("telemetry.connection_closed", "robot_001  client_disconnect after 1111.1 s"),
            (
                "telemetry.metrics_published",
                "robot_001  cpu 45 %  memory 63 %  latency 12 ms  battery 78 %",
            ),
        ],
    )
    def test_charter_event_says_what_happened(
        self, event_type: str, told: str, console: Written
    ) -> None:
        """An event is told in a few words, in 80 columns, with its trace id whole."""
        context = SpanContext(0xABC << 96, 1, is_remote=False)
        with trace.use_span(NonRecordingSpan(context)):
            emit(event_type, PAYLOADS[event_type])
        text = self.text(console)
        assert max(map(len, text.split("\n"))) <= 80
        words = " ".join(text.split())
        assert words.endswith(f"{event_type} {' '.join(told.split())} trace=00000abc{'0' * 24}")

    def test_connection_closed_without_a_reason(self, console: Written) -> None:
        """The reason is optional, and so it is in the words."""
        payload = dict(PAYLOADS["telemetry.connection_closed"])
        del payload["reason"]
        emit("telemetry.connection_closed", payload)
        assert "robot_001  ended after 1111.1 s" in self.text(console)

    def test_event_of_another_charter(self, console: Written) -> None:
        """An event that there are no words for shows its payload, value by value."""
        event = decode(json.dumps(EXAMPLES["metrics.aggregation_started"]))
        other = msgspec.structs.replace(event, type="fleet.moved", payload={"to": {"x": 1}})
        structlog.get_logger("fleet").info(other.type, charter=Envelope(other, b"{}"))
        assert re.search(r"fleet\.moved +x=1\n", self.text(console))

    @pytest.mark.parametrize("name", HOSTILE)
    def test_hostile_value(self, name: str, console: Written) -> None:
        """No value begins a line of its own, and none of its characters steers the terminal."""
        structlog.get_logger("fleet").info("line", value=HOSTILE[name])
        structlog.get_logger("fleet").info(HOSTILE[name])
        for line in console.lines:
            first, *others = line.removesuffix(b"\n").split(b"\n")
            assert first[2:3] == b":"
            assert all(row.startswith(b" " * 13) for row in others)
            assert b"\x1b[2J" not in line

    def test_hostile_exception(self, console: Written) -> None:
        """A traceback has its lines, but nothing in it steers the terminal."""
        structlog.get_logger("fleet").error("failed", exc_info=ValueError("\x1b[2J\x07"))
        assert "ValueError: \\x1b[2J\\x07" in self.text(console)

    def test_charter_field_of_somebody_else(self, console: Written) -> None:
        """A field of that name that is not an envelope is shown as it is."""
        structlog.get_logger("fleet").info("line", charter="x")
        assert "charter=x" in self.text(console)


class Terminal:
    """A stream that is a terminal, or not."""

    def __init__(self, answer: bool) -> None:
        self.isatty: Callable[[], bool] = lambda: answer


def test_format_goes_by_the_terminal() -> None:
    """A terminal gets the console form, anything else JSON."""
    yes: Any = Terminal(True)
    no: Any = Terminal(False)
    assert (default_format(yes), default_format(no)) == ("console", "json")
