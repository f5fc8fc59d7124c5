#!/usr/bin/env bash
# The main job from start to end, in a throwaway copy of this machine's network.
#
# Private network, mount and process namespaces: nothing of the machine's own network is touched, and
# whatever is started in here ends with it. Each step says what it expects and the demo stops where it fails.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
private=(/run/netns /etc/netns /run/netrecon)
topology=topologies/docker-by-hand.yaml

# ------------------------------------------------------------------ outside: make the copy

enter_copy() {
    ((EUID == 0)) || { echo "demo: needs root, to make network namespaces; run sudo make demo" >&2; exit 1; }
    local denied
    if ! denied=$(unshare --net --mount --pid --fork --mount-proc true 2>&1); then
        echo "demo: this machine does not let root make namespaces ($denied); a container needs --privileged" >&2
        exit 1
    fi
    made=()
    local place
    for place in "${private[@]}"; do
        [[ -d $place ]] || { mkdir "$place"; made+=("$place"); }
    done
    trap '((${#made[@]} == 0)) || rmdir "${made[@]}"' EXIT
    unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc \
        "$here/demo/demo.sh" --inside
}

prepare_copy() {
    local place
    for place in "${private[@]}"; do mount -t tmpfs tmpfs "$place"; done
    mount -t sysfs sysfs /sys
    ip link set lo up
}

