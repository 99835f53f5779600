"""Headless Chromium, spoken to over a pipe: the DevTools protocol without a further package.

Source: Chromium's ``--remote-debugging-pipe``: commands on file descriptor 3 and answers on 4, each
a JSON object ended by a zero byte; https://chromedevtools.github.io/devtools-protocol/ lists them.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ANSWER_SECONDS = 60  # the longest wait for one answer: a busy machine, never a hang

# What is left of the network: nothing of the browser's own, no name resolved.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-default-apps",
    "--disable-extensions", "--disable-dev-shm-usage", "--mute-audio", "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe", "--hide-scrollbars",
)  # fmt: skip


def find_chromium() -> str | None:
    """Return the path of a Chromium that starts, or None; FASTGAN_CHROMIUM names one."""
    named = os.environ.get("FASTGAN_CHROMIUM")
    if named:
        return named
    return next((path for path in map(shutil.which, NAMES) if path and _starts(path)), None)


def _starts(path: str) -> bool:
    """Say whether it is a browser, not the empty package that some systems have of that name."""
    asked = [path, "--no-sandbox", "--version"]
    done = subprocess.run(asked, capture_output=True, timeout=60, check=False)
    return done.returncode == 0 and b"Chrom" in done.stdout


class Browser:
    """A headless Chromium with one page at a time; a context manager that ends it."""

    def __init__(self, path: str, profile: Path) -> None:
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        self._left, self._number = b"", 0
        self._session: str | None = None
        self._target: str | None = None
        self.events: list[dict[str, Any]] = []

        def connect() -> None:  # in the child: its descriptors 3 and 4, whatever they were
            first, second = (os.dup(end) for end in (to_read, to_write))
            # duplicates that sit on 3 or 4 themselves would be closed by the next dup2
            first, second = (_above(end, 10) for end in (first, second))
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._log = (profile / "browser.log").open("wb")
        self._process = subprocess.Popen(
            [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            close_fds=False,
            preexec_fn=connect,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._session = None
            self.send("Browser.close")
        os.close(self._to)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session: only what it started
            self._process.wait()
        os.close(self._from)
        self._log.close()

    def open(
        self,
        page: Path | str,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        reduced_motion: bool = False,
        scripts: bool = True,
    ) -> None:
        """Show a file (or an address) in a new page, and wait until it is loaded."""
        address = page if isinstance(page, str) else page.resolve().as_uri()
        self._session = None
        if self._target is not None:
            self.send("Target.closeTarget", targetId=self._target)
        self._target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.resize(width, height)
        motion = "reduce" if reduced_motion else "no-preference"
        self.send(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": motion},
            ],
        )
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Page.navigate", url=address)
        self._await_event("Page.loadEventFired")

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window in CSS pixels; a narrow one is a phone's."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def evaluate(self, expression: str) -> Any:
        """Return the JSON value of a JavaScript expression; promises are awaited."""
        found = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 60.0) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"not true within {seconds} s: {expression}")
            time.sleep(0.05)

    def press(self, key: str, code: int) -> None:
        """Press and release a key, as a keyboard does."""
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def screenshot(self, *, whole: bool = False) -> Image.Image:
        """Return what the window shows, or the whole page."""
        options: dict[str, Any] = {"format": "png"}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {**size, "scale": 1}
            options["captureBeyondViewport"] = True
        content = base64.b64decode(self.send("Page.captureScreenshot", **options)["data"])
        return Image.open(io.BytesIO(content)).convert("RGB")

    def events_of(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of one kind since the page was opened."""
        self.evaluate("0")  # an answer comes after the events before it
        return [event["params"] for event in self.events if event["method"] == method]

    def problems(self) -> list[str]:
        """Return what a console shows in red or amber: errors, warnings, refused loads."""
        said = [event["entry"]["text"] for event in self.events_of("Log.entryAdded")]
        said += [str(event["exceptionDetails"]) for event in self.events_of(
            "Runtime.exceptionThrown")]  # fmt: skip
        said += [str(event["args"]) for event in self.events_of("Runtime.consoleAPICalled")]
        return said

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for, those that hold their content left out."""
        asked = [event["request"]["url"] for event in self.events_of("Network.requestWillBeSent")]
        return [address for address in asked if not address.startswith("data:")]

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._to, content) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _await_event(self, method: str) -> None:
        while not any(event["method"] == method for event in self.events):
            self._receive()

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._from], [], [], ANSWER_SECONDS)
            part = os.read(self._from, 2**20) if ready else b""
            if not part:
                why = "ended" if ready else f"said nothing for {ANSWER_SECONDS} s"
                raise RuntimeError(f"Chromium {why}; see {self._log.name}")
            self._left += part
        first, _, self._left = self._left.partition(b"\0")
        answer: dict[str, Any] = json.loads(first)
        if "method" in answer and answer.get("sessionId") == self._session:
            self.events.append(answer)
        return answer


def _above(descriptor: int, least: int) -> int:
    """Return a duplicate of a file descriptor that is at least ``least``."""
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, least)


def pixels(picture: Image.Image) -> np.ndarray:
    """Return a picture's numbers, float64 of shape (height, width, 3), 0 to 255."""
    return np.asarray(picture, dtype=np.float64)
