"""The board at ``GET /``: one page of our own, and the few routes that only it and `top` need."""

from charter_otel.service.board.documents import documents_router
from charter_otel.service.board.page import page_router
from charter_otel.service.board.router import Source, board_router
from charter_otel.service.board.traces import traces_router

__all__ = ["Source", "board_router", "documents_router", "page_router", "traces_router"]
