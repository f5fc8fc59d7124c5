"""Nothing in a topology leads out of what it may speak of: no command, no other file, no path of its own."""

from __future__ import annotations

import pathlib

import pytest

from reconciler.cli import main

REFUSED = {
    "a namespace above the folder": 'namespaces: {"../x": {}}',
    "a namespace with a slash": 'namespaces: {"a/b": {}}',
    "a namespace that is a dot": 'namespaces: {"..": {}}',
    "a namespace of the host's name": "namespaces: {host: {}}",
    "a namespace with a NUL": 'namespaces: {"a\\0b": {}}',
    "a namespace with a newline": 'namespaces: {"a\\n": {}}',
    "a peer's namespace above the folder": 'veths: {v0: {peer: {namespace: "../x", name: e0}}}',
    "a link with a slash": 'bridges: {"../br": {}}',
    "a link that nft would read on": "bridges: {'a\";drop': {}}",
    "a sysctl outside net": "sysctls: {kernel.core_pattern: 1}",
    "a sysctl above net": 'sysctls: {"net/../kernel/core_pattern": 1}',
    "a sysctl with dots and slashes": 'sysctls: {"net.ipv4...kernel/hostname": x}',
    "a sysctl of two lines": 'sysctls: {net.ipv4.ip_forward: "1\\n2"}',
    "a name with a slash": "name: ../../etc/x",
    "a search domain with a newline": 'namespaces: {a: {dns: {search: ["x\\nnameserver 6.6.6.6"]}}}',
    "a host name with a newline": 'hosts: {"db\\n6.6.6.6 bank": 10.0.0.1}',
    "a Python object": "bridges: !!python/object/apply:os.system [touch PLANTED]",
    "an include": "bridges: !include /etc/passwd",
    "a port map with a command": 'port_maps: ["80:10.0.0.2:80; add table x"]',
    "a masquerade with a command": 'masquerades: [{source: "10.0.0.0/24; flush ruleset"}]',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=list(REFUSED))
def test_refused_with_a_line(text: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted = tmp_path / "planted"
    file = tmp_path / "bad.yaml"
    head = "version: 1\n" + ("" if text.startswith("name:") else "name: bad\n")
    file.write_text(head + text.replace("PLANTED", str(planted)) + "\n")
    assert main.main(["validate", str(file)]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"{file}:")
    assert "Traceback" not in message
    assert not [c for c in message if not c.isprintable() and c != "\n"]
    assert not planted.exists()
