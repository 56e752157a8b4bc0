"""What the page's server gives away, and what it takes: less than asked for."""

from __future__ import annotations

import http.client
import json
import secrets
from urllib.parse import urlsplit

import pytest


def ask(address: str, path: str, method: str = "GET", body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
    """Status and answer; the path goes out as it is written."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request(method, path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file={file}",
        "/gradio_api/file=../../../../../../../../{file}",
        "/file={file}",
        "/static/../../../../../../../../{file}",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/{file}",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2f{file}",
        "/gradio_api/file=file://{file}",
        "/gradio_api/proxy=file://{file}",
    ],
)
def test_no_file_outside_of_its_folder(address, tmp_path, path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret of the host")
    status, answer = ask(address, path.format(file=secret))
    assert 400 <= status < 500
    assert b"secret of" not in answer


def show_file(address: str, picture: dict) -> bytes:
    """The page's last word on an upload event with this file."""
    config = json.loads(ask(address, "/config")[1])
    upload = next(k for k, part in enumerate(config["dependencies"]) if part["targets"] and part["targets"][0][1] == "upload")
    session = secrets.token_hex(4)
    data = [picture | {"meta": {"_type": "gradio.FileData"}}, "fit", True, "of the model"]
    event = {"data": data, "fn_index": upload, "session_hash": session}
    assert ask(address, "/gradio_api/queue/join", "POST", json.dumps(event).encode())[0] == 200
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
    answer, line = connection.getresponse(), b""
    while b"process_completed" not in line:
        line = answer.readline()
    return line.replace(b" ", b"")


def test_a_file_of_the_host_is_no_picture_to_show(address, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"\x89PNG")
    assert b'"success":false' in show_file(address, {"path": str(tmp_path / "secret.png")})


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_address_is_not_fetched(address, monkeypatch, scheme):
    from gradio import processing_utils

    fetched: list[str] = []

    async def fetch(url, cache_dir):
        fetched.append(url)
        raise ValueError(url)

    monkeypatch.setattr(processing_utils, "async_ssrf_protected_download", fetch)
    there = f"{scheme}://example.invalid/hand.png"
    assert b'"success":false' in show_file(address, {"path": there, "url": there})
    assert fetched == []


def test_large_requests_are_refused(address):
    status, answer = ask(address, "/gradio_api/queue/join", "POST", b"0" * 2**21)
    assert (status, b"at most 20 MB" in answer) == (413, True)
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Length", str(2**40))  # a terabyte, refused before a byte of it has come
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_nothing_is_offered_to_programs(address):
    assert json.loads(ask(address, "/gradio_api/info")[1])["named_endpoints"] == {}


def test_the_page_names_no_other_host_to_load_from(address):
    page = ask(address, "/")[1].decode()
    for mark in ("fonts.googleapis", "cdnjs", "cdn.", "unpkg", "analytics_enabled&quot;: true", '"analytics_enabled":true'):
        assert mark not in page
