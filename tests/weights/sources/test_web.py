import re
import socket
from email.message import Message
from io import BytesIO
from urllib.request import Request

import pytest
from web_server import Page

from resnet_jax.errors import DownloadFailed
from resnet_jax.weights.sources.web import _Redirects, check_address, first_byte, open_address

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "ftp://a.org/net.pth",
            "data:text/plain,x",
            "https:///net.pth",
            "http://a.org:x/net.pth",
        ),
        *("http:a.org/net.pth", "https:/a.org/net.pth", "http://a.org/a b", "http://a.org/a\nHost: b", "http://[::1/a"),
    ],
)
def test_other_addresses_are_refused(url):
    with pytest.raises(ValueError, match="^expected an address as https://HOST/FILE, got "):
        check_address(url)


def test_passwords_and_queries_stay_out_of_messages():
    with pytest.raises(
        ValueError, match=r"^https://a.org/net.pth\?...: expected an address without a name and password$"
    ):
        check_address("https://me:secret@a.org/net.pth?token=secret")
    with pytest.raises(ValueError, match=r"^https://a.org/net.pth\?...: the query of this address is not recorded"):
        check_address("https://a.org/net.pth?...")


def test_redirects_are_followed_and_limited(site):
    site.pages["/net.pth"] = Page(b"weights")
    for code in (301, 302, 303, 307, 308):
        site.pages["/other.pth"] = Page(status=code, headers={"Location": "/net.pth"})
        with open_address(f"{site.address}/other.pth") as response:
            assert response.read() == b"weights"
    site.pages["/loop"] = Page(status=302, headers={"Location": f"{site.address}/loop"})
    with pytest.raises(DownloadFailed, match="/loop: .*infinite loop"):
        open_address(f"{site.address}/loop")
    for target in ("file:///etc/passwd", "ftp://a.org/net.pth"):
        site.pages["/other.pth"] = Page(status=302, headers={"Location": target})
        with pytest.raises(DownloadFailed, match=f"/other.pth: .*{target}"):
            open_address(f"{site.address}/other.pth")
    site.pages["/other.pth"] = Page(status=302, headers={"Location": "http://[::1"})
    with pytest.raises(DownloadFailed, match="/other.pth cannot be reached: "):
        open_address(f"{site.address}/other.pth")


def test_redirects_go_to_https_and_not_back():
    def redirect(source, target):
        return _Redirects().redirect_request(Request(source), BytesIO(), 302, "Found", Message(), target)

    assert redirect("http://a.org/a", "https://b.org/b").full_url == "https://b.org/b"
    with pytest.raises(DownloadFailed, match=r"https://a.org/a: redirected to http://b.org/b\?..., which is refused"):
        redirect("https://a.org/a", "http://b.org/b?token=secret")


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (Page(status=404), "there is no such file"),
        (Page(status=401), "it needs a login; download it yourself and pass its path"),
        (Page(status=403), "access is not allowed; download it yourself and pass its path"),
        (Page(status=500), "HTTP Error 500: Internal Server Error"),
        (Page(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}), "got an answer of type text/html"),
        (Page(b"x", headers={"Content-Encoding": "gzip"}), "got an answer of type gzip"),
    ],
)
def test_other_answers_are_one_line(site, page, message):
    site.pages["/net.pth"] = page
    with pytest.raises(DownloadFailed, match=f"^{site.address}/net.pth(\\?...)?: [^\n]*{message}$"):
        open_address(f"{site.address}/net.pth?token=secret")


def test_a_server_that_is_not_reached_is_one_line():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/net.pth"
        with pytest.raises(DownloadFailed, match=f"^{re.escape(address)} cannot be reached: .*refused"):
            open_address(address)


def test_an_answer_that_begins_elsewhere_is_refused(site):
    for received, asked, expected in (("5-6/7", 5, True), ("5-6/*", 5, True), ("5-6/7", 3, False), ("5-6/9", 5, False)):
        site.pages["/net.pth"] = Page(b"weights", headers={"Content-Range": f"bytes {received}"}, status=206)
        with open_address(f"{site.address}/net.pth") as response:
            if expected:
                assert first_byte(response, asked) == asked
            else:
                with pytest.raises(DownloadFailed, match=f"expected all bytes from {asked} on, got 'bytes {received}'"):
                    first_byte(response, asked)
