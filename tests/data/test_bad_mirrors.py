"""Mirrors that stall, fail, lie or send without end; processes that fetch at once or are killed."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import importlib.util
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from fastgan.data import download
from fastgan.data.download import DownloadError, fetch

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Does what the path says."""

    def do_GET(self) -> None:
        with contextlib.suppress(OSError):  # the client gave up
            getattr(self, self.path.strip("/"))()

    def send(self, n_bytes: int, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(n_bytes))
        self.end_headers()
        self.wfile.write(body)

    def right(self) -> None:
        self.send(len(CONTENT), CONTENT)

    def stalls(self) -> None:
        self.send(len(CONTENT), CONTENT[:50_000])
        self.server.released.wait(30)

    def silent(self) -> None:
        self.server.released.wait(30)

    def fails(self) -> None:
        self.send_error(500)

    def resets(self) -> None:
        self.send(len(CONTENT), CONTENT[:50_000])
        time.sleep(0.1)
        # with this option a socket's end is a reset, not a farewell
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def says_more(self) -> None:
        self.send(len(CONTENT) + 7, CONTENT)

    def says_less(self) -> None:
        self.send(len(CONTENT) - 7, CONTENT)

    def says_nonsense(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "many")
        self.end_headers()
        self.wfile.write(CONTENT)

    def another(self) -> None:
        self.send(len(CONTENT), CONTENT[:-1] + b"\0")

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.released.is_set():
            self.wfile.write(CONTENT)

    def slow(self) -> None:
        self.send(len(CONTENT), CONTENT[:50_000])
        time.sleep(0.3)
        self.wfile.write(CONTENT[50_000:])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.released = threading.Event()
    server.handle_error = lambda *_: None  # the socket that was reset
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("stalls", "no byte for 0.4 seconds"),
        ("silent", "no byte for 0.4 seconds"),
        ("fails", "500 Server Error"),
        ("resets", "the connection was reset"),
        ("says_more", "IncompleteRead"),
        ("says_less", "what came is another file, and was removed (SHA256"),
        ("says_nonsense", "invalid literal for int"),
        ("another", "what came is another file, and was removed (SHA256"),
        ("endless", "expected at most 1,000,000 bytes, got more: they were removed"),
    ],
)
def test_a_bad_mirror_is_told_and_leaves_nothing(url, tmp_path, monkeypatch, path, words):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.4)
    monkeypatch.setattr(download, "MOST_BYTES", 1_000_000)
    with pytest.raises(DownloadError) as caught:
        fetch("file", (f"{url}/{path}",), SHA256, tmp_path)
    assert f"{url}/{path}: " in str(caught.value)
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    # and the next mirror is asked
    found = fetch("file", (f"{url}/{path}", f"{url}/right"), SHA256, tmp_path)
    assert found.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [found]


def test_a_bad_mirror_does_not_touch_the_file_that_is_there(url, tmp_path):
    (tmp_path / "file").write_bytes(b"of an older version")
    with pytest.raises(DownloadError):
        fetch("file", (f"{url}/another",), SHA256, tmp_path)
    assert (tmp_path / "file").read_bytes() == b"of an older version"


def test_the_timeout_is_thirty_seconds():
    assert download.TIMEOUT_SECONDS == 30.0
    assert "silent for 30 seconds" in str(fetch.__doc__)


# the module alone, without the package and its torch: a second less
FETCH = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("download", sys.argv[1])
download = importlib.util.module_from_spec(spec)
spec.loader.exec_module(download)
print(download.fetch("file", (sys.argv[2],), sys.argv[3], pathlib.Path(sys.argv[4])))
"""


def start(url, folder):
    source = importlib.util.find_spec("fastgan.data.download").origin
    command = [sys.executable, "-c", FETCH, source, url, SHA256, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_fetch_at_once(url, tmp_path):
    found = [start(f"{url}/slow", tmp_path / "new") for _ in range(3)]
    for process in found:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.strip() == str(tmp_path / "new" / "file")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_process_that_is_killed_leaves_no_file_of_that_name(url, tmp_path):
    process = start(f"{url}/stalls", tmp_path)
    until = time.monotonic() + 30
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "file").exists()
    assert fetch("file", (f"{url}/right",), SHA256, tmp_path).read_bytes() == CONTENT
