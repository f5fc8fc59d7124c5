"""Converts one service of a Compose project to a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.language.compose.words import Left, number, text, words
from reconciler.model.data import dataclass
from reconciler.model.quoting import Path, quoted

DEFAULT = "default"  # the network of the services that name none
BRIDGE = "bridge"  # Docker's own network
_OF_THE_NETWORK = (
    *("networks", "network_mode", "ports", "dns", "dns_search", "dns_opt", "extra_hosts", "links", "external_links"),
    *("mac_address", "sysctls", "container_name", "hostname", "domainname", "scale"),
)
_BESIDE = frozenset((
    *"annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs cpu_count".split(),
    *"cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec".split(),
    *"depends_on develop device_cgroup_rules devices entrypoint env_file environment expose extends gpus".split(),
    *"group_add healthcheck image init ipc isolation label_file labels logging mem_limit mem_reservation".split(),
    *"mem_swappiness memswap_limit models oom_kill_disable oom_score_adj pid pids_limit platform post_start".split(),
    *"pre_stop privileged profiles provider pull_policy pull_refresh_after read_only restart runtime secrets".split(),
    *"security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt tmpfs tty ulimits".split(),
    *"use_api_socket user userns_mode uts volumes volumes_from working_dir".split(),
))  # fmt: skip
_OF_DEPLOY = ("replicas", "mode", "endpoint_mode")
_BESIDE_OF_DEPLOY = ("labels", "placement", "resources", "restart_policy", "rollback_config", "update_config")
# what Docker refuses, or does not do, for a service without a network of its own
_NEEDS_A_NETWORK = ("ports", "mac_address", "links", "external_links")
_NEEDS_A_NAMESPACE = ("dns", "dns_search", "dns_opt", "extra_hosts", "sysctls", "hostname", "domainname")


@dataclass(frozen=True, slots=True)
class Service:
    """A service.

    ``mode`` is "" for networks of its own, else none, host, or lost.  ``holder`` is the service whose sandbox it has:
    its own, or that of network_mode: service:X.  ``networks`` are in the order in which Docker makes their links.
    ``number`` is how many containers it has.
    """

    name: str
    path: Path
    entry: Mapping[str, Any]
    mode: str = ""
    holder: str = ""
    networks: tuple[str, ...] = ()
    number: int = 1

    def of(self, network: str) -> Mapping[str, Any]:
        """What the service says of its endpoint on a network."""
        listed = self.entry.get("networks")
        entry = listed.get(network) if isinstance(listed, dict) else None
        return entry if isinstance(entry, dict) else {}


def service_of(name: str, entry: Mapping[str, Any], left: Left) -> Service:
    path: Path = ("services", name)
    left.keys(path, entry, (*_OF_THE_NETWORK, "deploy"), _BESIDE)
    deploy = entry.get("deploy")
    left.keys((*path, "deploy"), deploy if isinstance(deploy, dict) else {}, _OF_DEPLOY, _BESIDE_OF_DEPLOY)
    mode = text(entry.get("network_mode"), (*path, "network_mode"), left)
    kind, _, other = mode.partition(":")
    count = _number(entry)
    if kind == "service":
        return Service(name, path, entry, "", other, (), count)
    if kind == "container":
        why = f"network_mode {quoted(mode)}: that is no other container of this project; the service is left out"
        left.lost((*path, "network_mode"), why)
        return Service(name, path, entry, "lost", name, (), count)
    if mode in ("none", "host"):
        return Service(name, path, entry, mode, name, (), count)
    if mode in (BRIDGE, DEFAULT):
        why = "Docker's own network is one for all projects; taken as a network of this one"
        left.lost((*path, "network_mode"), why)
    listed = entry.get("networks") if not mode else [BRIDGE if mode == DEFAULT else mode]
    joined = words(listed or [DEFAULT], (*path, "networks"), left) if not isinstance(listed, dict) else list(listed)
    service = Service(name, path, entry, "", name, (), count)
    # as Docker does it: by priority, then by name
    order = sorted(dict.fromkeys(joined or [DEFAULT]), key=lambda key: (-number(service.of(key).get("priority")), key))
    return Service(name, path, entry, "", name, tuple(order), count)


def _number(entry: Mapping[str, Any]) -> int:
    deploy = entry.get("deploy")
    replicas = deploy.get("replicas") if isinstance(deploy, dict) and deploy.get("mode") != "global" else None
    given = entry.get("scale") if entry.get("scale") is not None else replicas
    return 1 if given is None else max(number(given), 0)


def without_a_network(service: Service, left: Left) -> None:
    """Note what a service without a network of its own says to no effect."""
    words = _NEEDS_A_NETWORK + (_NEEDS_A_NAMESPACE if service.mode == "host" else ())
    for word in [word for word in words if service.entry.get(word)]:
        if word == "ports":
            left.noted((*service.path, word), f"ports have no effect with network_mode {service.mode}, nor in Docker")
        else:
            left.lost((*service.path, word), f"{word} has no equivalent with network_mode {service.mode}; left out")
