"""How a server is run: everything that its command line can say."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from orangecontrib.imagemining.exceptions import ServerError
from orangecontrib.imagemining.images import Limits
from orangecontrib.imagemining.server.tokens import Tokens

__all__ = ["Settings", "host_of", "is_loopback"]


@dataclass(frozen=True)
class Settings:
    """What a server allows and uses.

    Attributes
    ----------
    host, port : where it listens; port 0 is any free one.
    tokens : who may use it; empty: everybody who can reach it.
    no_auth : that it is meant to be so.
    networks : names or files of those offered; empty: all that are on this computer.
    threads : how many networks run at once, each on one core.
    max_batch : images that a network gets at once at most.
    max_wait : seconds that an image may wait for others to be embedded with.
    queue : images that may wait.
    max_images : images of one request.
    max_body : bytes of one request.
    max_held : bytes of all requests that are in memory.
    image : what one image may cost.
    arrive_seconds : within which a request's body has to arrive, and within which a
        client has to take some of its answer.
    header_seconds : within which its head has to.
    idle_seconds : that a connection may be silent between requests.
    request_seconds : that a request may take in all, waiting included.
    patience : seconds that a request of an old client waits for room in the queue.
    grace_seconds : that accepted work has after the signal to stop.
    max_connections : open at once.
    proxy_headers : believe a proxy on this computer who the client is.
    certfile, keyfile : for TLS.
    """

    host: str = "127.0.0.1"
    port: int = 8742
    tokens: Tokens = field(default_factory=Tokens)
    no_auth: bool = False
    networks: tuple[str, ...] = ()
    threads: int = field(default_factory=lambda: os.cpu_count() or 2)
    max_batch: int = 8
    max_wait: float = 0.005
    queue: int = 1024
    max_images: int = 256
    max_body: int = 64 * 2**20
    max_held: int = 512 * 2**20
    image: Limits = field(default_factory=Limits.from_environment)
    arrive_seconds: float = 60.0
    header_seconds: float = 10.0
    idle_seconds: float = 30.0
    request_seconds: float = 150.0
    patience: float = 60.0
    grace_seconds: float = 30.0
    max_connections: int = 1024
    proxy_headers: bool = False
    certfile: str | None = None
    keyfile: str | None = None

    def check(self) -> None:
        """Refuse what would be open to strangers without anybody having said so.

        Raises
        ------
        ServerError
            Also for numbers that make no sense together.
        """
        reachable = not is_loopback(self.host) or self.proxy_headers
        if reachable and not self.tokens and not self.no_auth:
            raise ServerError(
                f"Others can reach this server at {self.host}, so it needs tokens"
                " (--token-file FILE, one a line); --no-auth opens it to everybody"
                " who can reach it"
            )
        if self.keyfile and not self.certfile:
            raise ServerError("--keyfile needs --certfile beside it")
        if self.max_images > self.queue:
            raise ServerError(
                f"A queue of {self.queue} images cannot take a request of"
                f" {self.max_images}; make --queue larger or --max-images smaller"
            )


def host_of(place: str) -> str:
    """Return the name or address of what a header "Host" has, "" if it is none."""
    try:
        return urlsplit(f"//{place}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Tell whether only this computer can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
