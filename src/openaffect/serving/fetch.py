"""Media from listed domains only: one resolution, public addresses, checked redirects, a size cap.

The address that was checked is the address that is dialled, so that a name which changes between
check and use gains nothing. Off unless the operator lists domains.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urljoin, urlsplit

from openaffect.errors import MediaError, UsageError

MOST_REDIRECTS = 3
PIECE = 1 << 16  # bytes read at once
CONNECT_SECONDS = 10.0
PORTS = {"http": 80, "https": 443}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: Address) -> bool:
    """Whether an address is an ordinary one of the public network."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            return False
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


class Fetcher:
    """Fetches media for the service.

    Args:
        domains: names that may be asked, each with its subdomains; none refuses everything.
        most_bytes: of one file.
        seconds: for all of one fetch, redirects included.
        allowed: which addresses may be dialled.
        resolver: from name and port to addresses.
        ports: scheme -> the one port that it may use.
    """

    def __init__(
        self,
        domains: tuple[str, ...],
        most_bytes: int,
        seconds: float = 60.0,
        allowed: Callable[[Address], bool] = is_public,
        resolver: Callable[[str, int], list[Address]] = resolve,
        ports: dict[str, int] | None = None,
    ) -> None:
        self.domains = tuple(domain.lower().strip(".") for domain in domains)
        self.most_bytes = most_bytes
        self.seconds = seconds
        self.allowed = allowed
        self.resolver = resolver
        self.ports = ports or PORTS

    def fetch(self, url: str) -> Iterator[bytes]:
        """The bytes behind an address, piece by piece.

        Raises:
            UsageError: the address is not one that may be fetched.
            MediaError: it cannot be had, or is too large or too slow.
        """
        deadline = time.monotonic() + self.seconds
        for _ in range(MOST_REDIRECTS + 1):
            connection = self._connection(url, deadline)
            try:
                with _ended_at(connection, deadline):
                    response = self._response(connection, url)
                    if response.status in (301, 302, 303, 307, 308):
                        url = urljoin(url, response.headers.get("Location") or "")
                        continue
                    if response.status != 200:
                        raise MediaError(f"the media server answered {response.status}")
                    yield from self._pieces(response, deadline)
                    return
            except (OSError, http.client.HTTPException, ValueError):
                self._check_time(deadline)
                raise MediaError("the media could not be fetched") from None
            finally:
                connection.close()
        raise MediaError(f"the media address redirects more than {MOST_REDIRECTS} times")

    def _connection(self, url: str, deadline: float) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise UsageError("the media address is not valid") from None
        host = (parts.hostname or "").lower().rstrip(".")
        if parts.scheme not in self.ports or not host or parts.username or parts.password:
            raise UsageError("media addresses must be http or https, without a user name")
        if port not in (None, self.ports[parts.scheme]):
            raise UsageError("media addresses must use the usual port")
        if not any(host == domain or host.endswith("." + domain) for domain in self.domains):
            raise UsageError("media may not be fetched from this domain; upload the file instead")
        port = self.ports[parts.scheme]
        try:
            addresses = self.resolver(host, port)
        except (OSError, ValueError, UnicodeError):
            raise MediaError("the media server's name has no address") from None
        if not addresses or not all(self.allowed(address) for address in addresses):
            raise UsageError("media may not be fetched from a private address")
        wait = min(max(deadline - time.monotonic(), 0.01), CONNECT_SECONDS)
        try:
            dialled = socket.create_connection((str(addresses[0]), port), timeout=wait)
            if parts.scheme == "https":
                context = ssl.create_default_context()
                dialled = context.wrap_socket(dialled, server_hostname=host)
        except OSError:
            raise MediaError("the media server cannot be reached") from None
        connection = http.client.HTTPConnection(host, port, timeout=wait)
        connection.sock = dialled
        return connection

    def _response(
        self, connection: http.client.HTTPConnection, url: str
    ) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Accept": "video/*, audio/*, image/*", "Accept-Encoding": "identity"}
        connection.request("GET", target, headers=headers)
        return connection.getresponse()

    def _pieces(self, response: http.client.HTTPResponse, deadline: float) -> Iterator[bytes]:
        declared = response.headers.get("Content-Length", "")
        if declared.isdigit() and int(declared) > self.most_bytes:
            raise MediaError(f"the media is larger than {self.most_bytes} bytes")
        read = 0
        while piece := response.read(PIECE):
            read += len(piece)
            if read > self.most_bytes:
                raise MediaError(f"the media is larger than {self.most_bytes} bytes")
            self._check_time(deadline)
            yield piece
        self._check_time(deadline)
        if declared.isdigit() and read < int(declared):
            raise MediaError("the media server ended before the media did")

    def _check_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise MediaError(f"the media took longer than {self.seconds:.0f} s to arrive")


@contextmanager
def _ended_at(connection: http.client.HTTPConnection, deadline: float) -> Iterator[None]:
    """End the connection at the deadline, even where a byte still drips in now and then."""
    dialled = connection.sock  # a response may take it over from the connection

    def end() -> None:
        with suppress(OSError):
            dialled.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(deadline - time.monotonic(), 0.01), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
