"""A web server on this machine for tests of downloads, which also answers as the Hugging Face hub does."""

import hashlib
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Page:
    """Answer of the server for a path."""

    body: bytes = b""
    status: int = 200
    etag: str | None = '"first"'
    cut: int | None = None  # bytes after which the connection is closed
    ranges: bool = True  # whether parts can be asked for
    length: str = "length"  # how the answer says how long it is: "length", "chunked" or "" for not at all
    headers: dict = field(default_factory=dict)
    pause: float | None = None  # seconds before each byte


@dataclass
class Site:
    """The pages of a running server by path, and the requests it got: (method, path, headers)."""

    address: str
    pages: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)

    def add_repository(self, name, files, *, revision="main", commit=COMMIT):
        """Serves files as the hub serves those of a repository, at a branch and at its commit."""
        for file, body in files.items():
            page = Page(body, etag=f'"{hashlib.sha1(body).hexdigest()}"', headers={"X-Repo-Commit": commit})
            self.pages |= {f"/{name}/resolve/{at}/{file}": page for at in (revision, commit)}
        self.pages |= {f"/{name}/resolve/{at}/": "EntryNotFound" for at in (revision, commit)}
        self.pages.setdefault(f"/{name}/resolve/", "RevisionNotFound")

    def page(self, path):
        if path in self.pages:
            return self.pages[path]
        parents = [at for at in self.pages if at.endswith("/") and path.startswith(at)]
        code = self.pages[max(parents, key=len)] if parents else "RepoNotFound"
        headers = {"X-Error-Code": code} | ({"X-Repo-Commit": COMMIT} if code == "EntryNotFound" else {})
        return Page(b"not here", {"GatedRepo": 403, "RepoNotFound": 404}.get(code, 404), headers=headers)


@contextmanager
def serve():
    """Runs a server for the block, and yields its Site."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            path = self.path.partition("?")[0]
            site.requests.append((self.command, path, {name.lower(): value for name, value in self.headers.items()}))
            page = site.page(path)
            start = self.start_of(page)
            body = page.body[start:]
            self.send_response(206 if start else page.status)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(page.body) - 1}/{len(page.body)}")
            if page.length == "length":
                self.send_header("Content-Length", str(len(body)))
            if page.length == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            if page.etag:
                self.send_header("ETag", page.etag)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command == "GET":
                self.write(body if page.cut is None else body[: page.cut], page.pause)
            self.close_connection = True

        do_HEAD = do_GET

        def write(self, body, pause):
            if pause is None:
                self.wfile.write(body)
                return
            with suppress(ConnectionError):  # the client may have enough of it
                for byte in body:
                    time.sleep(pause)
                    self.wfile.write(bytes([byte]))

        def start_of(self, page):
            asked = self.headers.get("Range", "")
            if page.status == 200 and page.ranges and asked and self.headers.get("If-Range", page.etag) == page.etag:
                return int(asked.removeprefix("bytes=").partition("-")[0])
            return 0

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
