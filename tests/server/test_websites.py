"""Without tokens, web sites in a browser of this computer get nothing of a server.

A site can have its visitor's browser ask a server of the visitor's own computer: by
giving its own name that computer's address, or by sending what it cannot see the answer
of.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers import Running, png, running

from orangecontrib.imagemining.server.tokens import Tokens

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as run:
        yield run


@pytest.mark.parametrize("host", ["site.example:8742", "127.0.0.1.site.example", "["])
def test_sites_with_this_computers_address(server: Running, host: str) -> None:
    for method, path in (
        ("GET", "/networks"),
        ("GET", "/status"),
        ("GET", "/metrics"),
        ("POST", "/v1/embed"),
        ("POST", "/image/squeezenet1_1"),
    ):
        content = png(0) if method == "POST" else None
        answer = server.client.request(
            method, path, content=content, headers={"Host": host}
        )
        assert answer.status_code == 421
        assert answer.json()["error"]["code"] == "wrong-host"
    assert "site.example" not in server.log.text


@pytest.mark.parametrize("origin", ["https://site.example", "null", "http://[", ""])
def test_images_from_sites(server: Running, origin: str) -> None:
    answer = server.client.post(
        "/image/squeezenet1_1", content=png(0), headers={"Origin": origin}
    )
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "web-site"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_this_computer_is_served(server: Running, host: str) -> None:
    place = f"{host}:{server.server.port}"
    for headers in ({}, {"Origin": f"http://{place}"}):
        answer = server.client.post(
            "/image/squeezenet1_1", content=png(0), headers={"Host": place, **headers}
        )
        assert answer.status_code == 200


def test_with_tokens_or_open_to_all_any_name_does() -> None:
    headers = {
        "Host": "the.server",
        "Origin": "https://elsewhere.example",
        "Authorization": f"Bearer {TOKEN}",
    }
    with running(tokens=Tokens([TOKEN])) as run:
        assert run.client.get("/networks", headers=headers).status_code == 200
    with running(no_auth=True) as run:
        assert run.client.get("/networks", headers=headers).status_code == 200