# ------------------------------------------------------------------ inside: how a step is told and checked

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' off=$'\e[0m' color=always
else
    bold='' dim='' off='' color=never
fi

netrecon() { # the output is captured, so say what it is captured for
    if [[ $1 == exec ]]; then command netrecon "$@"; else command netrecon "$@" --color "$color"; fi
}

say() { printf '\n%s# %s%s\n' "$dim" "$*" "$off"; }

fail() { printf '\ndemo: FAILED: %s\n' "$*" >&2; exit 1; }

show() { printf '%s$ %s%s\n' "$bold" "$1" "$off"; }

# run COMMAND [EXIT [PATTERN...]]: show it, run it, insist on its exit code and on what its output says
run() {
    local command=$1 want=${2:-0} got=0 output plain pattern
    shift; (($#)) && shift
    show "$command"
    output=$(eval "$command" 2>&1) || got=$?
    [[ -z $output ]] || printf '%s\n' "$output"
    ((got == want)) || fail "exit $got, expected $want: $command"
    plain=$(sed 's/\x1b\[[0-9;]*m//g' <<<"$output")
    for pattern; do
        grep -qE -- "$pattern" <<<"$plain" || fail "no '$pattern' in the output of: $command"
    done
}

background() { # COMMAND LOG
    show "$1 &"
    eval "exec $1" >>"$2" 2>&1 &
}

wait_for() { # COMMAND: until it succeeds, five seconds at most
    local _
    for _ in {1..100}; do
        if eval "$1" >/dev/null 2>&1; then return; fi
        sleep 0.05
    done
    fail "never came true: $1"
}

state_of_host() { # what the machine's copy holds, in a form to compare
    ip -json link | python3 -c 'import json, sys; print(sorted(link["ifname"] for link in json.load(sys.stdin)))'
    ip -brief address | awk '{ $1 = $1; print $1, $3, $4 }' | sort
    ip route show table all type unicast
    nft list tables
    ls /run/netns /etc/netns
    cat /proc/sys/net/ipv4/ip_forward
}

# ------------------------------------------------------------------ the story

another_host() {
    say "A second host, so that there is an outside: 192.0.2.2, on a cable to us, 192.0.2.1."
    run "ip netns add lan"
    run "ip link add uplink type veth peer name eth0 netns lan"
    run "ip address add 192.0.2.1/24 dev uplink"
    run "ip link set uplink up"
    run "ip -n lan address add 192.0.2.2/24 dev eth0"
    run "ip -n lan link set eth0 up"
    run "ip -n lan link set lo up"
}

plan_and_apply() {
    say "What would it change? A plan exits with 2 when there is something to do."
    run "netrecon plan $topology" 2 "bridge test0" "port map tcp/0.0.0.0:9091"
    say "Do it."
    run "netrecon apply $topology"
    say "The kernel has it all: a bridge with our address, a cable into the namespace, a table of ours."
    run "ip -brief address show dev test0" 0 172.16.0.1/24
    run "ip -n test route" 0 "default via 172.16.0.1"
    run "nft list tables" 0 "inet netrecon-docker-by-hand"
}

publish() {
    say "A real web server in the namespace."
    mkdir "$work/www"
    echo "Hello from the namespace test" >"$work/www/index.html"
    background "netrecon exec test -- python3 -m http.server 80 --directory $work/www" "$work/server.log"
    server=$!
    wait_for "ip netns exec test curl -sf http://127.0.0.1/"
    say "Published on port 9091: for another host, ..."
    run "ip netns exec lan curl -sS --max-time 5 http://192.0.2.1:9091/" 0 "Hello from the namespace"
    say "... for this host on 127.0.0.1 and on its own address, ..."
    run "curl -sS --max-time 5 http://127.0.0.1:9091/" 0 "Hello from the namespace"
    run "curl -sS --max-time 5 http://192.0.2.1:9091/" 0 "Hello from the namespace"
    say "... and for the namespace itself, which reaches its own server through the host's port."
    run "netrecon exec test -- curl -sS --max-time 5 http://192.0.2.1:9091/" 0 "Hello from the namespace"
}

masquerade() {
    say "The other way round: the namespace goes out under the host's address. The outside runs a server, ..."
    background "ip netns exec lan python3 -m http.server 8000 --bind 192.0.2.2 --directory $work/www" "$work/lan.log"
    outside=$!
    wait_for "ip netns exec lan curl -sf http://192.0.2.2:8000/"
    : >"$work/lan.log"
    run "netrecon exec test -- curl -sS --max-time 5 http://192.0.2.2:8000/" 0 "Hello from"
    say "... and sees 192.0.2.1 as its client, not 172.16.0.2."
    run "cat $work/lan.log" 0 "^192\.0\.2\.1 .*GET"
    kill "$outside"
}

second_plan() {
    say "Nothing is left to do: the second plan is empty and exits with 0, check is silent."
    run "netrecon plan $topology"
    run "netrecon check $topology"
}

damage_and_repair() {
    say "Somebody breaks something by hand."
    run "ip -n test route del default"
    run "netrecon exec test -- curl -sS --max-time 2 http://192.0.2.2:8000/" 7
    say "check names it, and exits with 2."
    run "netrecon check $topology" 2 "namespace test .*default via 172.16.0.1"
    say "apply repairs that and nothing else."
    run "netrecon apply $topology" 0
    run "netrecon check $topology"
    run "ip netns exec lan curl -sS --max-time 5 http://192.0.2.1:9091/" 0 "Hello from the namespace"
}

delete_all() {
    say "A namespace in which something still runs is not deleted from under it."
    run "netrecon delete $topology" 1 "test"
    kill "$server"
    wait "$server" 2>/dev/null || true
    say "The server is stopped: now all of it goes."
    run "netrecon delete $topology"
    say "Nothing is left of it: the host is as it was before the first plan."
    run "netrecon list"
    run "ip -brief link"
    run "nft list tables"
    run "ls /run/netns"
    state_of_host >"$work/after"
    diff "$work/before" "$work/after" || fail "the host is not as it was"
}

inside() {
    prepare_copy
    cd "$here"
    PATH=$here/.venv/bin:$PATH
    command -v netrecon >/dev/null || fail "no netrecon here: run make demo"
    work=$(mktemp -d)
    trap 'rm -rf "$work"; kill $(jobs -p) 2>/dev/null || true' EXIT
    trap 'exit 130' INT TERM # process 1 of a process namespace has no default for them
    another_host
    state_of_host >"$work/before"
    plan_and_apply
    publish
    masquerade
    second_plan
    damage_and_repair
    delete_all
    printf '\ndemo: all as expected, in %s seconds\n' "$SECONDS"
    printf 'go on with: .venv/bin/netrecon --help, and README.md\n'
}

if [[ ${1:-} == --inside ]]; then inside; else enter_copy; fi
