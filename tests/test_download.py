"""Downloads against a real server on the loopback address: mirrors, checksums, cuts, full disks, two processes."""

import hashlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from films import film_files, npz_arrays, write_folder

from cxrkit import locate
from cxrkit.config import configure
from cxrkit.data import download, load_dataset, transfer
from cxrkit.data.download import Published, catalogue, fetch, published
from cxrkit.errors import CxrkitError

BODY = np.random.default_rng(0).bytes(900_000)


class Server:
    """A file server whose paths misbehave as their names say; it records (path, Range) of every request."""

    def __init__(self):
        self.requests = []
        self.go_on = threading.Event()  # `blocks` waits for it in the middle of the body
        self.halfway = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.requests.append((self.path, self.headers.get("Range")))
                outer.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, behaviour):
        return f"http://127.0.0.1:{self.http.server_port}/{behaviour}"

    def answer(self, request):
        behaviour = request.path.strip("/")
        if behaviour.isdigit():
            request.send_error(int(behaviour))
            return
        body = b"x" * len(BODY) if behaviour == "wrong" else BODY
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        start = int(asked[1]) if asked and "no-range" not in behaviour else 0
        if start >= len(body):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(body)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if "no-length" not in behaviour:
            request.send_header("Content-Length", str(len(body) - start))
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        first = len(self.requests) == 1
        half = start + (len(body) - start) // 2
        if "always-cut" in behaviour or ("cut" in behaviour and first):
            request.wfile.write(body[start:half])  # and the connection ends, with half the body missing
            return
        if "blocks" in behaviour and first:
            request.wfile.write(body[start:half])
            request.wfile.flush()
            self.halfway.set()
            self.go_on.wait(30)
            start = half
        request.wfile.write(body[start:])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    served = Server()
    yield served
    served.go_on.set()
    served.http.shutdown()
    served.http.server_close()


@pytest.fixture(autouse=True)
def small_set(monkeypatch):
    """The registry's row of ChestXray-2017 with the body that the server serves."""
    digest = hashlib.sha256(BODY).hexdigest()
    row = Published("ChestXRay2017.zip", ("http://127.0.0.1:9/published",), len(BODY), f"sha256:{digest}")
    monkeypatch.setitem(download.REGISTRY, ("chestxray2017", None), row)
    return row


def get(server, *behaviours, **options):
    return fetch("chestxray2017", mirrors=[server.url(behaviour) for behaviour in behaviours], progress=False, **options)


def leftovers(tmp_path):
    """Files below the data folder that are neither the final one nor a lock."""
    return sorted(path.name for path in (tmp_path / "data").rglob("*")
                  if path.is_file() and path.suffix != ".lock" and path.name != "ChestXRay2017.zip")


def test_the_file_arrives_once_and_is_found(server, tmp_path):
    path = get(server, "good")
    assert path == tmp_path / "data" / "ChestXRay2017.zip" == locate.real_images()
    assert path.read_bytes() == BODY and not leftovers(tmp_path)
    assert get(server, "good") == path and len(server.requests) == 1
    assert get(server, "good", force=True) == path and len(server.requests) == 2


@pytest.mark.parametrize("behaviours", [("404", "good"), ("503", "good"), ("500", "404", "good"), ("wrong", "good")])
def test_the_next_mirror_is_tried(server, tmp_path, behaviours):
    assert get(server, *behaviours).read_bytes() == BODY
    assert [path.strip("/") for path, _ in server.requests] == list(behaviours) and not leftovers(tmp_path)


def test_a_mirror_that_nobody_runs_is_passed_over(server, tmp_path):
    path = fetch("chestxray2017", mirrors=[f"http://127.0.0.1:{closed_port()}/x", server.url("good")], progress=False)
    assert path.read_bytes() == BODY


def test_a_cut_connection_goes_on_where_it_stopped(server, tmp_path):
    assert get(server, "cut").read_bytes() == BODY
    (_, first), (_, second) = server.requests
    assert first is None and 0 < resumed_at(second) <= len(BODY) // 2


def resumed_at(asked):
    return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])


def test_a_cut_connection_to_a_server_without_ranges_starts_over(server, tmp_path):
    assert get(server, "cut-no-range").read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_body_that_always_ends_early_is_given_up_and_kept_for_later(server, tmp_path):
    with pytest.raises(CxrkitError, match="keeps breaking the connection"):
        get(server, "always-cut-no-range")
    assert not (tmp_path / "data" / "ChestXRay2017.zip").exists()
    assert leftovers(tmp_path) == ["ChestXRay2017.zip.part"]
    assert get(server, "good").read_bytes() == BODY
    assert resumed_at(server.requests[-1][1]) > 0 and not leftovers(tmp_path)


def test_a_truncated_body_without_a_length_is_noticed(server, tmp_path):
    assert get(server, "cut-no-length").read_bytes() == BODY  # the registry knows the size
    assert len(server.requests) == 2


