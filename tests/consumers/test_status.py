"""The board of jobs and robots."""

from charter_otel.consumers import Status
from charter_otel.streams import MemoryStream
from consumers.conftest import Make
from support.polling import eventually


def test_a_job_is_running_then_completed(started: Make, completed: Make) -> None:
    """The board shows the run's start, then its end, entries and duration."""
    board = Status()
    board.apply(started())
    assert board.jobs["aggregate"].status == "running"
    board.apply(completed(3323, 247))
    job = board.jobs["aggregate"]
    assert (job.status, job.started_at, job.ended_at) == ("completed", 1000.0, 1001.0)
    assert (job.entries_processed, job.duration_ms) == (247, 3323)


def test_a_failed_job_shows_its_error_until_it_completes(failed: Make, completed: Make) -> None:
    """The error stays on the board until the next successful run."""
    board = Status()
    board.apply(failed())
    assert board.jobs["aggregate"].status == "failed"
    assert board.jobs["aggregate"].error == "RedisConnectionError: Connection to Redis lost"
    board.apply(completed())
    assert board.jobs["aggregate"].error is None


def test_a_robot_is_online_then_offline(established: Make, closed: Make, published: Make) -> None:
    """Presence, readings, and why and after how long it left."""
    board = Status()
    board.apply(established())
    board.apply(published(battery=78.0))
    assert board.robots["robot_001"].status == "online"
    assert board.active_connections == 1
    board.apply(closed(reason="connection_lost"))
    robot = board.robots["robot_001"]
    assert (robot.status, robot.last_reason) == ("offline", "connection_lost")
    assert robot.last_connection_duration == 600.0
    assert robot.metrics is not None
    assert robot.metrics["battery_percentage"] == 78.0
    assert board.active_connections == 0


def test_a_late_close_does_not_take_a_robot_offline(established: Make, closed: Make) -> None:
    """The close of a superseded connection comes after the new one, and changes nothing."""
    board = Status()
    board.apply(established(number=1))
    board.apply(established(number=2))
    board.apply(closed(reason="superseded", number=1))
    assert board.robots["robot_001"].status == "online"


def test_the_board_is_bounded(established: Make) -> None:
    """Beyond the limit, the robot that was heard of longest ago goes."""
    board = Status(max_robots=2)
    for robot in ("a", "b", "a", "c"):
        board.apply(established(robot))
    assert list(board.robots) == ["a", "c"]


async def test_it_knows_what_was_before_it_and_follows(established: Make, started: Make) -> None:
    """A board that begins late starts with the latest events, then follows the stream."""
    stream = MemoryStream()
    await stream.start()
    stream.publish_nowait(established())
    board = Status()
    board.attach(stream)
    await board.start()
    try:
        await eventually(lambda: board.robots, "the robot of before")
        stream.publish_nowait(started())
        await eventually(lambda: board.jobs, "the job that starts now")
    finally:
        await stream.stop()
        await board.stop()
