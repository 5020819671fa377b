"""The pages at ``GET /`` and ``GET /api`` with their files, as the package contains them."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from litestar import Request, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.status_codes import HTTP_304_NOT_MODIFIED

from charter_otel.methods import with_methods
from charter_otel.service.http import UNTRACED

AnyRequest = Request[Any, Any, Any]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Allows files and answers of this service only; no text from any sender becomes markup."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The browser revalidates each time, so that a new version appears at once.
    "Cache-Control": "no-cache",
}

_MEDIA_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}


class File:
    """A file of the page; the suffix of its name gives the media type."""

    def __init__(self, name: str, content: bytes) -> None:
        self._content = content
        self._media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
        self._tag = f'"{sha256(content).hexdigest()[:32]}"'

    def answer(self, request: AnyRequest) -> Response[bytes]:
        """Return the file, or 304 if the browser has it already."""
        headers = {**HEADERS, "ETag": self._tag}
        if request.headers.get("if-none-match") == self._tag:
            return Response(b"", status_code=HTTP_304_NOT_MODIFIED, headers=headers)
        return Response(self._content, media_type=self._media_type, headers=headers)


def page_router() -> Router:
    """Return the routes of the board, of the API's page, and of the files of both.

    They are open: the pages hold no data, and ask for a token if the API requires one.
    """
    contents = {
        entry.name: entry.read_bytes()
        for entry in files(__package__).joinpath("static").iterdir()
        if entry.is_file()
    }
    found = {name: File(name, content) for name, content in contents.items()}

    @get("/", sync_to_thread=False)
    def get_board(request: AnyRequest) -> Response[bytes]:
        """Return the board."""
        last = _last(request)
        return _page("index.html", contents, f"{last}/" if last else "").answer(request)

    @get("/api", sync_to_thread=False)
    def get_reference(request: AnyRequest) -> Response[bytes]:
        """Return the API's page."""
        return _page("api.html", contents, "" if _last(request) else "../").answer(request)

    @get("/board/{name:str}", sync_to_thread=False)
    def get_file(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
        """Return a file of the pages."""
        file = found.get(name)
        if file is None:
            raise NotFoundException(f"The board has no file {name!r}.")
        return file.answer(request)

    return Router(
        "/",
        route_handlers=with_methods([get_board, get_reference, get_file]),
        include_in_schema=False,
        opt={UNTRACED: True},
    )


def _page(name: str, contents: Mapping[str, bytes], base: str) -> File:
    """Return a page whose addresses work below any prefix.

    Args:
        name: Its file.
        contents: All files.
        base: Relative path from the page's own address to the service's base.
    """
    return File(name, contents[name].replace(b"{base}", base.encode()))


def _last(request: AnyRequest) -> str:
    """Return the part of the requested address after its last slash."""
    # Litestar strips a trailing slash from the path, and leaves the raw path as it came.
    return request.scope["raw_path"].decode().rpartition("/")[2]
