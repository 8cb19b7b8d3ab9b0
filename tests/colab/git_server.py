"""A git server on loopback that offers this checkout as GitHub would, for the `git+https` address of a notebook's first cell."""

import contextlib
import http.server
import os
import subprocess
import threading
from pathlib import Path

NAME = "cxrkit/cxrkit"  # the path that the kit's own address has
_AUTHOR = ("-c", "user.name=colab test", "-c", "user.email=colab@localhost")


def snapshot(checkout: Path, repository: Path) -> str:
    """Commit the checkout's files as they are now, ignored ones left out, into a new repository; returns the commit."""

    def git(*arguments):
        command = ["git", *_AUTHOR, "--git-dir", repository, "--work-tree", checkout, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    repository.parent.mkdir(parents=True, exist_ok=True)
    git("init", "--quiet", "--initial-branch=main")
    git("config", "uploadpack.allowFilter", "true")  # as GitHub does: pip asks for the files of one commit alone
    git("config", "core.compression", "0")  # it lives for minutes
    git("add", "--all")
    git("commit", "--quiet", "--no-verify", "--message", "The checkout as it is")
    return git("rev-parse", "HEAD")


class _Handler(http.server.BaseHTTPRequestHandler):
    """Hands each request to git's own CGI program and passes on what it answers."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": self.command, "PATH_INFO": path,
            "QUERY_STRING": query, "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""), "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        answer = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.served.append((self.command, path))

    do_POST = do_GET


@contextlib.contextmanager
def serving(checkout: Path, folder: Path):
    """Serve a snapshot of the checkout from `folder`. Yields (address for pip, commit, list of (method, path) served so far)."""
    commit = snapshot(checkout, folder / NAME)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.root, server.served = folder, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"git+http://127.0.0.1:{server.server_port}/{NAME}", commit, server.served
        finally:
            server.shutdown()
