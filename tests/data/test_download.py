from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import re
import tarfile
import threading

import numpy as np
import pytest
import torch

from fastgan.data import cifar10, idx, load_dataset, mnist
from fastgan.data.download import DownloadError, fetch

NAMES = tuple(names[0] for names in mnist.FILES.alternatives[0])


class Server:
    """Serves ``files``: path -> content; a path in ``cut`` announces more than it sends."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                content = server.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:-5] if self.path in server.cut else content)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_first_mirror_that_is_right_wins(server, tmp_path):
    server.files = {"/wrong/file": b"something else", "/right/file": b"content"}
    urls = tuple(f"{server.url}/{mirror}/file" for mirror in ("none", "wrong", "right", "more"))
    path = fetch("file", urls, sha256(b"content"), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "file"
    assert path.read_bytes() == b"content"
    assert server.asked == ["/none/file", "/wrong/file", "/right/file"]


def test_wrong_checksum_leaves_nothing(server, tmp_path):
    server.files = {"/file": b"something else"}
    with pytest.raises(DownloadError, match=r"/file: .*hash.* of downloaded file") as caught:
        fetch("file", (f"{server.url}/file",), sha256(b"content"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert f"{server.url}/file: " in str(caught.value)


def test_connection_cut_short_leaves_nothing(server, tmp_path):
    server.files, server.cut = {"/file": b"0123456789"}, {"/file"}
    with pytest.raises(DownloadError, match="/file: "):
        fetch("file", (f"{server.url}/file",), sha256(b"0123456789"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_wrong_file_already_there_is_replaced(server, tmp_path):
    server.files = {"/file": b"content"}
    (tmp_path / "file").write_bytes(b"cont")
    fetch("file", (f"{server.url}/file",), sha256(b"content"), tmp_path)
    assert (tmp_path / "file").read_bytes() == b"content"
    fetch("file", (f"{server.url}/file",), sha256(b"content"), tmp_path)
    assert server.asked == ["/file"]  # the right one is not fetched again


def test_cache_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" / "cache"
    with pytest.raises(DownloadError, match=re.escape(f"{folder}: cannot create the cache folder")):
        fetch("a", ("http://127.0.0.1:9/a",), sha256(b""), folder)


@pytest.fixture
def small_mnist(server, monkeypatch):
    for name, count in (("N_TRAIN", 2), ("N_VALIDATION", 1), ("N_TEST", 1), ("SIGMA_IMAGES", 1)):
        monkeypatch.setattr(mnist, name, count)
    contents = []
    for name, n_images in zip(NAMES, (3, 3, 1, 1), strict=True):
        shape = (n_images, 28, 28) if "images" in name else (n_images,)
        contents.append(gzip.compress(idx.header(shape) + bytes(int(np.prod(shape)))))
        server.files[f"/second/{name}"] = contents[-1]
    monkeypatch.setattr(mnist, "_MIRRORS", (f"{server.url}/first/", f"{server.url}/second/"))
    monkeypatch.setattr(mnist, "_SHA256", tuple(map(sha256, contents)))


@pytest.mark.usefixtures("small_mnist")
def test_mnist_is_fetched_once(server, cache):
    dataset = load_dataset("mnist")
    assert dataset.train.shape == (2, 784)
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(NAMES)
    n_asked = len(server.asked)
    load_dataset("mnist", download=False)
    assert len(server.asked) == n_asked == 8


@pytest.mark.usefixtures("small_mnist")
def test_mnist_continues_after_an_interruption(server, cache):
    content = server.files.pop(f"/second/{NAMES[2]}")
    with pytest.raises(FileNotFoundError, match=f"second/{NAMES[2]}: 404"):
        load_dataset("mnist")
    server.files[f"/second/{NAMES[2]}"] = content
    server.asked.clear()
    assert load_dataset("mnist").test.shape == (1, 784)
    assert not any(NAMES[0] in path or NAMES[1] in path for path in server.asked)


@pytest.fixture
def small_cifar(server, monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS_A_FILE", 2)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for i, name in enumerate((*cifar10.BATCHES, "../../escaped", "readme.html")):
            member = tarfile.TarInfo(
                name if name.startswith("..") else f"cifar-10-batches-bin/{name}"
            )
            content = bytes([i] + [i, 1] * 1536) * 2
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    server.files[f"/{cifar10.ARCHIVE}"] = buffer.getvalue()
    monkeypatch.setattr(cifar10, "_URLS", (f"{server.url}/{cifar10.ARCHIVE}",))
    monkeypatch.setattr(cifar10, "_SHA256", sha256(buffer.getvalue()))


@pytest.mark.usefixtures("small_cifar")
def test_cifar10_is_fetched_and_unpacked_once(server, cache):
    dataset = load_dataset("cifar10")
    assert dataset.train_labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert dataset.test_labels.tolist() == [5, 5]
    # six files, no archive, and nothing from outside or beside the six
    assert sorted(path.name for path in cache.rglob("*")) == sorted(("cifar10", *cifar10.BATCHES))
    again = load_dataset("cifar10", download=False)
    assert torch.equal(again.train, dataset.train)
    assert server.asked == [f"/{cifar10.ARCHIVE}"]


@pytest.mark.usefixtures("small_cifar")
def test_cifar10_unpacking_interrupted(cache, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cifar10.Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            load_dataset("cifar10")
    names = {path.name for path in (cache / "cifar10").iterdir()}
    assert names == {cifar10.ARCHIVE, f"data_batch_1.bin.{os.getpid()}.part"}
    # the archive was whole and is read without the network
    assert load_dataset("cifar10", download=False).test_labels.tolist() == [5, 5]
