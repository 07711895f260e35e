"""Which URLs and addresses a user may have the server call."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from riverrun.outbound.guard import (
    RefusedError,
    Resolve,
    Rules,
    Target,
    UnreachableError,
    addresses_of,
    is_public,
    target_of,
)

STRICT = Rules(("https",), allow_private=False)
LOOSE = Rules(("http", "https"), allow_private=True)


def answering(*addresses: str) -> Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return addresses

    return resolve


def found(*addresses: str, rules: Rules = STRICT) -> list[str]:
    target = target_of("https://hooks.example.com", STRICT)
    return asyncio.run(addresses_of(target, rules, answering(*addresses)))


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://a.example", Target("https", "a.example", 443, "/"), "a.example"),
        ("https://a.example:443/x", Target("https", "a.example", 443, "/x"), "a.example"),
        (
            "HTTPS://A.Example:8443/x/y?q=1&r=%20#part",
            Target("https", "a.example", 8443, "/x/y?q=1&r=%20"),
            "a.example:8443",
        ),
        ("https://[2606:4700::1]:1/", Target("https", "2606:4700::1", 1, "/"), "[2606:4700::1]:1"),
        ("https://192.0.2.1?x", Target("https", "192.0.2.1", 443, "/?x"), "192.0.2.1"),
        ("https://xn--exmple-cua.com", Target("https", "xn--exmple-cua.com", 443, "/"), None),
        ("https://under_score.svc.", Target("https", "under_score.svc.", 443, "/"), None),
    ],
)
def test_a_url_is_taken_apart(url: str, target: Target, authority: str | None):
    assert target_of(url, STRICT) == target
    assert target.authority == (authority or target.host)


@pytest.mark.parametrize(
    "url",
    [
        "",
        " https://a.example",
        "https://a.example/ x",
        "https://a.example\\@127.0.0.1/",
        "https://a.example\t/",
        "https://a.example/\r\nHost: b",
        "https://a.example/\u2028",
        "https://ａ.example/",
        "http://a.example",
        "gopher://a.example",
        "//a.example",
        "a.example",
        "https:a.example",
        "https:///a.example",
        "https://me@a.example",
        "https://me:secret@a.example",
        "https://@a.example",
        "https://:443",
        "https://a.example:0",
        "https://a.example:65536",
        "https://a.example:x",
        "https://[::1",
        "https://[a.example]",
        "https://a..example",
        "https://.a.example",
        "https://a.example..",
        "https://%61.example",
        "https://a,b",
        "https://" + "a" * 64,
        "https://" + ".".join(["a" * 60] * 5),
        "https://a.example/" + "x" * 2048,
    ],
)
def test_what_can_be_read_in_two_ways_is_no_url(url: str):
    with pytest.raises(RefusedError):
        target_of(url, STRICT)


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "1.2.3.4.5",
        "1.2.3",
        "a.example.0x",
        "256.1.1.1",
        "[::ffff:127.0.0.1.]",
    ],
)
@pytest.mark.parametrize("rules", [STRICT, LOOSE])
def test_an_address_is_written_in_one_way(host: str, rules: Rules):
    with pytest.raises(RefusedError):
        target_of(f"https://{host}/", rules)


PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c:0:fffe:80ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_not_everybody_reaches_is_not_public(address: str):
    assert not is_public(ip_address(address))
    with pytest.raises(RefusedError, match="no public address"):
        found(address)
    assert found(address, rules=LOOSE) == [address]


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
    ],
)
def test_what_everybody_reaches_is_public(address: str):
    assert is_public(ip_address(address))
    assert found(address) == [address]


def test_one_private_address_among_several_is_enough():
    with pytest.raises(RefusedError, match=r"resolves to 10\.0\.0\.1"):
        found("8.8.8.8", "10.0.0.1")
    assert found("8.8.8.8", "1.1.1.1", "8.8.8.8") == ["8.8.8.8", "1.1.1.1"]


def test_a_name_without_addresses_is_unreachable():
    with pytest.raises(UnreachableError, match=r"'hooks\.example\.com' cannot be resolved"):
        found()
