"""A page of another origin in a real browser, which tries all that a page can."""

import json

from websockets.asyncio.client import connect

from support.browser import Tab
from support.loopback import PageServer
from support.polling import eventually
from support.robots import READING
from support.service import service

ATTEMPTS = """
const over = (made, ...ends) =>
  new Promise((done) => ends.forEach((end) => made.addEventListener(end, done)));
const add = (made, place) => {
  const ends = over(made, "load", "error");
  place(made);
  return ends;
};
const element = (name, given) => Object.assign(document.createElement(name), given);
const body = '{"mission_id": "m-1", "status": "completed"}';
const form = element("form", {method: "post", enctype: "text/plain", target: "frame"});
form.action = `${SERVICE}/api/metrics/missions`;
form.append(element("input", {name: body.slice(0, -1) + ', "x": "', value: '"}'}));
const read = `${SERVICE}/api/telemetry/robots/robot_1/metrics`;
const shown = (made) => document.body.append(made);
const quiet = (asked) => asked.catch(() => null);
(async () => {
  await add(element("img", {src: read}), shown);
  await add(element("iframe", {src: read}), shown);
  await add(element("iframe", {name: "frame"}), (frame) => {
    document.body.append(frame, form);
    form.submit();
  });
  await quiet(fetch(read, {mode: "no-cors"}));
  await quiet(fetch(read));
  await quiet(fetch(form.action, {method: "POST", mode: "no-cors", body}));
  navigator.sendBeacon(form.action, body);
  await over(new WebSocket(`${SERVICE.replace("http", "ws")}/api/telemetry/ws/robot_2`), "close");
  document.title = "tried";
})();
"""


def _other_site(address: str) -> PageServer:
    return PageServer(f"<body><script>const SERVICE = {json.dumps(address)};{ATTEMPTS}</script>")


async def test_a_page_of_another_origin_causes_no_event(page: Tab) -> None:
    """Pictures, frames, forms, scripts and sockets of it change nothing."""
    with service(CHARTER_AGGREGATION_INTERVAL="1") as running, _other_site(running.http) as other:
        async with connect(f"{running.websocket}/api/telemetry/ws/robot_1?ack=1") as robot:
            await robot.send(READING)
            await robot.recv()
            await page.goto(f"http://{other.address.replace('127.0.0.1', 'localhost')}/")
            await page.until("document.title === 'tried'")
            running.post("/api/metrics/missions", {"mission_id": "m-2", "status": "completed"})

            def counted() -> int:
                return int(running.get("/api/metrics/missions")["entries_processed"])

            await eventually(lambda: counted() > 0, "the own entry is counted")
            assert counted() == 1
            events = [event["type"] for event in running.events()]
            assert [each for each in events if each.startswith("telemetry.")] == [
                "telemetry.connection_established"
            ]
