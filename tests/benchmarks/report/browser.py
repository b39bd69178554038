"""Chromium without a window, driven over the W3C WebDriver protocol, which is JSON over HTTP: no package is needed for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """One page. `js` runs the body of a function in it and returns what that returns."""

    def __init__(self, session: str) -> None:
        self.session = session

    def ask(self, place: str, content: dict[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.session}{place}", json.dumps(content).encode(), {"Content-Type": "application/json"})
        try:
            with LOCAL.open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"].partition("\n")[0]) from None

    def open(self, page: Path) -> None:
        self.ask("/url", {"url": page.resolve().as_uri()})

    def js(self, code: str, *arguments: Any) -> Any:
        return self.ask("/execute/sync", {"script": code, "args": list(arguments)})

    def console(self) -> list[str]:
        """All that was logged since the last call: errors, warnings, refused requests."""
        return [entry["message"] for entry in self.ask("/se/log", {"type": "browser"})]


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a profile in `folder`. Skips the test where there is none, but not in CI."""
    found = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in found:
        if os.environ.get("CI"):
            pytest.fail("CI must have chromium and chromedriver")
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    driver = subprocess.Popen([str(found[1]), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert driver.stdout is not None
        port = next(match[1] for line in driver.stdout if (match := re.search(r"started successfully on port (\d+)", line)))
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
        asked = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": found[0], "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        service = Browser(f"http://127.0.0.1:{port}")
        session = service.ask("/session", {"capabilities": {"alwaysMatch": asked}})["sessionId"]
        try:
            yield Browser(f"{service.session}/session/{session}")
        finally:
            LOCAL.open(urllib.request.Request(f"{service.session}/session/{session}", method="DELETE"), timeout=30).close()
    finally:
        driver.terminate()
        driver.wait(30)
