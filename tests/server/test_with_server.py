"""Scripts and the command line have images embedded by a server."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from servers import Running, running

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.embedders import Embedder, servers
from orangecontrib.imagemining.embedders.cache import VectorStore, shared_store
from orangecontrib.imagemining.exceptions import ServerError, WeightsError
from orangecontrib.imagemining.server.tokens import Tokens

TOKEN = "a-token-of-the-tests"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(tokens=Tokens([TOKEN])) as run:
        yield run


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_TOKENS", {})
    monkeypatch.setattr(
        servers, "token_of", lambda address: servers._TOKENS.get(address)
    )


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    return make_folder({"a": 3, "b": 2})


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(f"# of the laboratory\n\n{TOKEN}\nanother-one-of-the-server\n")
    return str(path)


def n_images(server: Running) -> float:
    return server.service.metrics.images.total()


def expected(folder: Path) -> np.ndarray:
    return Embedder(cache=VectorStore.in_memory())(folder).vectors


def test_embedder(server: Running, folder: Path) -> None:
    before = n_images(server)
    embedder = Embedder(server=server.address, token=TOKEN)
    assert embedder.size == 512
    result = embedder(folder)
    assert (result.n_known, result.trouble, len(result.paths)) == (0, "", 5)
    assert n_images(server) - before == 5
    np.testing.assert_allclose(result.vectors, expected(folder), atol=1e-4)
    # what is known here is not sent; what the server did, this computer need not
    assert embedder(folder).n_known == 5
    assert Embedder()(folder).n_known == 5
    assert n_images(server) - before == 5


def test_embedder_without_a_store(server: Running, folder: Path) -> None:
    store = VectorStore.in_memory()
    Embedder(server=server.address, token=TOKEN, cache=store)(folder)
    assert (store.n_vectors(), shared_store().n_vectors()) == (5, 0)


def test_stream_of_a_server(server: Running, folder: Path) -> None:
    embedder = Embedder(server=server.address, token=TOKEN)
    parts = list(embedder.stream(folder, batch=2))
    assert [len(part.vectors) for part in parts] == [2, 2, 1]


def test_embedder_uses_the_token_that_is_kept(server: Running, folder: Path) -> None:
    with pytest.raises(ServerError, match="token"):
        Embedder(server=server.address)(folder)
    servers.use_token(server.address, TOKEN)
    assert Embedder(server=f"{server.address}/")(folder).reasons == [None] * 5


def test_network_that_is_not_there_either(server: Running, folder: Path) -> None:
    with pytest.raises(ServerError, match="does not offer ResNet-50"):
        Embedder("resnet50", server=server.address, token=TOKEN)(folder)
    with pytest.raises(WeightsError):
        Embedder("resnet50")(folder)


def test_command(
    server: Running, folder: Path, tmp_path: Path, token_file: str, capsys: Capture
) -> None:
    out = tmp_path / "o.npz"
    before = n_images(server)
    command = ["embed", str(folder), "-o", str(out), "--server", server.address]
    assert main([*command, "--token-file", token_file]) == 0
    told = capsys.readouterr()
    assert f"SqueezeNet 1.1 (features) at {server.address}" in told.out
    assert TOKEN not in told.out + told.err
    assert n_images(server) - before == 5
    with np.load(out) as written:
        np.testing.assert_allclose(
            written["vectors"], expected(folder), rtol=1e-4, atol=1e-4
        )


def test_command_without_a_token(
    server: Running, folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "o.npz"
    command = ["embed", str(folder), "-o", str(out), "--server", server.address]
    assert main(command) == 1
    assert "wants another token" in capsys.readouterr().err
    assert not out.exists()


def test_command_goes_on_when_the_server_is_back(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    out = tmp_path / "o.npz"
    paths = [str(folder / "a" / f"{n}.png") for n in range(3)]
    Embedder()(paths)  # what was done before it went
    command = ["embed", str(folder), "-o", str(out), "--quiet", "--server"]
    address = f"http://127.0.0.1:{port}"

    def impatient(address: str, **options: object) -> servers.Visit:
        return plain(address, patience=0.05)

    plain = servers.Visit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orangecontrib.imagemining.tables.embedded.Visit", impatient)
        assert main([*command, address]) == 1
    told = capsys.readouterr().err
    assert "cannot be reached" in told and "goes on from there" in told
    assert not out.exists()
    with running(port=port) as run:
        assert main([*command, address]) == 0
        assert run.service.metrics.images.total() == 2
    with np.load(out) as written:
        assert written["vectors"].shape == (5, 512)


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (["--token-file", "x"], 2, "--server"),
        (["--server", "http://s", "--engine", "torch"], 2, "--engine"),
        (["--server", "http://s", "--no-cache"], 2, "--no-cache"),
        (["--server", "http://s", "--download"], 2, "--download"),
        (["--server", "ftp://s"], 1, "no address"),
        (["--server", "http://s", "--token-file", "missing"], 1, "cannot be read"),
        (["--server", "http://s", "--token-file", "empty"], 1, "no token in"),
        (["--server", "http://s", "--token-file", "bad"], 1, "letters"),
    ],
)
def test_wrong_usage(
    folder: Path,
    options: list[str],
    status: int,
    text: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    Path("empty").write_text("# nothing\n")
    Path("bad").write_text("two words\n")
    assert main(["embed", str(folder), "-o", "o.npz", *options]) == status
    told = capsys.readouterr().err
    assert text in told and "two words" not in told
