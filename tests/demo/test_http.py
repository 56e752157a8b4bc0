"""What the page's server gives away, and what it takes: less than asked for."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

FORM = "multipart/form-data; boundary=line"
FORM_HEAD = b'--line\r\nContent-Disposition: form-data; name="files"; filename="hand.png"\r\n\r\n'
FORM_END = b"\r\n--line--\r\n"


def ask(
    address: str,
    path: str,
    method: str = "GET",
    body: bytes | Iterable[bytes] | None = None,
    kind: str = "application/json",
    **headers: str,
) -> tuple[int, bytes]:
    """Status and answer; the path goes out as it is written, and a body in parts without its length."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request(method, path, body, {"Content-Type": kind, **headers})
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


def last_word(address: str, event: str, first: list, said=None) -> bytes:
    """What the page answers to an event, such as `upload`, with `first` before the choices, and with `said` by the browser."""
    config = json.loads(ask(address, "/config")[1])
    number = next(k for k, part in enumerate(config["dependencies"]) if part["targets"] and part["targets"][0][1] == event)
    session = secrets.token_hex(4)
    body = {"data": [*first, "fit", True, "of the model"], "event_data": said, "fn_index": number, "session_hash": session}
    assert ask(address, "/gradio_api/queue/join", "POST", json.dumps(body).encode())[0] == 200
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
    answer, line = connection.getresponse(), b""
    while b"process_completed" not in line:
        line = answer.readline()
    return line.replace(b" ", b"")


def show_file(address: str, picture: dict) -> bytes:
    return last_word(address, "upload", [picture | {"meta": {"_type": "gradio.FileData"}}])


@pytest.mark.parametrize("said", [[1], "1", None, {}])
def test_an_event_that_is_none_is_answered_in_a_line(address, said):
    assert b"Thereisnoexample" in last_word(address, "example", [], said)


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


def kept_files() -> set[Path]:
    """In the folder of this run."""
    return {path for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file()}


def wait_until(is_so) -> bool:
    end = time.monotonic() + 20
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    return is_so()


def test_a_large_upload_of_unknown_length_is_refused_and_deleted(address):
    before = kept_files()
    status, answer = ask(address, "/gradio_api/upload", "POST", [FORM_HEAD, *[b"0" * 2**20] * 22, FORM_END], FORM)
    assert (status, b"at most 20 MB" in answer) == (413, True)
    assert kept_files() == before
    status, answer = ask(address, "/gradio_api/queue/join", "POST", [b"0" * 2**19] * 4)
    assert (status, b"at most 20 MB" in answer) == (413, True)
    status, answer = ask(address, "/gradio_api/upload", "POST", [FORM_HEAD, secrets.token_bytes(2**20), FORM_END], FORM)
    assert status == 200
    assert kept_files() - before == {Path(path) for path in json.loads(answer)}


def test_an_upload_that_breaks_off_is_deleted_without_noise(address, capfd):
    before, place = kept_files(), urlsplit(address)
    capfd.readouterr()
    with socket.create_connection((place.hostname, place.port)) as browser:
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: {FORM}\r\nContent-Length: 1000000\r\n\r\n"
        browser.sendall(head.encode() + FORM_HEAD + b"0" * 5000)
        assert wait_until(lambda: kept_files() > before)
    assert wait_until(lambda: kept_files() == before)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("host", ["example.invalid", "127.0.0.1.example.invalid", "127.0.0.2"])
def test_another_name_of_this_computer_is_refused(address, host):
    """A name server may lead a page's own name here, so that the browser takes this page for a part of that one."""
    assert ask(address, "/config", Host=f"{host}:{urlsplit(address).port}")[0] == 400


@pytest.mark.parametrize("origin", ["http://example.invalid", "null", "http://127.0.0.1:1", "https://{place}"])
def test_other_pages_of_the_browser_are_refused(address, origin):
    before, place = kept_files(), urlsplit(address).netloc
    form = FORM_HEAD + secrets.token_bytes(99) + FORM_END
    status, answer = ask(address, "/gradio_api/upload", "POST", form, FORM, Origin=origin.format(place=place))
    assert (status, b"Not for pages of" in answer) == (403, True)
    assert kept_files() == before


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_the_page_itself_is_answered(address, name):
    place = f"{name}:{urlsplit(address).port}"
    assert ask(address, "/config", Host=place, Origin=f"http://{place}")[0] == 200


@pytest.mark.parametrize("port", [-1, 0, 65536, 99999])
def test_a_port_that_is_none_is_refused(run, port):
    code, _, err = run("demo", "--model", "fit", "--port", port, "--no-browser")
    assert code == 2
    assert "from 1 to 65535" in err
    assert len(err.strip().splitlines()) == 1


def test_nothing_is_offered_to_programs(address):
    assert json.loads(ask(address, "/gradio_api/info")[1])["named_endpoints"] == {}


def test_the_page_names_no_other_host_to_load_from(address):
    page = ask(address, "/")[1].decode()
    for mark in ("fonts.googleapis", "cdnjs", "cdn.", "unpkg", "analytics_enabled&quot;: true", '"analytics_enabled":true'):
        assert mark not in page
