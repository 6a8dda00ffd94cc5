"""Requests for files on the web: addresses, redirects, ranges, and errors in one line."""

from __future__ import annotations

import re
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from resnet_jax.errors import DownloadFailed, one_line, public_address

TIMEOUT = 30  # seconds without an answer
MOST_DIGITS = 20  # of a length
HINT = "download it yourself and pass its path"
REFUSALS = {
    401: f"it needs a login; {HINT}",
    403: f"access is not allowed; {HINT}",
    404: "there is no such file",
    410: "there is no such file any more",
}


def check_address(url: str) -> None:
    """Raises ValueError unless this is an address of HTTP or HTTPS, without a password."""
    expected = "expected an address as https://HOST/FILE"
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ValueError(f"{expected}, got {public_address(url)[:200]!r}: {error}") from None
    if parts.username is not None:
        raise ValueError(f"{public_address(url)}: expected an address without a name and password")
    if parts.query == "...":
        raise ValueError(f"{url}: the query of this address is not recorded; pass the whole address")
    if not is_valid or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError(f"{expected}, got {public_address(url)[:200]!r}")


def open_address(url: str, start: int = 0, unchanged: str = "") -> HTTPResponse:
    """The answer of the server, from byte `start` on if it can do so and the file has this validator.

    Raises:
      DownloadFailed: the server cannot be reached, or answers with an error, a page, or without a length.
    """
    headers = {"User-Agent": "resnet_jax", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": unchanged}
    request = Request(quote(url, safe="%/:=&?~#+!$,;'@()*[]"), headers=headers)
    try:
        response: HTTPResponse = build_opener(_Redirects()).open(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # the part is as long as the file, or longer
            return open_address(url)
        reason = REFUSALS.get(error.code) or one_line(error)
        raise DownloadFailed(f"{public_address(url)}: {reason}") from None
    except URLError as error:
        reason = one_line(error.reason) if isinstance(error.reason, BaseException) else str(error.reason)
        raise DownloadFailed(f"{public_address(url)} cannot be reached: {reason}") from None
    except DownloadFailed:
        raise
    except (HTTPException, OSError, ValueError) as error:  # ValueError: redirected to an invalid address
        raise DownloadFailed(f"{public_address(url)} cannot be reached: {one_line(error)}") from None
    if response.headers.get_content_type() == "text/html" or response.headers.get("Content-Encoding"):
        kind = response.headers.get("Content-Encoding") or "text/html"
        response.close()
        raise DownloadFailed(f"{public_address(url)}: expected a file of weights, got an answer of type {kind}")
    is_chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    length = response.headers.get("Content-Length", "")
    if len(length) > MOST_DIGITS or not (is_chunked or length.isdecimal()):
        response.close()
        raise DownloadFailed(f"{public_address(url)}: the answer has no length, so that a cut one would look whole")
    return response


def first_byte(response: HTTPResponse, requested: int) -> int:
    """Where the answer begins in the file: at the byte that was asked for, or 0 where the server sends all of it.

    Raises:
      DownloadFailed: it begins elsewhere, or ends before the file does.
    """
    if response.status != 206:
        return 0
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(rf"bytes {requested}-(\d+)/(\d+|\*)", content_range)
    if match is None or match[2] not in ("*", str(int(match[1]) + 1)):
        raise DownloadFailed(
            f"{public_address(response.url)}: expected all bytes from {requested} on, got {content_range!r}"
        )
    return requested


def validator(response: HTTPResponse) -> str:
    """What tells versions of the file apart: a strong ETag, else the time of its last change, else ""."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to HTTP and HTTPS, ten at most; not from HTTPS to HTTP."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Any:
        allowed = ("https",) if urlsplit(req.full_url).scheme == "https" else ("https", "http")
        if urlsplit(newurl).scheme not in allowed:  # urllib itself goes on to FTP
            fp.close()
            raise DownloadFailed(
                f"{public_address(req.full_url)}: redirected to {public_address(newurl)}, which is refused"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