def test_a_wrong_checksum_leaves_nothing_behind(server, tmp_path):
    with pytest.raises(CxrkitError, match="sends a file with another checksum"):
        get(server, "wrong")
    assert not (tmp_path / "data" / "ChestXRay2017.zip").exists() and not leftovers(tmp_path)


def test_a_spoilt_partial_file_is_fetched_anew(server, tmp_path):
    part = tmp_path / "data" / ".partial" / "ChestXRay2017.zip" / "ChestXRay2017.zip.part"
    part.parent.mkdir(parents=True)
    for spoilt in (b"y" * 1000, b"y" * len(BODY), b"y" * (len(BODY) + 5)):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(spoilt)
        assert get(server, "good", force=True).read_bytes() == BODY


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    path = get(server, "good")
    path.write_bytes(BODY[:-1] + b"?")
    assert get(server, "good").read_bytes() == BODY and len(server.requests) == 2


def test_without_a_network_the_way_by_hand_is_told(tmp_path, small_set, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(CxrkitError) as caught:
        fetch("chestxray2017", mirrors=[f"http://127.0.0.1:{closed_port()}/x"], progress=False)
    message = str(caught.value)
    assert len(message.splitlines()) == 2 and "cannot be reached" in message
    for part in (small_set.addresses[0], f"{len(BODY):,} bytes", small_set.checksum.split(":")[1],
                 str(tmp_path / "data" / "ChestXRay2017.zip"), "cxrkit data get chestxray2017 --from FILE"):
        assert part in message
    (tmp_path / "data" / "ChestXRay2017.zip").write_bytes(BODY)  # placed by hand, as told
    assert fetch("chestxray2017", mirrors=["http://127.0.0.1:9/x"]).read_bytes() == BODY


def closed_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_school_names_its_own_mirror(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CXRKIT_MIRROR_CHESTXRAY2017", f"{server.url('404')} {server.url('')}")
    assert fetch("chestxray2017", progress=False).read_bytes() == BODY
    assert [path for path, _ in server.requests] == ["/404", "/ChestXRay2017.zip"]
    monkeypatch.setenv("CXRKIT_MIRROR_CHESTXRAY2017", "ftp://school/films.zip")
    with pytest.raises(CxrkitError, match="CXRKIT_MIRROR_CHESTXRAY2017 .*no http"):
        fetch("chestxray2017", force=True)


# ---- two processes, a killed process, a full disk -------------------------------------------------------------------

FETCH = """
import json, sys
from cxrkit.data import download
from cxrkit.errors import CxrkitError
answer = json.loads(sys.argv[1])
if answer.get("most"):
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (answer["most"], answer["most"]))
row = download.Published("ChestXRay2017.zip", ("http://127.0.0.1:9/",), answer["bytes"], answer["checksum"])
download.REGISTRY["chestxray2017", None] = row
try:
    print(download.fetch("chestxray2017", mirrors=[answer["url"]], progress=False))
except CxrkitError as error:
    sys.exit(str(error))
"""


def fetching(server, behaviour, small_set, known_size=True, most=None):
    """Start a process that fetches."""
    order = {"url": server.url(behaviour), "bytes": small_set.bytes if known_size else None, "checksum": small_set.checksum}
    return subprocess.Popen([sys.executable, "-c", FETCH, json.dumps(order | {"most": most})],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_fetch_once(server, tmp_path, small_set):
    first = fetching(server, "blocks", small_set)
    assert server.halfway.wait(60)
    second = fetching(server, "blocks", small_set)
    assert "Another process fetches ChestXRay2017.zip; waiting" in second.stderr.readline()
    server.go_on.set()
    answers = [process.communicate()[0] for process in (first, second)]
    assert answers == [f"{tmp_path / 'data' / 'ChestXRay2017.zip'}\n"] * 2
    assert len(server.requests) == 1 and not leftovers(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_killed_process_is_taken_up(server, tmp_path, small_set):
    process = fetching(server, "blocks", small_set)
    assert server.halfway.wait(60)
    part = tmp_path / "data" / ".partial" / "ChestXRay2017.zip" / "ChestXRay2017.zip.part"
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
    process.kill()
    process.communicate()
    had = part.stat().st_size
    assert not (tmp_path / "data" / "ChestXRay2017.zip").exists()
    assert get(server, "good").read_bytes() == BODY
    assert server.requests[-1] == ("/good", f"bytes={had}-") and not leftovers(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("known_size", [True, False])
def test_a_write_that_fails_is_one_clear_line(server, tmp_path, small_set, known_size):
    process = fetching(server, "good", small_set, known_size, most=300_000)  # like a quota: the write itself fails
    _, message = process.communicate()
    assert process.returncode == 1 and "Traceback" not in message
    assert re.search(r"No room for ChestXRay2017.zip.part in .*: 600,000 more bytes are needed, [\d,]+ are free\.\nMake", message)
    assert not (tmp_path / "data" / "ChestXRay2017.zip").exists()
    assert get(server, "good").read_bytes() == BODY and server.requests[-1][1] == "bytes=300000-"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 KiB."""
    folder = tmp_path / "data"
    folder.mkdir()
    made = os.name == "posix" and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True).returncode == 0
    if not made:
        pytest.skip("a small file system can be mounted by root on Linux only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("told_by", ["registry", "server", "nobody"])
def test_a_full_disk_is_one_clear_line(server, small_disk, small_set, monkeypatch, told_by):
    if told_by != "registry":
        row = Published("ChestXRay2017.zip", (), None, small_set.checksum)
        monkeypatch.setitem(download.REGISTRY, ("chestxray2017", None), row)
    with pytest.raises(CxrkitError, match=r"No room for ChestXRay2017.zip.* more bytes are needed, [\d,]+ are free") as caught:
        get(server, "good-no-length" if told_by == "nobody" else "good")
    assert "CXRKIT_DATA" in str(caught.value) and len(str(caught.value).splitlines()) == 2
    assert not (small_disk / "ChestXRay2017.zip").exists()
    if told_by != "nobody":  # then the disk fills while the bytes arrive
        assert len(server.requests) == (told_by == "server")
        assert f"{len(BODY):,} more bytes" in str(caught.value)


# ---- what is already on this disk -----------------------------------------------------------------------------------

def test_a_file_that_is_already_there(tmp_path, small_set):
    (tmp_path / "own.zip").write_bytes(BODY)
    path = fetch("chestxray2017", from_path=tmp_path / "own.zip")
    assert path == tmp_path / "data" / "ChestXRay2017.zip" and path.read_bytes() == BODY and not leftovers(tmp_path)
    (tmp_path / "own.zip").write_bytes(BODY[:-1] + b"?")
    with pytest.raises(CxrkitError, match="own.zip is not the published ChestXRay2017.zip.*--data .*own.zip"):
        fetch("chestxray2017", from_path=tmp_path / "own.zip")
    assert path.read_bytes() == BODY
    with pytest.raises(CxrkitError, match="gone.zip does not exist"):
        fetch("chestxray2017", from_path=tmp_path / "gone.zip")


def test_a_folder_that_is_already_there(tmp_path):
    folder = write_folder(tmp_path / "own" / "films")
    path = fetch("chestxray2017", from_path=folder, progress=False)
    assert path == tmp_path / "data" / "chest_xray" == locate.real_images() and path.resolve() == folder
    assert len(load_dataset(configure("laptop", stored_size=32, image_size=32, val_fraction=0.25))) == 24
    assert fetch("chestxray2017", from_path=folder) == path
    other = write_folder(tmp_path / "other", film_files() | {"train/NORMAL/IM-0117-0001.jpeg": b""})
    with pytest.warns(UserWarning, match="1 of its films cannot be used .*IM-0117-0001.jpeg is empty.*--skip-bad"):
        assert fetch("chestxray2017", from_path=other, progress=False).resolve() == other
    with pytest.raises(CxrkitError, match="No films found in"):
        fetch("chestxray2017", from_path=tmp_path / "data" / ".partial", progress=False)


def test_a_folder_is_copied_where_links_are_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no right to make links")

    monkeypatch.setattr(os, "symlink", refuse)
    folder = write_folder(tmp_path / "own")
    path = fetch("chestxray2017", from_path=folder, progress=False)
    assert not path.is_symlink() and len(list(path.rglob("*.jpeg"))) == 24
    with pytest.raises(CxrkitError, match="is there already. Remove it first"):
        fetch("chestxray2017", from_path=write_folder(tmp_path / "other"), progress=False)


def test_an_npz_tells_its_size_by_its_checksum(tmp_path, monkeypatch):
    np.savez(tmp_path / "films.npz", **npz_arrays())
    digest = hashlib.md5((tmp_path / "films.npz").read_bytes()).hexdigest()
    monkeypatch.setitem(download.REGISTRY, ("pneumoniamnist", 64), Published("pneumoniamnist_64.npz", (), None, f"md5:{digest}"))
    assert fetch("pneumoniamnist", from_path=tmp_path / "films.npz").name == "pneumoniamnist_64.npz"
    with pytest.raises(CxrkitError, match="is not the published pneumoniamnist.npz: its md5 is not 28209eda"):
        fetch("pneumoniamnist", size=28, from_path=tmp_path / "films.npz")


@pytest.mark.parametrize("name, size, words", [
    ("chestxray", None, "Did you mean 'chestxray2017'"), ("pneumoniamnist", 96, "28, 64, 128, 224 pixels, not 96"),
    ("chestxray2017", 224, "leave --size out"),
])
def test_names_and_sizes_that_do_not_exist(name, size, words):
    with pytest.raises(CxrkitError, match=words):
        published(name, size)


def test_the_catalogue_says_what_is_there(server, tmp_path):
    get(server, "good")
    rows = {(row["name"], row["size"]): row["present"] for row in catalogue()}
    assert rows == {("chestxray2017", None): True} | {("pneumoniamnist", size): False for size in (28, 64, 128, 224)}


def test_the_registry_is_whole():
    for entry in download.REGISTRY.values():
        algorithm, digest = entry.checksum.split(":")
        assert len(digest) == {"md5": 32, "sha256": 64}[algorithm] and entry.addresses
