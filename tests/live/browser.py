"""A headless Chromium, driven over its DevTools protocol with what Bokeh depends on anyway."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome", "headless-shell")


def chromium() -> str | None:
    """Return the browser's path, None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """A browser that is there while the block lasts."""

    def __enter__(self) -> Browser:
        self._home = tempfile.mkdtemp(prefix="stempede-browser-")
        path = chromium()
        assert path is not None
        flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
        quiet = "--disable-background-networking --disable-component-update --disable-sync"
        command = [path, *flags.split(), *quiet.split(), "--remote-debugging-port=0"]
        self._process = subprocess.Popen(
            [*command, f"--user-data-dir={self._home}", "about:blank"],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        marker = Path(self._home) / "DevToolsActivePort"
        deadline = time.monotonic() + 30
        while not (marker.is_file() and marker.read_text().count("\n")):
            assert time.monotonic() < deadline, "the browser did not start"
            time.sleep(0.05)
        self._port = int(marker.read_text().splitlines()[0])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)
        shutil.rmtree(self._home, ignore_errors=True)

    def open(self, url: str, width: int = 1280, height: int = 900) -> Tab:
        """Return a new tab of this size at an address."""
        address = f"http://127.0.0.1:{self._port}/json/new?about:blank"
        request = urllib.request.Request(address, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as answer:
            target = json.load(answer)
        tab = Tab(target["webSocketDebuggerUrl"])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        tab.call("Page.enable")
        tab.call("Network.enable")
        tab.call("Page.navigate", url=url)
        return tab


class Tab:
    """One page."""

    def __init__(self, address: str) -> None:
        from tornado.websocket import websocket_connect

        self._loop = asyncio.new_event_loop()
        self._socket = self._run(lambda: websocket_connect(address, max_message_size=1 << 28))
        self._next = 0
        self.requests: list[str] = []

    def _run(self, begin: Any) -> Any:
        async def wait() -> Any:
            return await begin()

        return self._loop.run_until_complete(wait())

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": parameters}
        self._run(lambda: self._socket.write_message(json.dumps(message)))
        while True:
            answer = json.loads(self._run(lambda: self._socket.read_message()))
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._next:
                assert "error" not in answer, answer
                return answer["result"]

    def eval(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def text(self) -> str:
        """Return what the page says, in all its shadow roots."""
        said: str | None = self.eval(
            """(() => { const walk = (n) => { let t = ''; for (const c of n.childNodes) {
            if (c.nodeType === 3) t += c.textContent + ' ';
            else if (c.tagName !== 'STYLE' && c.tagName !== 'SCRIPT') {
              if (c.shadowRoot) t += walk(c.shadowRoot); t += walk(c); } } return t; };
            return walk(document.body); })()"""
        )
        # nothing while the page is being loaded
        return said or ""

    def wait(self, condition: Any, timeout_s: float = 60.0) -> Any:
        """Return the first true value of a function of this tab."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = condition(self)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"waited {timeout_s} s in vain; the page says: {self.text()[:600]}")

    def picture(self) -> str:
        """Return the start of the address of the frame that is shown."""
        return self.eval(
            """(() => { const find = (n) => { for (const c of n.querySelectorAll('*')) {
            if (c.tagName === 'IMG' && c.alt) return c.alt;
            if (c.shadowRoot) { const f = find(c.shadowRoot); if (f) return f; } } return ''; };
            return find(document); })()"""
        )

    def screenshot(self, path: Path) -> Path:
        """Write a PNG of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
        self._loop.close()
