"""``orange-imagemining serve``."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.exceptions import ServerError

__all__ = ["DESCRIPTION", "HELP", "fill", "run"]


HELP = "embed images for other computers"
DESCRIPTION = (
    "Run an embedding server, for this add-on and for Orange3-ImageAnalytics. Without"
    " options only programs on this computer can reach it. See doc/server.md."
)


def fill(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    add(
        "--port",
        type=_number(0, 65535),
        default=8742,
        help="port to listen at (%(default)s)",
    )
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="who may use the server: a token a line; needed unless --host is this"
        " computer alone",
    )
    add(
        "--no-auth",
        action="store_true",
        help="let everybody use it who can reach it",
    )
    add(
        "--networks",
        default="",
        metavar="NAME,NAME",
        help="those offered, loaded at the start and fetched if need be; also files of"
        " networks, .onnx, .safetensors or .imnet (default: all that are here)",
    )
    add(
        "--device",
        choices=["auto", "cpu", "gpu"],
        default="auto",
        help="what networks run on; auto: a graphics processor if there is one",
    )
    add(
        "--threads",
        type=_number(1, 256),
        default=os.cpu_count() or 2,
        help="networks at work at once, one a core (%(default)s)",
    )
    add(
        "--max-batch",
        type=_number(1, 256),
        default=8,
        help="images a network gets at once (%(default)s)",
    )
    add(
        "--max-wait-ms",
        type=_number(0, 1000),
        default=5,
        help="how long an image may wait for others to go with; 0: not (%(default)s)",
    )
    add(
        "--queue",
        type=_number(1, 1_000_000),
        default=1024,
        help="images that may wait (%(default)s)",
    )
    add(
        "--max-images",
        type=_number(1, 4096),
        default=256,
        help="images a request (%(default)s)",
    )
    add(
        "--max-body-mb",
        type=_number(1, 4096),
        default=64,
        help="MB a request (%(default)s)",
    )
    add(
        "--max-pixels",
        type=_number(1, 10**10),
        metavar="N",
        help="pixels an image (default: 100 million)",
    )
    add(
        "--max-connections",
        type=_number(1, 65536),
        default=1024,
        help="connections at once (%(default)s)",
    )
    add(
        "--arrive-seconds",
        type=_number(1, 86400),
        default=60,
        help="time for a request to arrive (%(default)s)",
    )
    add(
        "--request-seconds",
        type=_number(1, 86400),
        default=150,
        help="time for a request in all (%(default)s)",
    )
    add(
        "--grace-seconds",
        type=_number(0, 86400),
        default=30,
        help="time to finish accepted work when told to stop (%(default)s)",
    )
    add("--certfile", metavar="FILE", help="certificate (PEM), for https")
    add("--keyfile", metavar="FILE", help="its key, if it is not in the same file")
    add(
        "--proxy-headers",
        action="store_true",
        help="believe a reverse proxy on this computer who the client is",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit status.

    Raises
    ------
    ServerError
        If it cannot start.
    UnknownNameError, WeightsError
        If a network cannot be offered.
    """
    try:
        from orangecontrib.imagemining.server.serving import serve
    except ImportError as ex:
        raise ServerError(
            f"The server needs a package that is not installed ({ex.name}); install"
            ' it: pip install "Orange3-ImageMining[server]"'
        ) from ex
    from orangecontrib.imagemining.images import Limits
    from orangecontrib.imagemining.server.service import Service
    from orangecontrib.imagemining.server.settings import Settings
    from orangecontrib.imagemining.server.tokens import Tokens

    limits = Limits.from_environment()
    if options.max_pixels:
        limits = replace(limits, max_pixels=options.max_pixels)
    tokens = Tokens()
    if options.token_file:
        tokens = Tokens.from_file(options.token_file)
    for path in filter(None, (options.certfile, options.keyfile)):
        if not os.access(path, os.R_OK):
            raise ServerError(f"{path} cannot be read")
    names = [name.strip() for name in options.networks.split(",")]
    settings = Settings(
        host=options.host,
        port=options.port,
        tokens=tokens,
        no_auth=options.no_auth,
        networks=tuple(filter(None, names)),
        threads=options.threads,
        max_batch=options.max_batch,
        max_wait=options.max_wait_ms / 1000,
        queue=options.queue,
        max_images=min(options.max_images, options.queue),
        max_body=options.max_body_mb * 2**20,
        max_held=max(512, 2 * options.max_body_mb) * 2**20,
        image=limits,
        arrive_seconds=options.arrive_seconds,
        request_seconds=options.request_seconds,
        grace_seconds=options.grace_seconds,
        max_connections=options.max_connections,
        proxy_headers=options.proxy_headers,
        certfile=options.certfile,
        keyfile=options.keyfile,
    )
    settings.check()
    _use(options.device)
    serve(Service(settings))
    return 0


def _use(device: str) -> None:
    if device == "cpu":
        from orangecontrib.imagemining.embedders.engines.choice import gpu_is_of_no_use

        gpu_is_of_no_use()
    elif device == "gpu":
        from orangecontrib.imagemining.embedders.engines.pytorch import device_is_here

        if not any(map(device_is_here, ("cuda", "mps"))):
            raise ServerError(
                "PyTorch finds no graphics processor here; start the server without"
                " --device gpu, or install PyTorch for CUDA"
            )


def _number(lowest: int, highest: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{lowest} to {highest}, not {value}")
        return value

    return number
