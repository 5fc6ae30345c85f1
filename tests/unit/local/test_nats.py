from __future__ import annotations

from bellwether.local.nats import nats_environment


def test_nats_server_collects_garbage_early_unless_the_machine_says_how() -> None:
    assert nats_environment({"PATH": "/bin"}) == {"PATH": "/bin", "GOGC": "15", "GOMEMLIMIT": "28MiB"}
    assert nats_environment({"GOGC": "off", "GOMEMLIMIT": "1GiB"}) == {"GOGC": "off", "GOMEMLIMIT": "1GiB"}
