"""What fails blocks only what needs it: plans carried out on a southbound that records and refuses."""

from reconciler.model.changes import Change
from reconciler.model.errors import Failure
from reconciler.model.keys import Key
from reconciler.model.requests import Request, WriteSysctl
from reconciler.planning.apply import apply
from reconciler.planning.plan import Plan, Step


class Recorder:
    """Takes requests as the kernel would, and refuses those named."""

    def __init__(self, refused: set[str], errno: int = 22) -> None:
        self.refused, self.errno = refused, errno
        self.sent: list[str] = []

    def send(self, batch: list[list[Request]]) -> list[Failure | None]:
        return [self._one(entry) for entry in batch]

    def _one(self, entry: list[Request]) -> Failure | None:
        for request in entry:
            assert isinstance(request, WriteSysctl)
            if request.key in self.refused:
                return Failure(self.errno, f"no {request.key}")
            self.sent.append(request.key)
        return None


def key(name: str) -> Key:
    return Key("sysctl", "host", name)


def step(name: str, *needs: str, deleting: bool = False) -> Step:
    change = Change("create", key(name), None, name, (), "none", "t")
    return Step(change, (WriteSysctl("host", name, "1"),), tuple(map(key, needs)), deleting)


def plan(*stages: tuple[Step, ...]) -> Plan:
    return Plan(tuple(step.change for stage in stages for step in stage), stages)


def test_all_goes_well() -> None:
    southbound = Recorder(set())
    outcome = apply(plan((step("a"), step("b")), (step("c", "a"),)), southbound)
    assert [change.key.name for change in outcome.applied] == southbound.sent == ["a", "b", "c"]
    assert not outcome.failed
    assert not outcome.blocked


def test_failure_blocks_what_needs_it_and_nothing_else() -> None:
    southbound = Recorder({"a"})
    outcome = apply(plan((step("a"), step("b")), (step("c", "a"), step("d", "b")), (step("e", "c"),)), southbound)
    assert southbound.sent == ["b", "d"]
    assert outcome.failed[key("a")].failure == Failure(22, "no a")
    assert {k.name: b.waits_for.name for k, b in outcome.blocked.items()} == {"c": "a", "e": "a"}


def test_deleting_what_is_gone_already_is_no_failure() -> None:
    for errno in (2, 3, 19, 99):
        outcome = apply(plan((step("a", deleting=True),)), Recorder({"a"}, errno))
        assert not outcome.failed


def test_creating_is_a_failure_with_the_same_errno() -> None:
    assert apply(plan((step("a"),)), Recorder({"a"}, 19)).failed


def test_second_half_of_a_replace_is_not_sent_when_the_first_failed() -> None:
    southbound = Recorder({"old"})
    change = Change("replace", key("a"), "x", "y", (), "disruptive", "t")
    halves = (
        Step(change, (WriteSysctl("host", "old", ""),), (), True),
        Step(change, (WriteSysctl("host", "new", ""),), ()),
    )
    outcome = apply(Plan((change,), ((halves[0],), (halves[1],))), southbound)
    assert southbound.sent == []
    assert list(outcome.failed) == [key("a")]
    assert outcome.applied == []


def test_progress_counts_steps() -> None:
    seen: list[int] = []
    apply(plan((step("a"), step("b")), (step("c"),)), Recorder(set()), seen.append)
    assert seen == [2, 3]
