"""Which addresses lead into a private network: the spellings that resolvers know."""

from __future__ import annotations

import pytest

from lemon_ext._address import is_private_host, is_private_ip

PRIVATE = """
127.0.0.1 127.1 127.0.1 0x7f.1 0x7f000001 0X7F.0x1 0177.0.0.1 017700000001 2130706433 0 0.0.0.0 0x0
10.0.0.1 172.16.0.1 192.168.1.1 192.168.1.1. 169.254.169.254 100.64.0.1 198.18.0.1 224.0.0.1 255.255.255.255
[::1] ::1 [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [::ffff:0:127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]
[2001:0:7f00:1::] [fe80::1%25eth0] fe80::1%eth0 [fc00::1] [fec0::1] [ff02::1] [2001:db8::1]
localhost LOCALHOST. a.localhost printer.local router metadata.google.internal nas.lan x.home.arpa localhost.localdomain
\uff11\uff12\uff17.0.0.1 127\u30020\u30020\u30021 \u2460\u2461\u2466.0.0.1 %31%32%37.0.0.1 127.0.0.1%00
256.1.1.1 1.2.3.4.5 08.1.1.1 1..2
"""
PUBLIC = """
8.8.8.8 1.1.1.1 134744072 0x08.8.8.8 [2606:4700::1111] [64:ff9b::808:808] [::ffff:8.8.8.8] [2002:808:808::]
img.example.net cdn.example.org. api.lemondata.cc xn--bcher-kva.example 4chan.org 127.0.0.1.nip.io a.b1 local.example
"""


def test_private_hosts_are_known_in_every_spelling():
    assert [host for host in PRIVATE.split() if not is_private_host(host)] == []
    assert is_private_host("")
    assert [host for host in PUBLIC.split() if is_private_host(host)] == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "no address", ""])
def test_a_resolved_address_is_told_in_the_same_way(address):
    assert is_private_ip(address)
    assert not is_private_ip("8.8.8.8")
    assert not is_private_ip("2606:4700::1111")
