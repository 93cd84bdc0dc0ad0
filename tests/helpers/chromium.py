"""A real Chromium, driven over its pipe by the DevTools protocol: pages, keys, pointers and fingers, downloads."""

from __future__ import annotations

import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
needs_chromium = pytest.mark.skipif(not BROWSER, reason="no Chromium (apt-get install chromium)")
SECONDS = 60  # longest time to wait for a message of the browser, a condition or a download
KEYS = {"Delete": 46}  # codes of keys that are no single character; pages read a key's name, not its code


class Browser:
    """A running browser with one tab at a time.

    `commands` and `replies` are the file descriptors of its pipes, `downloads` the folder where it saves files.
    """

    def __init__(self, commands: int, replies: int, downloads: Path) -> None:
        self._commands, self._replies, self._rest = commands, replies, b""
        self._numbers, self.downloads = itertools.count(1), downloads
        self.events: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}  # by the command's number, those that nobody has asked for yet
        self._session: str | None = None

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events until then go to `events`, and dialogs are accepted."""
        return self._result(method, self._send(method, params))

    def _send(self, method: str, params: dict[str, Any]) -> int:
        """Send a command and return its number."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        return number

    def _result(self, method: str, number: int) -> dict[str, Any]:
        """Return the result of the command of this number, as soon as it is there."""
        while number not in self._answers:
            reply = self._next()
            if "id" in reply:
                self._answers[reply["id"]] = reply
                continue
            self.events.append(reply)
            if reply.get("method") == "Page.javascriptDialogOpening":
                assert self._session
                answer = {"accept": True, "promptText": self.answer}
                dialog = {
                    "id": 0,
                    "method": "Page.handleJavaScriptDialog",
                    "params": answer,
                    "sessionId": self._session,
                }
                os.write(self._commands, json.dumps(dialog).encode() + b"\0")
        reply = self._answers.pop(number)
        assert "error" not in reply, (method, reply["error"])
        return dict(reply["result"])

    answer = ""
    """text that prompts of the page are answered with"""

    def _next(self) -> dict[str, Any]:
        """Return the next message of the browser; messages end with a zero byte."""
        while b"\0" not in self._rest:
            assert select.select([self._replies], [], [], SECONDS)[0], f"no message of the browser in {SECONDS} s"
            data = os.read(self._replies, 1 << 16)
            assert data, "the browser ended"
            self._rest += data
        text, self._rest = self._rest.split(b"\0", 1)
        return dict(json.loads(text))

    def open(self, page: Path, *, width: int = 1200, height: int = 900, touch: bool = False) -> None:
        """Show a page of `predict` in a new tab, and close the one before."""
        old, self._session = self._session, None
        if old:
            self.call("Target.closeTarget", targetId=self._target)
        self._target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if touch else 1, "mobile": touch}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        if touch:
            self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.events.clear()
        self.load(page)

    def load(self, page: Path) -> None:
        """Show a page in the tab, or the same one once more, and wait until its recordings are there."""
        self.call("Page.navigate", url=page.as_uri())
        self.until("document.readyState === 'complete' && Boolean(window.recordings)")
        self.frames()

    def js(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, of a promise after it is fulfilled."""
        what = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        result = self.call("Runtime.evaluate", **what)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self.js(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def frames(self) -> None:
        """Wait until two frames are drawn."""
        self.js("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def key(self, key: str, *, modifiers: int = 0) -> None:
        """Press a key; the modifiers are the sum of 1 for Alt, 2 for Ctrl, 4 for Meta and 8 for Shift."""
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        text = {"text": key} if len(key) == 1 else {}
        more = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **more, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **more)
        self.frames()

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, touch: bool = False) -> None:
        """Press at a place, move to another, release."""
        steps = [tuple(a + (b - a) * k / 4 for a, b in zip(start, end, strict=True)) for k in range(5)]
        for kind, (x, y) in zip(("Pressed", "Moved", "Moved", "Moved", "Moved"), steps, strict=True):
            if touch:
                name = "touchStart" if kind == "Pressed" else "touchMove"
                self.call("Input.dispatchTouchEvent", type=name, touchPoints=[{"x": x, "y": y}])
            else:
                self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, button="left", clickCount=1)
        if touch:
            self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        else:
            self.call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], button="left", clickCount=1)
        self.frames()

    def tap(self, expression: str, *, touch: bool = False) -> None:
        """Tap or click the middle of an element, given as a JavaScript expression, after scrolling to it."""
        self.js(f"({expression}).scrollIntoView({{block: 'center'}})")
        self.frames()
        x, y = self.js(f"(b => [b.x + b.width / 2, b.y + b.height / 2])(({expression}).getBoundingClientRect())")
        self.js(
            "{ window.tapped = false; addEventListener('click', () => { tapped = true }, {capture: true, once: true}) }"
        )
        # Press and release are sent at once, and answers read afterwards: on a busy machine, they would else be so far
        # apart that fingers make a long press, which is no click.
        if touch:
            method, kinds = "Input.dispatchTouchEvent", ("touchStart", "touchEnd")
            events = [{"type": kinds[0], "touchPoints": [{"x": x, "y": y}]}, {"type": kinds[1], "touchPoints": []}]
        else:
            method, kinds = "Input.dispatchMouseEvent", ("mousePressed", "mouseReleased")
            events = [{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1} for kind in kinds]
        for number in [self._send(method, event) for event in events]:
            self._result(method, number)
        self.until("tapped")  # fingers' click comes later than the answers
        self.frames()

    def downloaded(self, name: str) -> Path:
        """Return a file that the page saved, as soon as it is whole."""
        path, end = self.downloads / name, time.monotonic() + SECONDS
        while not path.exists():
            assert time.monotonic() < end, f"{name}: not saved"
            self.js("1")  # reads the browser's messages: a dialog may hold up the download
            time.sleep(0.02)
        return path

    def requests(self) -> list[str]:
        """Return the addresses that the tab asked for."""
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run a browser whose profile and downloads are in `folder`."""
    from_us, commands = os.pipe()
    replies, to_us = os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
    options += ["--disable-background-networking", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]
    command = [BROWSER, *options, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    shell = ["bash", "-c", f'exec "$@" 3<&{from_us} 4>&{to_us}', "bash", *command]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(shell, pass_fds=(from_us, to_us), **quiet)
    os.close(from_us)
    os.close(to_us)
    downloads = folder / "downloads"
    downloads.mkdir()
    try:
        running = Browser(commands, replies, downloads)
        running.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        yield running
        with suppress(OSError, AssertionError):
            running.call("Browser.close")
    finally:
        os.close(commands)
        os.close(replies)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
