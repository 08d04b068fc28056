"""The page for people, in a real browser without a screen."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import picture
from servers import SECONDS, Running, asking, made_up_network, png, running

from orangecontrib.imagemining.server.page import page
from orangecontrib.imagemining.server.tokens import Tokens
from orangecontrib.imagemining.weights.network_file import save_network

TOKEN = "a-token-of-the-tests"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)

in_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


class Browser:
    """A Chromium, led by the protocol of its developer tools."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER is not None
        self._numbers = itertools.count(1)
        self._socket: Any = None
        self.events: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [
                BROWSER,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--remote-debugging-port=0",
                f"--user-data-dir={folder}",
                "about:blank",
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    @contextmanager
    def led(self) -> Iterator[Browser]:
        """Connect to the browser, and end it at last."""
        from websockets.sync.client import connect

        try:
            address = self._address()
            found = httpx.get(
                f"http://{address}/json", timeout=SECONDS, trust_env=False
            )
            targets = found.json()
            (target,) = [each for each in targets if each["type"] == "page"]
            place = target["webSocketDebuggerUrl"]
            with connect(place, max_size=2**26, proxy=None) as self._socket:
                for domain in ("Page", "Runtime", "Network", "Log"):
                    self.call(f"{domain}.enable")
                yield self
        finally:
            self._process.kill()
            self._process.communicate()

    def _address(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith("DevTools listening on "):
                return line.split("//")[1].split("/")[0]
        raise AssertionError("Chromium did not start")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def evaluate(self, expression: str) -> Any:
        done = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true in the page."""
        self.evaluate(
            "new Promise((good, bad) => {"
            f" const end = Date.now() + {1000 * SECONDS}; (function f() {{"
            f" if ({condition}) good(true);"
            " else if (Date.now() > end) bad(new Error(document.body.innerText));"
            " else setTimeout(f, 20); })(); })"
        )

    def open(self, address: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete'")

    def drop(self, path: Path, onto: str) -> None:
        """Drop a file as from the desktop."""
        place = self.evaluate(
            f"(() => {{ const e = document.querySelector('{onto}'); e.scrollIntoView();"
            " const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call(
                "Input.dispatchDragEvent", type=kind, x=place[0], y=place[1], data=data
            )

    def complaints(self) -> list[dict[str, Any]]:
        """Return what the browser found wrong: errors, broken policies."""
        self.evaluate("1")
        return [
            event
            for event in self.events
            if event["method"] == "Runtime.exceptionThrown"
            or (
                event["method"] == "Log.entryAdded"
                and event["params"]["entry"]["level"] == "error"
                and "401" not in event["params"]["entry"]["text"]
            )
        ]

    def asked_for(self) -> set[str]:
        """Return the addresses of all that was loaded."""
        return {
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        }

    def screenshot(self, path: Path) -> None:
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as run:
        yield run


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")).led() as browser:
        yield browser


def test_page_is_closed_in_itself(server: Running) -> None:
    answer = server.client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert policy.count("sha256-") == 2
    assert answer.content == page()[0]
    for outside in ("http://", "https://", "//cdn", "@import", "url("):
        assert outside not in answer.text


@in_browser
def test_dropped_image_is_told_about(
    server: Running, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "dropped.png"
    picture(5, (300, 200)).save(path)
    browser.open(server.address)
    browser.wait_for("document.querySelector('#state').textContent === 'Ready'")
    browser.drop(path, "#drop")
    browser.wait_for("document.querySelectorAll('#classes li').length === 5")
    told = browser.evaluate(
        "[...document.querySelectorAll('#classes .name')].map(e =>"
        " [...e.children].map(c => c.textContent))"
    )
    numbers = browser.evaluate("Array.from(vector)")

    layers = {"features": 512, "probabilities": 1000}
    answer = server.embed(asking([path.read_bytes()], layers=tuple(layers)), layers)
    np.testing.assert_allclose(numbers, answer.vectors["features"][0], rtol=1e-4)
    names = server.client.get("/classes").json()
    probabilities = answer.vectors["probabilities"][0]
    best = np.argsort(-probabilities)[:5]
    assert [name for name, _ in told] == [names[place] for place in best]
    assert told[0][1] == f"{100 * probabilities[best[0]]:.1f} %"
    assert browser.evaluate("document.querySelector('#picture').naturalWidth") == 300

    assert browser.complaints() == []
    outside = [url for url in browser.asked_for() if not url.startswith(server.address)]
    assert all(url.startswith(("blob:", "data:")) for url in outside)
    if folder := os.environ.get("IMAGEMINING_SHOTS"):
        take_pictures(browser, Path(folder))


@in_browser
def test_trained_network_has_its_own_classes(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "cells.safetensors"
    save_network(made_up_network("toy", 32), path)
    image = tmp_path / "dropped.png"
    picture(5).save(image)
    with running(networks=(str(path),)) as run:
        browser.open(run.address)
        browser.wait_for("networks.length")
        browser.drop(image, "#drop")
        browser.wait_for("document.querySelectorAll('#classes li').length === 3")
        said = browser.evaluate("document.querySelector('#result').innerText")
        assert {"round", "long", "broken"} <= set(said.split())
        assert "Likeliest classes" in said and "ImageNet" not in said
        shown = browser.evaluate("document.querySelector('#networks').innerText")
        assert "Cells & more" in shown and str(tmp_path) not in shown
        assert browser.complaints() == []


@in_browser
def test_counters_count(server: Running, browser: Browser) -> None:
    browser.open(server.address)
    shown = "document.querySelector('#images').textContent"
    browser.wait_for(f"{shown} !== '–'")
    before = int(browser.evaluate(shown))
    server.embed(asking([png(0), png(1)]), {"features": 512})
    browser.wait_for(f"{shown} === '{before + 2}'")


@in_browser
def test_what_is_no_image_is_told(
    server: Running, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "note.png"
    path.write_text("<b>no image</b>")
    browser.open(server.address)
    browser.wait_for("networks.length")
    browser.drop(path, "#drop")
    browser.wait_for("document.querySelector('#message').classList.contains('bad')")
    assert "JPEG" in browser.evaluate("document.querySelector('#message').textContent")
    assert browser.evaluate("document.querySelector('#result').hidden")


@in_browser
def test_addresses_for_orange(server: Running, browser: Browser) -> None:
    browser.open(server.address)
    browser.wait_for("document.querySelector('#address').textContent")
    # the clipboard is for pages that are looked at
    browser.call("Emulation.setFocusEmulationEnabled", enabled=True)
    browser.call(
        "Browser.grantPermissions",
        permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
    )
    for button, text in (
        ("#copy-address", server.address),
        ("#copy-variable", f"ORANGE_EMBEDDING_API_URL={server.address}"),
    ):
        browser.evaluate(f"document.querySelector('{button}').click()")
        browser.wait_for(f"document.querySelector('{button}').textContent === 'Copied'")
        assert browser.evaluate("navigator.clipboard.readText()") == text


@in_browser
def test_token_is_asked_for_and_forgotten(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "dropped.png"
    picture(6).save(path)
    with running(tokens=Tokens([TOKEN])) as run:
        browser.open(run.address)
        browser.wait_for("!document.querySelector('#asking').hidden")
        for token in ("wrong", TOKEN):
            browser.evaluate(
                f"document.querySelector('#token').value = '{token}';"
                "document.querySelector('#tokens').requestSubmit()"
            )
            if token == "wrong":
                browser.wait_for("document.querySelector('#refused.bad')")
        browser.wait_for("document.querySelector('#asking').hidden")
        browser.drop(path, "#drop")
        browser.wait_for("document.querySelectorAll('#classes li').length === 5")
        assert TOKEN not in browser.evaluate("document.documentElement.outerHTML")
        kept = (
            "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
        )
        assert TOKEN not in browser.evaluate(kept)
        assert TOKEN not in browser.evaluate("location.href")
        browser.open(run.address)
        browser.wait_for("!document.querySelector('#asking').hidden")
        assert TOKEN not in run.log.text


def take_pictures(browser: Browser, folder: Path) -> None:
    """Show the page in light and dark, wide and narrow."""
    for name, width, scheme in (
        ("light", 1000, "light"),
        ("dark", 1000, "dark"),
        ("narrow", 360, "light"),
    ):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.call("Emulation.setEmulatedMedia", features=[feature])
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        browser.wait_for("true")
        browser.screenshot(folder / f"server-page-{name}.png")
