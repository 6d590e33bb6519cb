"""Checks the way to the PBX: name, certificate, whitelist, clock. Sends no request."""

import socket
import ssl
import time
from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from pipelines.cli.doctor.findings import Note
from pipelines.cli.output import duration_in_words
from pipelines.errors import PbxUnavailable, SettingsError
from pipelines.voipcloud.client import tls_context

TIMEOUT_SECONDS = 10.0
RENEW_WITHIN_SECONDS = 14 * 86_400.0
CLOCK_SKEW_SECONDS = 120.0


def check_name(base_url: str) -> str:
    """Look the host's name up. Raises `SettingsError`."""
    host = urlsplit(base_url).hostname
    is_address = any(address[0] == host for *_, address in _look_up(base_url))
    return f"{host} is {'an address' if is_address else 'a known name'}"


def check_certificate(base_url: str) -> str:
    """Shake hands by TLS as the client does, and hang up. Raises `SettingsError` or `PbxUnavailable`."""
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
            "the name under which a browser opens the PBX's portal without a warning. A firewall that inspects https "
            "shows a certificate of its own; except this host from that."
        ) from None
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError):  # a server of another protocol hangs up
        raise SettingsError(f"{host} does not speak TLS at port {port}. Check host and port in base_url.") from None
    except OSError as error:
        raise PbxUnavailable(
            f"{host} does not answer at port {port} ({type(error).__name__}). Check base_url, and that a firewall lets "
            "this machine out."
        ) from None
    return describe_end(ssl.cert_time_to_seconds(str(certificate["notAfter"])), time.time())


def own_address(base_url: str) -> str:
    """This machine's address on the way to the PBX. A connected UDP socket knows it without sending anything."""
    for family, *_, address in _look_up(base_url):
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            try:
                route.connect(address)
            except OSError:  # no route in this family
                continue
            return describe_address(str(route.getsockname()[0]))
    raise PbxUnavailable("This machine has no route to the PBX's address. Check its network.")


def describe_address(text: str) -> str:
    """What this machine's address means for the PBX's whitelist."""
    address = ip_address(text.partition("%")[0])
    if address.is_loopback:
        return "the PBX is on this machine, so no whitelist applies"
    if address.is_global:
        return f"{address}: the PBX has to have it among its Whitelisted IPs"
    return Note(
        f"{address} is private, so the PBX sees the public address of the router, and has to have that among its "
        "Whitelisted IPs. The router's status page shows it as WAN or Internet address, a cloud machine's console as "
        "public IP. Ask the network's administrator whether it stays the same."
    )


def describe_end(ends: float, now: float) -> str:
    """What a certificate's end (Unix seconds) means."""
    day = f"{datetime.fromtimestamp(ends, UTC):%Y-%m-%d}"
    if ends - now < RENEW_WITHIN_SECONDS:
        return Note(f"valid only until {day}: the PBX's operator has to renew it by then, or loads will fail")
    return f"valid until {day}"


def describe_skew(skew: float | None) -> str:
    """What the PBX's clock less ours (seconds) means. Raises `SettingsError` if they are too far apart."""
    if skew is None:
        return Note("the PBX's answer has no date, so the clocks could not be compared")
    if abs(skew) > CLOCK_SKEW_SECONDS:
        raise SettingsError(
            f"This machine's clock is {duration_in_words(abs(skew))} {'behind' if skew > 0 else 'ahead of'} the PBX's. "
            "Set it, since it decides which days are over: timedatectl set-ntp true."
        )
    return f"within {max(1, abs(round(skew)))} s of the PBX's"


def _look_up(base_url: str) -> list[tuple[int, int, int, str, tuple[str | int, ...]]]:
    parts = urlsplit(base_url)
    try:
        return [*socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)]  # type: ignore[list-item]  # typed for Pythons without IPv6
    except (OSError, UnicodeError):
        raise SettingsError(
            f"The name {parts.hostname} cannot be looked up. Check the spelling of base_url, and that this machine is "
            "on a network with a name server."
        ) from None


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
