"""One resumable HTTP transfer, in the shape that pooch expects of a downloader."""

import os
import shutil
import time
from pathlib import Path

import requests

from ..errors import CxrkitError
from ..progress import Progress

CHUNK = 1 << 16  # bytes; what a cut can lose at most
TIMEOUT = (15, 60)  # seconds to connect, seconds of silence
FRUITLESS = 3  # attempts in a row that bring nothing new before an address is given up
PAUSE = 1.0  # seconds before the second of them, twice that before the third


class MirrorFailed(Exception):
    """An address that does not deliver; the message says why in a few words."""


class ResumingDownloader:
    """Called by pooch as `downloader(url, output_file, pooch)`: fills `part`, goes on where it stopped, then hands it over.

    Parameters
    ----------
    part : the partial file. It stays when a transfer stops half way and the next call goes on from its length.
    size : expected bytes, or None where they are not published.
    title : of the line of progress; None shows none.
    """

    def __init__(self, part: Path, size: int | None, title: str | None):
        self.part, self.size, self.title = Path(part), size, title
        self.bar = None

    def __call__(self, url, output_file, pooch=None):
        fruitless, ever = 0, False
        while True:
            had = self._length()
            try:
                self._attempt(url, had)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                # Cut after some bytes: taken up at once. Silent: a few tries with a pause, but one only where it never answered.
                gained = self._length() > had
                fruitless, ever = 0 if gained else fruitless + 1, ever or gained
                if fruitless >= (FRUITLESS if ever else 1):
                    raise MirrorFailed("keeps breaking the connection" if ever else _in_words(error)) from None
                time.sleep(PAUSE * fruitless)
            except requests.RequestException as error:
                raise MirrorFailed(f"fails ({type(error).__name__})") from None
        os.replace(self.part, output_file)

    def _length(self):
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self, url, had):
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={had}-"} if had else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == 416:  # nothing beyond what we have: it is whole, or it is of another file
                if str(had) != answer.headers.get("Content-Range", "").removeprefix("bytes */"):
                    self.part.unlink()
                    self._attempt(url, 0)
                return
            if answer.status_code not in (200, 206):
                raise MirrorFailed(f"answers {answer.status_code} {answer.reason}")
            resumed = answer.status_code == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {had}-")
            if answer.status_code == 206 and not resumed:
                raise MirrorFailed("answers with another range than it was asked for")
            start = had if resumed else 0  # a server that ignores Range sends the file from its beginning
            length = answer.headers.get("Content-Length")
            total = self.size or (start + int(length) if length else None)
            check_space(self.part.parent, (total or 0) - start, self.part.name)
            self._receive(answer, start, total)
        if total and self._length() != total:
            if self._length() > total:
                self.part.unlink()
                raise MirrorFailed("sends more bytes than the file has")
            raise requests.ConnectionError("the body ended early")

    def _receive(self, answer, start, total):
        if self.bar is None and self.title and total:
            self.bar = Progress(self.title, round(total / 1e6), done=round(start / 1e6))
        done = start
        try:
            with open(self.part, "ab" if start else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if self.bar:
                        self.bar.update(round(done / 1e6), "MB")
        except requests.RequestException:
            raise
        except ConnectionError as error:
            raise requests.ConnectionError(str(error)) from None
        except OSError as error:
            raise disk_full(self.part.parent, (total or done) - self._length(), self.part.name, error) from None
        if self.bar and done == total:
            self.bar.close(f"{done / 1e6:,.0f} MB")


def check_space(folder, need: int, what: str) -> None:
    """Raise a CxrkitError unless `need` bytes are free in `folder`."""
    if need > shutil.disk_usage(folder).free:
        raise disk_full(folder, need, what)


def disk_full(folder, need, what, error=None) -> CxrkitError:
    """Return the error of a disk without room, with the bytes needed and free."""
    free = shutil.disk_usage(folder).free
    why = f" ({error.strerror})" if error is not None and error.strerror else ""
    return CxrkitError(f"No room for {what} in {folder}{why}: {need:,} more bytes are needed, {free:,} are free.\n"
                       "Make room and run the same command again (it goes on where it stopped), or set CXRKIT_DATA elsewhere.")


def _in_words(error):
    if isinstance(error, requests.exceptions.SSLError):
        return "has a certificate that this machine does not trust"
    if isinstance(error, requests.Timeout):
        return "does not answer"
    early = "ended early" in str(error) or "IncompleteRead" in str(error)
    return "sends a body that ends early" if early else "cannot be reached"
