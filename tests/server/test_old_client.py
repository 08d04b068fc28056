"""Orange3-ImageAnalytics itself, unchanged, against our server.

Runs where the environment variable IMAGEMINING_OLD_PYTHON names a Python that has it,
or where this Python has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from conftest import picture
from servers import Running, cosines, make_up_weights, running

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.server.guard import Guard
from orangecontrib.imagemining.server.tokens import Tokens
from orangecontrib.imagemining.specs import EmbedderSpec

HERE = sys.executable if find_spec("orangecontrib.imageanalytics") else ""
PYTHON = os.environ.get("IMAGEMINING_OLD_PYTHON", HERE)
TOKEN = "a-token-of-the-tests"
N_IMAGES = 300

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="that add-on is not here, see IMAGEMINING_OLD_PYTHON"
)

# The add-on embeds by SqueezeNet itself, and sends images to the server for all other
# networks; told that SqueezeNet is not local, it sends them for that one too.
SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from orangecontrib.imageanalytics import image_embedder
name, paths = json.load(sys.stdin)
image_embedder.MODELS["squeezenet"]["is_local"] = False
told = []
with image_embedder.ImageEmbedder(model=name) as embedder:
    embedder.clear_cache()
    vectors = embedder(paths, callback=told.append)
json.dump([vectors, len(told)], sys.stdout)
"""


#: What it says of the computer and of itself, as it came.
told: list[bytes] = []


@pytest.fixture(scope="module", autouse=True)
def _noting() -> Iterator[None]:
    call = Guard.__call__

    async def noted(guard: Guard, scope: Any, receive: Any, send: Any) -> None:
        told.append(scope.get("query_string", b""))
        await call(guard, scope, receive, send)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Guard, "__call__", noted)
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    file = make_up_weights("inception_v3")
    names = ("squeezenet_imageanalytics", "inception_v3")
    with running(networks=names, tokens=Tokens([TOKEN])) as run:
        yield run
    file.unlink()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number in range(N_IMAGES):
        path = folder / f"{number}.png"
        picture(number, (120 + number % 50, 90)).save(path)
        found.append(str(path))
    return found


def embedded(
    server: Running, model: str, paths: list[str], home: Path
) -> tuple[list[list[float] | None], int]:
    environment = {
        **os.environ,
        "ORANGE_EMBEDDING_API_URL": f"{server.address}/t/{TOKEN}",
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [PYTHON, "-c", SCRIPT],
        input=json.dumps([model, paths]),
        env=environment,
        capture_output=True,
        text=True,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    vectors, n_told = json.loads(done.stdout)
    return vectors, n_told


@pytest.mark.parametrize(
    ("model", "network", "layer"),
    [
        ("squeezenet", "squeezenet_imageanalytics", "logits"),
        ("inception-v3", "inception_v3", "features"),
    ],
)
def test_no_image_is_missing(
    server: Running,
    paths: list[str],
    tmp_path: Path,
    model: str,
    network: str,
    layer: str,
) -> None:
    vectors, n_told = embedded(server, model, paths, tmp_path)
    assert n_told == N_IMAGES
    assert [row for row, vector in enumerate(vectors) if vector is None] == []
    sample = list(range(0, N_IMAGES, 15))
    local = LocalEmbedder(EmbedderSpec(network, layer), cache=VectorStore.in_memory())
    expected = local([paths[row] for row in sample]).vectors
    # that add-on resizes in its own way and sends a JPEG of the result
    got = np.array([vectors[row] for row in sample], np.float32)
    assert cosines(got, expected).min() > 0.97
    # each has its own
    nearest = np.array(
        [cosines(expected, got[[row] * 20]).argmax() for row in range(20)]
    )
    assert (nearest == np.arange(20)).mean() > 0.9
    log, figures = server.log.text, server.service.metrics.text()
    asked = [parse_qs(query.decode()) for query in told if query]
    assert len(asked) >= N_IMAGES
    for word in ("machine", "session"):
        (values,) = {tuple(query[word]) for query in asked[-N_IMAGES:]}
        for text in (word, *values):
            assert text not in log and text not in figures
    assert TOKEN not in log


def test_what_it_cannot_have_is_skipped(
    server: Running, paths: list[str], tmp_path: Path
) -> None:
    # no weights for it: the add-on gives no vectors, and does not break
    vectors, _ = embedded(server, "vgg16", paths[:5], tmp_path)
    assert vectors == [None] * 5


def test_one_that_is_no_image_does_not_spoil_the_others(
    server: Running, paths: list[str], tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("hello")
    vectors, _ = embedded(
        server, "squeezenet", [paths[0], str(tmp_path / "text.png"), paths[1]], tmp_path
    )
    assert [vector is None for vector in vectors] == [False, True, False]
