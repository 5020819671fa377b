"""The page and its files: what they are, what a browser may do with them, and where they lie."""

import re
from importlib.resources import files

import httpx
import pytest
from litestar import Litestar, Router

from charter_otel.service.board import page_router
from charter_otel.service.problems import exception_handlers
from support.requests import requesting

STATIC = files("charter_otel.service.board").joinpath("static")
NAMES = sorted(entry.name for entry in STATIC.iterdir())


async def get(path: str, prefix: str = "/", **headers: str) -> httpx.Response:
    """Ask for a file."""
    app = Litestar(
        [Router(prefix, route_handlers=[page_router()])],
        exception_handlers=exception_handlers(),
        openapi_config=None,
    )
    async with requesting(app) as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("name", NAMES)
async def test_each_file_is_served_for_what_it_is(name: str) -> None:
    """A browser that must not guess gets the right type, and nothing from elsewhere is allowed."""
    response = await get(f"/board/{name}")
    assert response.status_code == 200
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    again = await get(f"/board/{name}", **{"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", NAMES)
def test_no_other_host_and_no_markup_from_text(name: str) -> None:
    """No file names another host or turns text into markup; the policy would refuse both."""
    text = STATIC.joinpath(name).read_text(encoding="utf-8")
    addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text)
    assert [a for a in addresses if "www.w3.org" not in a] == []
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text) == []
    )


@pytest.mark.parametrize(
    ("path", "prefix", "link"),
    [
        ("/", "/", "board/main.js"),
        ("/fleet", "/fleet", "fleet/board/main.js"),
        ("/fleet/", "/fleet", "board/main.js"),
        ("/api", "/", "board/reference.js"),
        ("/api/", "/", "../board/reference.js"),
        ("/fleet/api", "/fleet", "board/reference.js"),
    ],
)
async def test_page_finds_its_files_below_any_prefix(path: str, prefix: str, link: str) -> None:
    """The addresses in the page are right for the address that it was asked for by."""
    response = await get(path, prefix)
    assert f'src="{link}"' in response.text
    assert "{base}" not in response.text


async def test_unknown_file() -> None:
    """Only what lies in the room is served."""
    for path in ("/board/nothing.js", "/board/..%2Fpage.py", "/board/..%2F..%2Fapp.py"):
        assert (await get(path)).status_code == 404
