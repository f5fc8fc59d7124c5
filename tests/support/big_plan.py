"""Two topologies of one name: from one to the other some sixty objects are made, changed, replaced and deleted."""

from __future__ import annotations

from typing import Any

BEFORE: dict[str, Any] = {
    "version": 1,
    "name": "faults",
    "bridges": {
        "br0": {"addresses": ["10.0.0.1/24", "fd00::1/64"], "mtu": 1450, "ageing_time": 20000},
        "gone0": {"addresses": ["10.5.0.1/24"], "mac": "02:00:00:00:05:01"},
    },
    "veths": {
        "v0": {"master": "br0", "peer": {"namespace": "kept", "name": "eth0", "addresses": ["10.0.0.2/24"]}},
        "v1": {"master": "gone0", "peer": {"namespace": "kept", "name": "eth1", "addresses": ["10.5.0.2/24"]}},
        "v2": {"master": "br0", "peer": {"namespace": "gone", "name": "eth0", "addresses": ["10.0.0.3/24"]}},
        "v3": {"addresses": ["10.6.0.1/24"], "peer": {"name": "p3"}},
    },
    "interfaces": {"lo": {"addresses": ["10.255.0.1/32"]}},
    "routes": [{"to": "10.9.0.0/16", "via": "10.0.0.2"}, {"to": "10.8.0.0/16", "via": "10.5.0.2", "metric": 7}],
    "sysctls": {"net.ipv4.ip_forward": 1},
    "port_maps": ["9091:10.0.0.2:80", "127.0.0.1:9092:10.0.0.2:80/udp", "9000-9019:10.5.0.2:9000-9019"],
    "masquerades": [{"source": "10.0.0.0/24"}, {"source": "10.5.0.0/24"}],
    "isolations": [{"link": "br0"}],
    "hosts": {"web": "10.0.0.2"},
    "namespaces": {
        "kept": {
            "routes": [{"to": "default", "via": "10.0.0.1"}, {"to": "10.77.0.0/16", "via": "10.5.0.1"}],
            "dns": {"nameservers": ["10.0.0.53"]},
        },
        "gone": {"routes": [{"to": "default", "via": "10.0.0.1"}], "port_maps": ["80:10.0.0.9:8080"]},
    },
}
AFTER: dict[str, Any] = {
    "version": 1,
    "name": "faults",
    "bridges": {
        "br0": {"addresses": ["10.0.0.1/24", "10.0.1.1/24"], "mtu": 1400, "ageing_time": 10000},
        "new0": {"addresses": ["10.1.0.1/24", "fd01::1/64"]},
    },
    "veths": {
        "v0": {"master": "new0", "peer": {"namespace": "kept", "name": "eth0", "addresses": ["10.1.0.2/24"]}},
        "v3": {"addresses": ["10.6.0.1/24"], "peer": {"name": "q3", "addresses": ["10.7.0.1/24"]}},
        "v4": {"master": "new0", "peer": {"namespace": "fresh", "name": "eth0", "addresses": ["10.1.0.4/24"]}},
    },
    "interfaces": {"lo": {"addresses": ["10.255.0.2/32"]}},
    "routes": [{"to": "10.9.0.0/16", "via": "10.1.0.2"}, {"to": "10.8.0.0/16", "type": "blackhole"}],
    "sysctls": {"net.ipv4.ip_forward": 0},
    "port_maps": ["9091:10.1.0.2:81", "9095:10.1.0.4:80", "9006:10.1.0.4:9006"],
    "masquerades": [{"source": "10.1.0.0/24"}],
    "isolations": [{"link": "new0"}],
    "hosts": {"web": "10.1.0.2", "api": "10.1.0.4"},
    "namespaces": {
        "kept": {"routes": [{"to": "default", "via": "10.1.0.1"}], "hosts": {"db": "10.1.0.4"}},
        "fresh": {"routes": [{"to": "default", "via": "10.1.0.1"}], "port_maps": ["80:10.1.0.9:8080"]},
    },
}
