"""Two Compose projects side by side on the real kernel: published ports answer, names lead to the right sandboxes."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from agents import agents, uplink

from reconciler.cli import main

pytestmark = pytest.mark.live

SHOP = """
services:
  web:
    image: x
    ports: ["8001:80", "127.0.0.1:8010:80", {target: 80, published: "8001", protocol: udp}]
    networks: [default, six]
    extra_hosts: ["host.docker.internal:host-gateway"]
    hostname: www
    domainname: shop.example
  db: {image: x, container_name: shopdb, networks: {back: {ipv4_address: 172.28.0.9}}}
  app: {image: x, networks: [back, default], links: ["db:database"]}
  first: {image: x, networks: [back]}
  local: {image: x, networks: [lo], ports: ["8003:80"]}
  vpn: {image: x, ports: ["8004:80"]}
  beside: {image: x, network_mode: "service:vpn"}
  farm: {image: x, scale: 2, ports: ["8020-8021:80"]}
networks:
  lo: {driver_opts: {com.docker.network.bridge.host_binding_ipv4: 127.0.0.1}}
  six: {enable_ipv6: true, ipam: {config: [{subnet: "fd00:77::/64"}]}}
  back: {ipam: {config: [{subnet: 172.28.0.0/24, aux_addresses: {a: 172.28.0.2, b: 172.28.0.3}}]}}
"""
BLOG = "services: {web: {image: x, ports: ['8002:80']}, db: {image: x}}\n"
# from, protocol, address, port -> who answers; "-": nobody does
REACHES = """
lan tcp 192.0.2.1 8001 shop-web
lan udp 192.0.2.1 8001 shop-web
lan tcp 2001:db8::1 8001 shop-web
lan tcp 192.0.2.1 8002 blog-web
lan tcp 192.0.2.1 8004 shop-vpn
lan tcp 192.0.2.1 8020 shop-farm
lan tcp 192.0.2.1 8021 shop-farm-2
lan tcp 192.0.2.1 8003 refused
lan tcp 192.0.2.1 8010 refused
host tcp 127.0.0.1 8003 shop-local
host tcp 127.0.0.1 8010 shop-web
shop-app tcp 172.28.0.9 80 shop-db
blog-web tcp 172.28.0.9 80 -
"""
# sandbox, name -> the sandboxes whose address it is; host: the gateway's; nothing: no address
NAMES = """
shop-app db shop-db
shop-app database shop-db
shop-app shopdb shop-db
shop-app web shop-web
shop-app www shop-web
shop-app shop-web-1 shop-web
shop-app farm shop-farm shop-farm-2
shop-web www.shop.example shop-web
shop-app www.shop.example
shop-web host.docker.internal host
shop-web db
blog-web db blog-db
blog-db web blog-web
"""


def netrecon(*arguments: str) -> int:
    return main.main(list(arguments))


def imported(folder: pathlib.Path, project: str, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    (folder / project).mkdir()
    (folder / project / "compose.yaml").write_text(text)
    capsys.readouterr()
    assert main.main(["import", "compose", "--strict", str(folder / project / "compose.yaml")]) == 0
    file = folder / f"{project}.yaml"
    file.write_text(capsys.readouterr().out)
    return str(file)


def addresses(namespace: str) -> set[str]:
    inside = [] if namespace == "host" else ["ip", "netns", "exec", namespace]
    command = [*inside, "ip", "-o", "-4", "addr", "show", "scope", "global"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[3].partition("/")[0] for line in lines}


def called(sandbox: str, name: str) -> set[str]:
    """The IPv4 addresses of a name in the hosts file of a sandbox."""
    lines = pathlib.Path(f"/etc/netns/{sandbox}/hosts").read_text().splitlines()
    return {line.split()[0] for line in lines if line.split()[1:] == [name] and ":" not in line.split()[0]}


def test_two_projects_side_by_side(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    uplink()
    shop, blog = imported(tmp_path, "shop", SHOP, capsys), imported(tmp_path, "blog", BLOG, capsys)
    assert netrecon("apply", "-q", shop) == 0, capsys.readouterr()
    assert netrecon("apply", "-q", blog) == 0, capsys.readouterr()
    assert netrecon("check", shop, blog) == 0, capsys.readouterr()
    assert addresses("shop-first") == {"172.28.0.5"}  # .2 and .3 are kept free, app has .4
    assert not pathlib.Path("/run/netns/shop-beside").exists()
    wrong = []
    for line in NAMES.strip().splitlines():
        sandbox, name, *meant = line.split()
        expected = set().union(*(addresses(one) for one in meant))
        found = called(sandbox, name)
        fits = found and found <= expected if meant else not found
        if not fits:
            wrong.append(f"{line}: {found}, not {expected}")
    names = ("lan", "host", *"shop-web shop-db shop-app shop-local shop-vpn shop-farm shop-farm-2 blog-web".split())
    with agents(*names) as running:
        for line in REACHES.strip().splitlines():
            *ask, expected_answer = line.split()
            answer = running.ask(" ".join(ask), patient=expected_answer != "-").split()[0]
            if answer != expected_answer.replace("-", "timeout", 1 if expected_answer == "-" else 0):
                wrong.append(f"{line}: {answer}")
    assert not wrong, "\n".join(wrong)
    assert netrecon("delete", "-q", shop) == 0, capsys.readouterr()
    assert netrecon("check", blog) == 0, capsys.readouterr()
