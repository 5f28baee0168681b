"""Serve: the live page of a run folder, in a process of its own.

The page reads the folder and nothing else, so it may be started, stopped and started again
while the run goes on, and a measuring process never waits for a viewer.
"""

from __future__ import annotations

import argparse
import hmac
import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from stempede.errors import InputError

START_S = 40.0
LOCAL = ("127.0.0.1", "localhost", "::1")
COOKIE = "stempede_token"


class Page:
    """A page that is there while the block lasts.

    Parameters
    ----------
    run : Path
        Run folder; need not be there yet.
    host, port
        Where it is served; port 0 takes a free one.
    token : str
        Wanted of viewers; may be empty on this machine alone.

    Raises
    ------
    InputError
        Other machines may connect and there is no token, or the port is taken.
    """

    def __init__(self, run: Path, host: str = "127.0.0.1", port: int = 0, token: str = "") -> None:
        if host not in LOCAL and not token:
            raise InputError(
                f"a page that other machines may open wants a token; found none for {host}; "
                f"give --token"
            )
        self._run, self._host, self._port, self._token = Path(run), host, port, token
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    def __enter__(self) -> Page:
        code = "from stempede.dashboard.serve import main; main()"
        arguments = [str(self._run), "--host", self._host, "--port", str(self._port)]
        path = os.pathsep.join(p for p in sys.path if p)
        few = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        # the token is not for the list of processes
        secret = {"STEMPEDE_PAGE_TOKEN": self._token}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **few, **secret, "PYTHONPATH": path},
            start_new_session=True,
        )
        line = _first_line(self._process)
        if not line.startswith("{"):
            self.__exit__()
            raise InputError(
                f"the page cannot be served at {self._host}:{self._port} "
                f"({line or 'no answer'}); choose another --port or --no-page"
            )
        self.address = json.loads(line)["address"]
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


def _first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line a process prints, empty where it ends or takes too long."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        if ready:
            return process.stdout.readline().strip()
        if process.poll() is not None:
            return ""
    return ""


def serve(run: Path, host: str, port: int, token: str) -> Any:
    """Return a Bokeh server of the page of a run, listening and not yet started.

    Raises
    ------
    OSError
        The port is taken.
    """
    from bokeh.application import Application
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.server.server import Server

    from stempede.dashboard.board import Board
    from stempede.dashboard.page import Viewer

    board = Board(run)

    def show(document: Any) -> None:
        Viewer(document, board)

    port = port or _free_port(host)
    options: dict[str, Any] = {"auth_provider": _provider(token)} if token else {}
    server = Server(
        {"/": Application(FunctionHandler(show))},
        address=host,
        port=port,
        allow_websocket_origin=_origins(host, port),
        keep_alive_milliseconds=10_000,
        unused_session_lifetime_milliseconds=30_000,
        **options,
    )
    name = f"[{host}]" if ":" in host else host
    query = f"/?token={token}" if token else "/"
    server.page_address = f"http://{name}:{server.port}{query}"
    return server


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        found: int = probe.getsockname()[1]
    return found


def _origins(host: str, port: int) -> list[str]:
    """Return the origins a browser may name: another site's page is not let in.

    From other machines the page is reached under names that are not known here; there the
    token decides.
    """
    if host not in LOCAL:
        return ["*"]
    name = f"[{host}]" if ":" in host else host
    return [f"{name}:{port}", f"localhost:{port}", f"127.0.0.1:{port}"]


def _provider(token: str) -> Any:
    """Return what lets viewers in who know the token: by the address once, then by a cookie."""
    from bokeh.server.auth_provider import AuthProvider
    from tornado.web import RequestHandler

    class Denied(RequestHandler):
        """Says that a token is wanted."""

        def get(self) -> None:
            self.set_status(403)
            self.finish("This page wants a token: open the address that the watcher printed.")

    class Provider(AuthProvider):
        """Knows who may see the page."""

        @property
        def get_user(self) -> Any:
            return self._user

        @staticmethod
        def _user(handler: Any) -> str | None:
            given = handler.get_argument("token", "")
            known = handler.get_cookie(COOKIE, "")
            if given and hmac.compare_digest(given.encode(), token.encode()):
                if not handler.request.headers.get("Upgrade"):
                    handler.set_cookie(COOKIE, given, httponly=True, samesite="Strict")
                return "viewer"
            return "viewer" if hmac.compare_digest(known.encode(), token.encode()) else None

        @property
        def login_url(self) -> str:
            return "/denied"

        @property
        def login_handler(self) -> Any:
            return Denied

    return Provider()


def main() -> None:
    """Serve until killed; prints the address as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    token = os.environ.get("STEMPEDE_PAGE_TOKEN", "")
    # a viewer that closes its page is no news
    logging.getLogger("bokeh").setLevel(logging.ERROR)
    try:
        server = serve(given.run, given.host, given.port, token)
    except OSError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(json.dumps({"address": server.page_address}) + "\n")
    sys.stdout.flush()
    server.start()
    server.io_loop.start()
