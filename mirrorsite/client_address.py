"""The client's network address behind a known number of proxies. No Django here."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

#: An address with a port, as some proxies write it; IPv6 in brackets.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[0-9]+)?|([0-9.]+):[0-9]+")


# Called twice for each request: for its record and for the log.
@lru_cache(maxsize=4096)
def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str | None:
    """Return the address of the client, or None if it is unknown.

    Each trusted proxy appends the address of its peer to X-Forwarded-For, so with n
    proxies the client is the n-th entry from the right. Entries further left come from
    the client and are ignored. With fewer than n entries the request has bypassed a
    proxy, and any entry may be the client's own: then the peer's address is returned.

    The zone of an IPv6 address is dropped: it has a meaning on one machine only.
    """
    address = peer
    if trusted_proxies:
        hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
        if len(hops) >= trusted_proxies:
            address = hops[-trusted_proxies]
    if match := _WITH_PORT.fullmatch(address):
        address = match[1] or match[2] or ""
    try:
        return str(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def client_network(address: str | None) -> str:
    """Return the network that counts as one client: an IPv4 address or an IPv6 /64.

    A subscriber is given at least a /64 (RFC 6177), so single IPv6 addresses do not
    identify clients.
    """
    if address is None:
        return "unknown"
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            # `int` drops the zone.
            return str(ipaddress.ip_network((int(parsed), 64), strict=False))
        return str(parsed.ipv4_mapped)
    return str(parsed)
