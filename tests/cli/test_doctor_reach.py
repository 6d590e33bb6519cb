"""`calls doctor` on the way to the PBX: host, certificate, own address, clock."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
import pytest

from pipelines.cli.doctor.findings import Note
from pipelines.cli.doctor.reach import describe_address, describe_end, describe_skew
from pipelines.errors import SettingsError
from pipelines.sandbox.account import Account
from tests.support.findings import examine, failed
from tests.support.messages import KEY
from tests.support.site import Site

MakeSite = Callable[..., Site]
CERTIFICATE = Path(__file__).parent / "localhost.pem"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """A PBX with nothing wrong."""
    return make_site(Account(KEY))


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on loopback that serves one connection; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            connection, _ = listener.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def hang_up(connection: socket.socket) -> None:
    """What a server of another protocol does with a TLS greeting."""
    connection.recv(1)


def shake_hands(connection: socket.socket) -> None:
    """Greet by TLS with a certificate that nobody signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with suppress(OSError):  # the client does not trust it
        context.wrap_socket(connection, server_side=True).close()


def assert_wrong_address(site: Site, address: str, what: str, code: int, words: str) -> None:
    """The check `what` alone failed, with this code and these words, and no request was spent."""
    site.set_setting("base_url", address)
    ended, found = examine(site)
    assert (ended, failed(found)) == (code, {what: code})
    assert words in found[what]["found"]
    assert found["API, key, clock"]["verdict"] == "not tried"
    assert orjson.loads(site.run("budget", "--json").out)["accounts"][0]["used"] == 0
    assert not [arrival for arrival in site.pbx.arrivals if arrival.account == "main"]


def test_a_wrong_address(site: Site) -> None:
    """An unknown name, a closed port, a port without TLS, and a certificate of unknown origin, such as a firewall's,
    are told apart. The key is not sent."""
    assert_wrong_address(site, "https://pbx.invalid", "host", 78, "cannot be looked up")
    assert_wrong_address(site, "https://127.0.0.1:9", "certificate", 69, "does not answer at port 9")
    with server(hang_up) as port:
        assert_wrong_address(site, f"https://127.0.0.1:{port}", "certificate", 78, "does not speak TLS")
    with server(shake_hands) as port:
        assert_wrong_address(site, f"https://localhost:{port}", "certificate", 78, "self-signed certificate")


@pytest.mark.parametrize(("days", "is_noted"), [(13, True), (15, False)])
def test_a_certificate_near_its_end(days: int, is_noted: bool) -> None:
    """It says on which day the certificate ends; in the last two weeks that is a note."""
    found = describe_end(1_800_000_000.0 + days * 86_400, 1_800_000_000.0)
    assert isinstance(found, Note) == is_noted
    assert "until 2027-0" in str(found)


@pytest.mark.parametrize(
    ("address", "is_noted", "words"),
    [
        ("127.0.0.1", False, "on this machine"),
        ("::1", False, "on this machine"),
        ("192.168.1.20", True, "public address of the router"),
        ("100.64.3.4", True, "public address of the router"),  # a provider's own network
        ("fe80::1%eth0", True, "public address of the router"),
        ("8.8.8.8", False, "8.8.8.8: the PBX has to have it"),
    ],
)
def test_the_address_to_allow(address: str, is_noted: bool, words: str) -> None:
    """A public address belongs on the whitelist; for a private one it says which does, and where to find it."""
    found = describe_address(address)
    assert isinstance(found, Note) == is_noted
    assert words in str(found)


@pytest.mark.parametrize(("skew", "words"), [(300.0, "5 minutes behind"), (-300.0, "5 minutes ahead of")])
def test_a_clock_that_differs(skew: float, words: str) -> None:
    """A clock far from the PBX's is a failure that says by how much, and in which direction; a near one is not."""
    with pytest.raises(SettingsError, match=f"This machine's clock is {words} the PBX's"):
        describe_skew(skew)
    assert describe_skew(skew / 3) == "within 100 s of the PBX's"
    assert isinstance(describe_skew(None), Note)
