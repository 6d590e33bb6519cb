"""Whether the PBX can be reached at all, and from which address: name, certificate, whitelist. Sends no request."""

import socket
import ssl
import time
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from pipelines.cli.doctor.findings import Note
from pipelines.errors import PbxUnavailable, SettingsError
from pipelines.voipcloud.client import tls_context

TIMEOUT_SECONDS = 10.0
RENEW_WITHIN_SECONDS = 14 * 86_400.0


def check_name(base_url: str) -> str:
    """Looks the host's name up. Raises `SettingsError`."""
    host = urlsplit(base_url).hostname or ""
    addresses = {str(address[0]) for _, _, _, _, address in _look_up(base_url)}
    return f"{host} is a name that is known" if host not in addresses else f"{host} is an address"


def check_certificate(base_url: str) -> str | Note:
    """A TLS handshake as the client makes it, and nothing more. Raises `SettingsError` or `PbxUnavailable`."""
    parts = urlsplit(base_url)
    if parts.scheme == "http":
        return "none is needed: the PBX is on this machine"
    host, port = parts.hostname or "", _port(parts)
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_SECONDS) as plain,
            tls_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        raise SettingsError(
            f"The certificate of {host} is not trusted: {error.verify_message.rstrip('.')}. Check that base_url has "
            "the name under which the PBX's portal opens without a warning. A firewall that looks into https shows a "
            "certificate of its own; let it leave this host alone."
        ) from None
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError):  # another protocol hangs up
        raise SettingsError(f"{host} does not speak TLS at port {port}. Check host and port in base_url.") from None
    except OSError as error:
        raise PbxUnavailable(
            f"{host} does not answer at port {port} ({type(error).__name__}). Check base_url, and that a firewall lets "
            "this machine out."
        ) from None
    return describe_end(ssl.cert_time_to_seconds(str(certificate["notAfter"])), time.time())


def own_address(base_url: str) -> str | Note:
    """The address that this machine has on the way to the PBX: a connected UDP socket knows it, and sends nothing."""
    for family, _, _, _, address in _look_up(base_url):
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            try:
                route.connect(address)
            except OSError:  # no way there in this family
                continue
            return describe_address(str(route.getsockname()[0]))
    raise PbxUnavailable("This machine has no way to the PBX's address. Check its network.")


def describe_address(text: str) -> str | Note:
    """What an address of this machine's means for the PBX's whitelist."""
    address = ip_address(text.partition("%")[0])
    if address.is_loopback:
        return "the PBX is on this machine: no whitelist stands between"
    if address.is_global:
        return f"{address}: this is what the PBX has to have among its Whitelisted IPs"
    return Note(
        f"{address} is private, so the PBX sees the public address of the router before it, and that is what it has to "
        "have among its Whitelisted IPs. The router's status page shows it as WAN or Internet address, a cloud "
        "machine's console as public IP; whoever runs the network knows whether it stays the same."
    )


def describe_end(ends: float, now: float) -> str | Note:
    """What a certificate's end (Unix seconds) means."""
    day = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    if ends - now < RENEW_WITHIN_SECONDS:
        return Note(f"valid until {day} only: whoever runs the PBX has to renew it by then, or loads will fail")
    return f"valid until {day}"


def _look_up(base_url: str) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    parts = urlsplit(base_url)
    try:
        return [*socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)]  # type: ignore[list-item]  # without IPv6 it could be otherwise
    except (OSError, UnicodeError):
        raise SettingsError(
            f"The name {parts.hostname} cannot be looked up. Check base_url for a slip of the pen, and that this "
            "machine is on a network with a name server."
        ) from None


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
