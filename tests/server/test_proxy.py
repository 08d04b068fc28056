"""Behind a reverse proxy: as doc/server.md sets up nginx, where that is installed."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from servers import SECONDS, Running, asking, encoded, png, running, wait_until

from orangecontrib.imagemining.embedders.protocol import EMBED_PATH, pack_request
from orangecontrib.imagemining.server.service import Service
from orangecontrib.imagemining.server.tokens import Tokens

TOKEN = "a-token-of-the-tests"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
PAGE = Path(__file__).parents[2] / "doc" / "server.md"
#: What else nginx needs, to run without rights and beside others.
REST = """
daemon off;
pid {folder}/pid;
error_log {folder}/first.log warn;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return whom the server takes its clients for, as they come."""
    found: list[str] = []
    client_of = Service.client_of

    def noted(service: Service, request: object) -> str:
        found.append(client_of(service, request))
        return found[-1]

    monkeypatch.setattr(Service, "client_of", noted)
    return found


def test_only_who_believes_a_proxy_does(clients: list[str]) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "Authorization": f"Bearer {TOKEN}"}
    for believes in (False, True):
        with running(tokens=Tokens([TOKEN]), proxy_headers=believes) as run:
            assert run.client.get("/networks", headers=headers).is_success
    assert clients == ["0 127.0.0.1", "0 203.0.113.7"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def server() -> Iterator[Running]:
    with running(tokens=Tokens([TOKEN]), proxy_headers=True) as run:
        yield run


@pytest.fixture
def proxy(server: Running, tmp_path: Path) -> Iterator[str]:
    """Run nginx as the page says, but without a certificate; give its address."""
    if NGINX is None:
        pytest.skip("no nginx is installed")
    found = re.search(
        r"^    server \{\n.*?^    \}\n", PAGE.read_text("utf8"), re.M | re.S
    )
    assert found
    port, told = free_port(), found[0]
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("ssl_certificate fullchain.pem;", ""),
        ("ssl_certificate_key privkey.pem;", ""),
        # more than the page has it tell: what it writes to disk, it warns of
        ("/var/log/nginx/embedding.log crit", f"{tmp_path}/error.log warn"),
        ("127.0.0.1:8742", f"127.0.0.1:{server.server.port}"),
    ):
        assert told.count(old) == 1
        told = told.replace(old, new)
    settings = tmp_path / "nginx.conf"
    settings.write_text(REST.format(folder=tmp_path, server=told))
    command = [NGINX, "-p", str(tmp_path), "-c", str(settings)]
    process = subprocess.Popen([*command, "-e", f"{tmp_path}/early.log"])

    def listens() -> bool:
        assert process.poll() is None, (tmp_path / "early.log").read_text()
        with socket.socket() as raw:
            return raw.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def test_nginx_as_the_page_says(
    server: Running, proxy: str, clients: list[str], tmp_path: Path
) -> None:
    images = [encoded(seed, "BMP", (700, 700)) for seed in range(3)]  # above 1 MB
    content = pack_request(asking(images))
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.7"}
    settings = {"base_url": proxy, "timeout": SECONDS, "trust_env": False}
    with httpx.Client(**settings) as client:
        answer = client.post(EMBED_PATH, content=content, headers=headers)
        assert answer.status_code == 200
        assert (
            answer.content
            == server.client.post(EMBED_PATH, content=content, headers=headers).content
        )
        path = f"/t/{TOKEN}/image/squeezenet1_1?machine=MACHINE"
        assert len(client.post(path, content=png(0)).json()["embedding"]) == 512
        assert client.get("/networks").status_code == 401
        refused = client.post(EMBED_PATH, content=bytes(65 * 2**20), headers=headers)
        assert refused.status_code == 413
    # the proxy tells who came, not who the client says to be
    assert clients[0] == "0 127.0.0.1"
    # no image was on its disk, no path in its logs
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} <= {
        "nginx.conf",
        "pid",
        "access.log",
        "error.log",
        "early.log",
        "first.log",
    }
    logs = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert "buffered" not in logs and TOKEN not in logs and "MACHINE" not in logs
