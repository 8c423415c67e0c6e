"""The client's network address behind a known number of proxies. No Django here."""

from __future__ import annotations

import ipaddress


def client_address(peer: str, forwarded_for: str, trusted_proxies: int) -> str | None:
    """Return the address of the client, or None when there is none to be had.

    Each trusted proxy appends the address it was called from to X-Forwarded-For,
    so with n proxies the client is the n-th entry from the right. Whatever stands
    further left was sent by the client itself and is ignored.
    """
    address = peer
    if trusted_proxies:
        hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
        if hops:
            address = hops[-min(trusted_proxies, len(hops))]
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return None


def client_network(address: str | None) -> str:
    """Return what one client can be expected to have: an IPv4 address, an IPv6 /64.

    A subscriber is given a /64 at least (RFC 6177), so single IPv6 addresses tell
    nobody apart.
    """
    if address is None:
        return "unknown"
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            # Without a zone, which only means something on one machine.
            return str(ipaddress.ip_network((int(parsed), 64), strict=False))
        return str(parsed.ipv4_mapped)
    return str(parsed)
