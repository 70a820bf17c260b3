"""A web server on this machine, for what is downloaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

__all__ = ["Quiet", "running", "serving"]


class Quiet(SimpleHTTPRequestHandler):
    """Hands out the files of a folder and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def running(server: TCPServer) -> Generator[int]:
    """The port of a server, which answers as long as the block lasts."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(handler: Callable[..., Any]) -> Generator[str]:
    """The address of a server, as long as the block lasts."""
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield f"http://127.0.0.1:{port}"
