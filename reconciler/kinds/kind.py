"""``Kind``: all that the core knows of one kind of object, as plain functions and constants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.kinds.context import Claim, Entry, Names, Noting, Parsed, Reading, Source
from reconciler.kinds.course import Course
from reconciler.kinds.fields import attributes, declared
from reconciler.kinds.grounds import After, Ground, Place, Taking
from reconciler.model.attributes import Table
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass, field
from reconciler.model.keys import Key
from reconciler.model.quoting import Path
from reconciler.model.requests import Request
from reconciler.model.rows import ScopeState

if TYPE_CHECKING:
    from reconciler.kinds.ahead import Ahead
    from reconciler.kinds.around import Around

# What shows the owner of an object: its own text (a link's alias, a file's first line); our protocol number, with the
# topology on record; a record alone; the name of the table that the object is in.
ALIAS: Final = "alias"
PROTOCOL: Final = "protocol"
RECORD: Final = "record"
NAME: Final = "name"

# Where a change of an object can have effects: in its own scope, also at the other ends of its links, or anywhere.
SCOPE: Final = "scope"
ENDS: Final = "ends"
EVERYWHERE: Final = "everywhere"

NFT: Final = "nft"  # all objects of one scope with this transaction change in one nft transaction


def _nothing(*_: Any) -> tuple[()]:
    return ()


def _never(*_: Any) -> bool:
    return False


def _unchanged(live: Any, _links: frozenset[tuple[str, str]]) -> Any:
    return live


def _always(*_: Any) -> bool:
    return True


def _last(_old: Any, new: Any) -> Any:
    return new


def _same(_name: str, plain: Any) -> Any:
    return plain


@dataclass(frozen=True, slots=True)
class Kind:
    """All that the core knows of one kind of object.  Only ``name`` is required.

    Words used below: ``desired`` and ``live`` are objects of the kind, ``owner`` is the name of a topology, ``names``
    is a Names, a link is (scope, name).  ``A -> B`` is a function from A to B.

    From the file to desired objects:
    form     the class of the kind's objects
    schema   the name of the kind's JSON schema under schemas/, "" for none
    section  the sections of a topology that declare such objects, separated by blanks
    ends     Source -> an Entry for each link that the scope declares in this kind's section; addresses are read there
    parse    Source -> (key, object, origin) of each object that the scope declares
    imply    names -> (key, object, origin) of objects that follow from others, or that replace the ones declared
    check    (desired, names) -> (subpath, message) for each reference that is wrong
    alone    True where no other object of a topology can refer to one of these

    From the kernel to live objects:
    read     Reading -> (key, Live) of each live object in the namespace
    rtnl     the kernel's type of the link (IFLA_INFO_KIND), "" for what is no link or has no single type
    dumps    the fields of ScopeState that ``read`` uses, besides the links
    data     the attributes that such a link has besides those of every link
    explains     the attributes that are only read: with them ``read`` knows what the kernel did by itself
    port     the attributes of the ports of such a link; None: it has no ports
    settings     key -> the sysctls of the scope that must be read for the object
    shown_by     ScopeState -> sysctls of the scope that must be read too, because of what it holds
    born_with    (scope, owner) -> (key, Live) of each object that a new namespace has at once
    outlives     True where the object stays when its namespace is deleted (a file)
    partial      live -> whether a part of the object is in a namespace that was not read
    aside    True where the objects are read only for plans that may delete one of them as a consequence

    Comparing:
    settle   (desired, live) -> desired, completed with values that only the kernel knows; None: nothing to complete
    as_made  (desired, object of another topology that makes the link, that topology) -> what it will be when made
    disagreeing  (desired, object of another topology that makes the link) -> the attributes that both set otherwise
    merged   (desired, that of another topology with the same key) -> (one for both, the attributes that differ)
    mask     (desired, live) -> live, with None in each field that desired does not manage
    shown    object -> its attributes for people and JSON, without scope and name
    replace_on       the attributes that cannot change in place: the object is deleted and created again
    disruptive_on    the attributes whose change in place disrupts traffic; for kinds without ``disrupts``
    disrupts (change, Around) -> the traffic that it stops, resets or sends elsewhere, in a few words; "" for none
    early    the attributes that change before the deletions of the plan
    brief    True where a creation or a deletion is shown without the attributes
    changed_rows     (ScopeState before, after) -> both with only those rows of this kind that differ
    features     attribute -> the kernel's configuration option without which it has none; "" for the object itself,
             ":" for one of IPv6
    modules  object -> the kernel modules without which the kernel has no such object, or it has no effect
    impossible   (desired, Names of all objects that the plan makes) -> why the kernel cannot have it, "" where it can
    asks     change -> the (scope, sysctl) pairs that ``refused`` needs to know, where they exist
    refused  (change that creates or updates, Ahead) -> why the kernel will refuse it on this host, "" where it will not
    way_out  desired -> what else the file could say where an object of the kernel or of a daemon has its place
    clashes  Claims of one scope -> (the later Claim, message) where objects with different keys want the same place

    Requests:
    needs    (object, names) -> the keys of the objects that must exist before it; deletions run in the reverse order
    create   (desired, owner) -> requests that make the object and stamp it
    update   (before, after, owner) -> requests that change it in place
    delete   live -> requests that delete it
    adopt    (live, desired, owner) -> requests that only stamp it
    stamp    live -> what on it shows its owner, for comparing
    restamp  (live, live as a snapshot has it) -> requests that set the stamp back to that of the snapshot
    of_owner     (live, topology) -> the object as it would be with another owner; None: its owner is no part of it
    mentions     object -> the links that it names and does not need
    rename   (live, topology, new topology) -> requests that write the new name wherever the object bears the other
    renamed  (key, new topology) -> the key after that, for kinds whose keys have the topology's name
    existing     True for objects that are configured but neither created nor deleted (a physical link)
    harmless     True where an object of others may be lost without a refusal, and a deletion disrupts no traffic
    restores     True where a deletion writes an earlier value back; such deletions run in the order of creation
    loosens      change -> True where it only lets more packets pass: it runs last, when what was kept off has moved
    transaction  NFT where all objects of one scope change in one nft transaction, "" elsewhere
    carrier  object -> the key of the object that it is a part of: the table of an element
    edits    object -> the name of the host's own file that it is a block of, "" for none
    idle     (object, text of that file, whether a block that is not in it is to count too) -> what of the object has
             no effect there, and what to do; "" for nothing
    listed   True where a rollback restores the object from its listing, with all that is in it (``text`` of the object)

    Ownership and records:
    ownership    ALIAS, PROTOCOL, RECORD or NAME: what shows the owner
    shareable    True where several topologies may declare the same object; none of them creates or deletes it
    release  live object on record that is no longer desired -> it as it was before netrecon changed it
    record   (key, desired, Noting) -> the object's record as plain data, None for none
    births   key of a change -> the sysctls to read in a new namespace, because their values there go into the record
    either   (old record, new record) -> a record that is right whether or not the run gets to its end
    without_others   (record, record of a topology outside this run) -> the first, without what the second has too
    recall   (key's name, record as read from its file) -> the record; raises an error if it cannot be one

    Consequences: what the kernel deletes or changes because of a change (see planning/consequences.py):
    links    object -> the links that it makes or configures
    lies_on  object -> the links that it is deleted with
    stands_on    object -> the other Grounds that it needs
    follows  link -> the events of the link below that happen to it too: "down", "narrow"
    without  (live, links that are deleted) -> the object after that: a port without its bridge
    upset    (desired, changes of this kind by key) -> the object as these changes of others leave it
    upsets   (object that is written, names of the links of its scope) -> the keys of this kind that may change with it
    takes    (changes of this kind, live objects) -> the Takings of the changes, except the links that they delete
    goes_last    (changes of this kind, live objects) -> the keys of deletions that must run after all creations
    during   (changes of this kind, live objects) -> (key of a change, sysctl, value to hold while that change runs)
    sets     change -> (sysctl, value) where it writes a setting; None where it does not
    returns  (live, After) -> whether it can be restored after the plan
    comes_back   live object of the kernel or a daemon -> whether it appears again by itself
    put_back     (live, whether a link below it was created again) -> requests that restore it

    Where effects can be (see planning/affected.py):
    shows    SCOPE, ENDS or EVERYWHERE: where a change can have effects
    local    change -> True where it has effects in its own scope only, although ``shows`` is EVERYWHERE

    Packets:
    holds    object -> (link, IP address) that the scope has because of it
    connects     object -> (prefix, link) of the route that the kernel makes for it
    leads    object -> the Route (see kinds/route/form.py) that it is in a route look-up
    ports    object -> (link, name of its bridge) for each of its links that is a port
    joins    object -> the two bridges between which it passes frames; None for none
    spanning     object -> whether it is a bridge that runs STP
    sends    object -> the address or prefix to or from which packets are forwarded because of it
    admits       object -> (link, links that may send to it): to any other link only answers and published ports pass
    confines     object -> the link whose packets go nowhere else because of it, "" for none
    apart    object -> (link, its bridge) for each of its ports that passes no frames to others such
    publishes    True for port maps: objects with protocol, listen, port, target and target_port
    captures     (object, address, port) -> whether it sends new TCP connections to them elsewhere
    cuts     (change, Course of a session) -> why it ends the session or keeps new ones out, "" where it does not
    translates   (object, protocol, address, port) -> the (address, port) that it sends them to, None where it does not

    Output:
    told     (object, whether the file has the object itself, not something that it follows from) -> (a link or a word,
             a few words about it) for each fact that the line of a whole entry of the file shows
    folded   changes of this kind -> (changes, a text for all of them, or "" where each has its own line)
    """

    name: str
    form: type[Any] = object
    schema: str = ""
    ends: Callable[[Source], Iterable[Entry]] = _nothing
    parse: Callable[[Source], Iterable[Parsed]] = _nothing
    imply: Callable[[Names], Iterable[Parsed]] = _nothing
    check: Callable[[Any, Names], Iterable[tuple[Path, str]]] = _nothing
    read: Callable[[Reading], Iterable[tuple[Key, Live]]] = _nothing
    settle: Callable[[Any, Any], Any] | None = None
    as_made: Callable[[Any, Any, str], Any] | None = None
    disagreeing: Callable[[Any, Any], Iterable[str]] | None = None
    merged: Callable[[Any, Any], tuple[Any, Sequence[str]]] | None = None
    release: Callable[[Any], Any] | None = None
    mask: Callable[[Any, Any], Any] = declared
    needs: Callable[[Any, Names], Iterable[Key]] = _nothing
    create: Callable[[Any, str], Iterable[Request]] = _nothing
    update: Callable[[Any, Any, str], Iterable[Request]] = _nothing
    delete: Callable[[Any], Iterable[Request]] = _nothing
    adopt: Callable[[Any, Any, str], Iterable[Request]] = _nothing
    stamp: Callable[[Any], Any] = _nothing
    restamp: Callable[[Any, Any], Iterable[Request]] = _nothing
    of_owner: Callable[[Any, str], Any] | None = None
    mentions: Callable[[Any], Iterable[tuple[str, str]]] = _nothing
    rename: Callable[[Any, str, str], Iterable[Request]] = _nothing
    renamed: Callable[[Key, str], Key] | None = None
    links: Callable[[Any], Iterable[tuple[str, str]]] = _nothing
    lies_on: Callable[[Any], Iterable[tuple[str, str]]] = _nothing
    stands_on: Callable[[Any], Iterable[Ground]] = _nothing
    follows: Callable[[Any], Iterable[str]] = _nothing
    without: Callable[[Any, frozenset[tuple[str, str]]], Any] = _unchanged
    upset: Callable[[Any, Mapping[Key, Change]], Any] | None = None
    upsets: Callable[[Any, Iterable[str]], Iterable[Key]] | None = None
    shown: Callable[[Any], Mapping[str, Any]] = attributes
    replace_on: frozenset[str] = frozenset()
    disruptive_on: frozenset[str] = frozenset()
    disrupts: Callable[[Change, Around], str] | None = None
    early: frozenset[str] = frozenset()
    existing: bool = False
    brief: bool = False
    harmless: bool = False
    restores: bool = False
    takes: Callable[[Sequence[Change], Mapping[Key, Live]], Iterable[Taking]] | None = None
    goes_last: Callable[[Sequence[Change], Mapping[Key, Live]], Iterable[Key]] | None = None
    during: Callable[[Sequence[Change], Mapping[Key, Live]], Iterable[tuple[Key, str, str]]] | None = None
    sets: Callable[[Change], tuple[str, str] | None] | None = None
    returns: Callable[[Any, After], bool] | None = None
    comes_back: Callable[[Any], bool] = _always
    listed: bool = False
    aside: bool = False
    connects: Callable[[Any], tuple[str, str]] | None = None
    leads: Callable[[Any], Any] | None = None
    put_back: Callable[[Any, bool], Iterable[Request]] | None = None
    section: str = ""
    alone: bool = False
    rtnl: str = ""
    dumps: tuple[str, ...] = ()
    data: Table | None = None
    explains: Table | None = None
    port: Table | None = None
    ownership: Literal["alias", "protocol", "record", "name"] = ALIAS
    shareable: bool = False
    record: Callable[[Key, Any, Noting], Any] | None = None
    births: Callable[[Key], Iterable[str]] = _nothing
    either: Callable[[Any, Any], Any] = _last
    without_others: Callable[[Any, Any], Any] | None = None
    recall: Callable[[str, Any], Any] = _same
    clashes: Callable[[Iterable[Claim]], Iterable[tuple[Claim, str]]] | None = None
    loosens: Callable[[Change], bool] | None = None
    transaction: str = ""
    carrier: Callable[[Any], Key] | None = None
    shows: Literal["scope", "ends", "everywhere"] = SCOPE
    local: Callable[[Change], bool] = _never
    features: Mapping[str, str] = field(default_factory=dict)
    modules: Callable[[Any], Iterable[str]] | None = None
    impossible: Callable[[Any, Names], str] | None = None
    asks: Callable[[Change], Iterable[tuple[str, str]]] | None = None
    refused: Callable[[Change, Ahead], str] | None = None
    way_out: Callable[[Any], str] | None = None
    edits: Callable[[Any], str] | None = None
    idle: Callable[[Any, str, bool], tuple[str, str]] | None = None
    changed_rows: Callable[[ScopeState, ScopeState], tuple[ScopeState, ScopeState]] | None = None
    settings: Callable[[Key], Iterable[str]] | None = None
    shown_by: Callable[[ScopeState], Iterable[str]] | None = None
    born_with: Callable[[str, str], Iterable[tuple[Key, Live]]] | None = None
    outlives: bool = False
    partial: Callable[[Any], bool] | None = None
    holds: Callable[[Any], Place] | None = None
    ports: Callable[[Any], Iterable[tuple[Place, str]]] | None = None
    joins: Callable[[Any], tuple[Place, Place] | None] | None = None
    spanning: Callable[[Any], bool] | None = None
    sends: Callable[[Any], str] | None = None
    admits: Callable[[Any], tuple[str, frozenset[str]]] | None = None
    confines: Callable[[Any], str] | None = None
    apart: Callable[[Any], Iterable[tuple[Place, str]]] | None = None
    publishes: bool = False
    captures: Callable[[Any, str, int], bool] | None = None
    cuts: Callable[[Change, Course], str] | None = None
    translates: Callable[[Any, str, str, int], tuple[str, int] | None] | None = None
    told: Callable[[Any, bool], Iterable[tuple[Place | str, str]]] | None = None
    folded: Callable[[Iterable[Change]], Iterable[tuple[list[Change], str]]] | None = None

    @property
    def makes(self) -> bool:
        """Whether netrecon can create such objects."""
        return self.create is not _nothing

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections of a topology in which its objects are declared."""
        return tuple(self.section.split())

    @property
    def has_links(self) -> bool:
        """Whether its objects are links."""
        return self.links is not _nothing

    @property
    def has_ends(self) -> bool:
        """Whether its objects are links that a topology declares and that other objects can refer to."""
        return self.ends is not _nothing
