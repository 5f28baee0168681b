"""Push: frames sent over HTTP become files of an inbox that is watched like any folder.

``PUT /frames/NAME`` with the bytes of an image file as body puts it there, whole or not at all;
201 says that it is there, 200 that it was there already, 409 that another file has that name.
``curl -T image.tif http://127.0.0.1:8900/frames/`` does it; ``send`` does it from Python.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import re
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

import numpy as np

from stempede.errors import InputError
from stempede.live.replay import as_tiff

log = logging.getLogger("stempede")

MOST_BYTES = 4 << 30
_NAME = re.compile(r"[\w][\w .()+=@-]{0,199}")
_BLOCK = 1 << 20


class Receiver:
    """Serves an inbox.

    Parameters
    ----------
    inbox : Path
        Made if need be.
    host, port
        Where to listen; port 0 takes a free one.
    token : str
        Wanted as ``Authorization: Bearer TOKEN``; may be empty on this machine alone.

    Raises
    ------
    InputError
        Other machines may connect and there is no token, or the port is taken.
    """

    def __init__(self, inbox: Path, host: str, port: int, token: str = "") -> None:
        if host not in ("127.0.0.1", "localhost", "::1") and not token:
            raise InputError(
                f"frames from other machines want a token; found none for {host}; give --token"
            )
        inbox.mkdir(parents=True, exist_ok=True)
        handler = type("_Inbox", (_Handler,), {"inbox": inbox, "token": token})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise InputError(
                f"cannot listen at {host}:{port} ({error}); choose another port"
            ) from error
        self.address = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Takes one file."""

    inbox: Path
    token: str
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_PUT(self) -> None:
        """Take a file under its name."""
        self._answer(*self._taken())

    do_POST = do_PUT  # noqa: N815

    def _taken(self) -> tuple[int, str]:
        name = unquote(urlsplit(self.path).path).removeprefix("/frames/")
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.token and not hmac.compare_digest(given.encode(), self.token.encode()):
            return 401, "wrong or missing token"
        if not _NAME.fullmatch(name):
            return 400, "PUT /frames/NAME wanted, NAME a plain file name"
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            return 411, f"Content-Length of at most {MOST_BYTES} wanted"
        target = self.inbox / name
        temporary = self.inbox / f".{name}-{uuid4().hex}"
        try:
            if not self._received(temporary, int(length)):
                return 400, "the body is shorter than Content-Length says"
            if target.exists():
                same = target.read_bytes() == temporary.read_bytes()
                return (200, "there already") if same else (409, "another file has that name")
            temporary.replace(target)
        except OSError as error:
            return 507, f"cannot be written: {error.strerror}"
        finally:
            temporary.unlink(missing_ok=True)
        return 201, "taken"

    def _received(self, temporary: Path, length: int) -> bool:
        with temporary.open("wb") as file:
            while length:
                block = self.rfile.read(min(_BLOCK, length))
                if not block:
                    return False
                file.write(block)
                length -= len(block)
        return True

    def _answer(self, code: int, words: str) -> None:
        body = words.encode()
        with contextlib.suppress(OSError):
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            if code >= 400:
                # what was not read of the body must not be taken for the next request
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet: events tell what came."""
        log.debug(format, *args)


def send(
    url: str,
    image: str | Path | np.ndarray,
    name: str = "",
    *,
    pixel_size_nm: float | None = None,
    token: str = "",
) -> int:
    """Send a frame to a run that listens; returns the HTTP status, 201 or 200.

    Parameters
    ----------
    url : str
        Address that ``stempede watch`` printed.
    image : path or (y, x) array
        A file is sent as it is; an array as TIFF.
    name : str
        File name there; needed for an array.
    pixel_size_nm : float, optional
        Of an array.
    token : str

    Raises
    ------
    InputError
        The other side refused, or is not there.
    """
    if isinstance(image, np.ndarray):
        content = as_tiff(image, _record(image, pixel_size_nm))
        name = name or f"{uuid4().hex}.tif"
    else:
        content, name = Path(image).read_bytes(), name or Path(image).name
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    address = f"{url.rstrip('/')}/frames/{quote(name)}"
    request = urllib.request.Request(address, content, headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        words = error.read().decode(errors="replace")
        raise InputError(f"{address} refused the frame ({error.code}: {words})") from error
    except OSError as error:
        raise InputError(f"nobody takes frames at {address} ({error})") from error


def _record(image: np.ndarray, pixel_size_nm: float | None) -> Any:
    from stempede.frames import Calibration, FrameRecord

    scale = Calibration(pixel_size_nm, pixel_size_nm, "file")
    return FrameRecord(0, "", 0, (image.shape[0], image.shape[1]), str(image.dtype), scale)
