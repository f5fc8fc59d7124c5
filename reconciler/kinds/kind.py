"""What a kind of object is: a record of plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from reconciler.kinds.context import Claim, Entry, Names, Noting, Parsed, Reading, Source
from reconciler.kinds.fields import attributes, declared
from reconciler.kinds.grounds import After, Ground, Place, Taking
from reconciler.model.attributes import Table
from reconciler.model.changes import Change, Live
from reconciler.model.data import dataclass
from reconciler.model.keys import Key
from reconciler.model.quoting import Path
from reconciler.model.requests import Request
from reconciler.model.rows import ScopeState

# What tells whose an object is: its own text (a link's alias, a file's first line), our protocol number with the
# topology on record, a record alone, or the name of what holds it.
ALIAS: Final = "alias"
PROTOCOL: Final = "protocol"
RECORD: Final = "record"
NAME: Final = "name"

# Where a change of an object can show: in its own scope, at the other ends of its links too, or anywhere.
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


def _same(plain: Any) -> Any:
    return plain


@dataclass(frozen=True, slots=True)
class Kind:
    """All that the core knows of one kind of object.

    form     the class of its objects
    ends     a scope's document -> what it says of each link of this kind, for what lies on links (addresses)
    parse    a scope's document -> (key, object, origin) of each object of this kind in it
    imply    all desired objects -> more of this kind that follow from them
    check    a desired object and the names -> what is wrong with its references, as (subpath, message)
    read     a namespace as it was read -> (key, held) of each live object of this kind
    settle   (wanted, live) -> wanted, with what follows from the kernel alone filled in; None: all is written
    release  live object on record that is not desired any more -> it as it was before us
    mask     (wanted, live) -> live with what wanted does not manage blanked out
    needs    the keys of the objects that must be there first
    create   (object, owner) -> requests;  update (before, after, owner);  delete (object)
    adopt    (live object, desired object, owner) -> requests that only stamp
    stamp    a live object -> what on it tells whose it is, for comparing
    restamp  (live object of a snapshot) -> requests that give it back that stamp
    links    the links that the object makes or configures, as (scope, name)
    lies_on  the links, as (scope, name), that it goes with
    stands_on  what else it goes with (see Ground)
    follows  of a link, what it does together with the link that it lies on: "down", "narrow"
    without  (object, links that vanish as (scope, name)) -> what it is without them: a port without its bridge
    upset    (desired object, changes of this kind by key) -> what these leave of it, though they are not its own
    upsets   (object that is written, links of its scope) -> the keys of others of this kind that may change with it
    shown    object -> its attributes for people and JSON, without what the key says already
    replace_on, disruptive_on   attributes that cannot change in place; that stop traffic when they do
    existing   True for what is configured but never made or removed (a physical link)
    brief    True where attributes are worth telling only when they differ
    harmless   True where a deletion stops no traffic
    restores   True where a deletion writes an earlier value back: it runs in the order of creation

    Facts that the core asks for.  Of a callback that is None there is nothing to tell (see ``kinds.having``).

    In the language and in the kernel:
    section    the keys of a topology that its objects are written under, with a blank between them
    alone    True where no other object of a topology refers to one of these
    rtnl     the kernel's word for the link that it is (IFLA_INFO_KIND)
    dumps    the fields of ScopeState, beside links, whose rows ``read`` looks at
    data, port   the attributes that such a link has, and that its ports have, beside those of all links; a port of
                 None: it has no ports

    Whose it is:
    ownership    ALIAS, PROTOCOL, RECORD or NAME
    shareable    True where several topologies may want the same object; none of them makes or removes it
    record   (key, desired object, noting) -> what goes on record of it, as plain data; None for nothing
    either   (old record, new record) -> the record that is right whichever of the two comes true
    without_others   (record, record of another run's topology) -> what of the first the other does not hold as well
    recall   a record as a file has it -> the record; ValueError or TypeError for what cannot be one
    clashes  claims of one scope -> (a later claim, what is wrong) where two that have different keys take one place

    What happens with a change:
    transaction  NFT where all of one scope changes in one nft transaction, "" elsewhere
    carrier  object -> the key of the object that holds it: the table of an element
    shows    SCOPE, ENDS or EVERYWHERE
    local    change -> whether it shows in its own scope only, although others of the kind show EVERYWHERE
    impossible   (object, names of all that the plan makes) -> why the kernel cannot have it, "" where it can
    edits    object -> the host's own file that it writes into, "" for none
    listed   True where a rollback brings it back as text, with all that is in it: ``text`` of the object
    aside    True where it is read only if a plan may take it along
    changed_rows   (scope before, scope now) -> both with only those rows of this kind at which they differ

    What goes with a change (see planning/consequences.py):
    takes    (changes of this kind, live) -> the grounds that they take away beside their own links
    goes_last    (changes of this kind, live) -> the keys of deletions that come after all that is made
    during   (changes of this kind, live) -> (key of a deletion, sysctl, value) that must hold while it is made
    returns  (object, After) -> whether it can be put back once the plan is carried out
    comes_back   object that the kernel or a daemon made -> whether it comes again by itself
    put_back     (object, whether a link that it lies on is another one by then) -> requests that put it back

    What is there without being made:
    settings     key -> the sysctls of the scope that must be read to know the object
    born_with    (scope, owner) -> (key, live object) of each that a namespace has as soon as it is made
    outlives     True where it stays when its namespace goes (a file)
    partial      live object -> whether a part of it lies in a namespace that was not read

    What it is to packets:
    holds    object -> the link and the IP address that the scope has by it
    connects     object -> the prefix that the kernel routes to a link because of it, and the link
    leads    object -> the route (see kinds/route/) that it is to whoever looks up the way to an address
    ports    object -> those of its links that are ports, each with the name of the bridge
    joins    object -> the two bridges between which it passes frames, as (scope, name); None for none
    spanning     object -> whether it finds rings of bridges and opens them (STP)
    sends    object -> the address or the prefix to or from which it wants packets forwarded
    publishes    True where it sends what comes to its listen and port (of its protocol) to its target and target_port
    captures     (object, address, port) -> whether new TCP connections to them end elsewhere by it
    translates   (object, protocol, address, port) -> the address and port that it sends them to, None for "not mine"

    folded   changes of this kind in a row -> (changes, the line that tells them; "" to tell each by itself)
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
    release: Callable[[Any], Any] | None = None
    mask: Callable[[Any, Any], Any] = declared
    needs: Callable[[Any, Names], Iterable[Key]] = _nothing
    create: Callable[[Any, str], Iterable[Request]] = _nothing
    update: Callable[[Any, Any, str], Iterable[Request]] = _nothing
    delete: Callable[[Any], Iterable[Request]] = _nothing
    adopt: Callable[[Any, Any, str], Iterable[Request]] = _nothing
    stamp: Callable[[Any], Any] = _nothing
    restamp: Callable[[Any], Iterable[Request]] = _nothing
    links: Callable[[Any], Iterable[tuple[str, str]]] = _nothing
    lies_on: Callable[[Any], Iterable[tuple[str, str]]] = _nothing
    stands_on: Callable[[Any], Iterable[Ground]] = _nothing
    follows: Callable[[Any], Iterable[str]] = _nothing
    without: Callable[[Any, frozenset[tuple[str, str]]], Any] = _unchanged
    upset: Callable[[Any, Mapping[Key, Change]], Any] | None = None
    upsets: Callable[[Any, Iterable[str]], Iterable[Key]] = _nothing
    shown: Callable[[Any], Mapping[str, Any]] = attributes
    replace_on: frozenset[str] = frozenset()
    disruptive_on: frozenset[str] = frozenset()
    existing: bool = False
    brief: bool = False
    harmless: bool = False
    restores: bool = False
    takes: Callable[[Sequence[Change], Mapping[Key, Live]], Iterable[Taking]] | None = None
    goes_last: Callable[[Sequence[Change], Mapping[Key, Live]], Iterable[Key]] | None = None
    during: Callable[[Sequence[Change], Mapping[Key, Live]], Iterable[tuple[Key, str, str]]] | None = None
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
    port: Table | None = None
    ownership: Literal["alias", "protocol", "record", "name"] = ALIAS
    shareable: bool = False
    record: Callable[[Key, Any, Noting], Any] | None = None
    either: Callable[[Any, Any], Any] = _last
    without_others: Callable[[Any, Any], Any] | None = None
    recall: Callable[[Any], Any] = _same
    clashes: Callable[[Iterable[Claim]], Iterable[tuple[Claim, str]]] | None = None
    transaction: str = ""
    carrier: Callable[[Any], Key] | None = None
    shows: Literal["scope", "ends", "everywhere"] = SCOPE
    local: Callable[[Change], bool] = _never
    impossible: Callable[[Any, Names], str] | None = None
    edits: Callable[[Any], str] | None = None
    changed_rows: Callable[[ScopeState, ScopeState], tuple[ScopeState, ScopeState]] | None = None
    settings: Callable[[Key], Iterable[str]] | None = None
    born_with: Callable[[str, str], Iterable[tuple[Key, Live]]] | None = None
    outlives: bool = False
    partial: Callable[[Any], bool] | None = None
    holds: Callable[[Any], Place] | None = None
    ports: Callable[[Any], Iterable[tuple[Place, str]]] | None = None
    joins: Callable[[Any], tuple[Place, Place] | None] | None = None
    spanning: Callable[[Any], bool] | None = None
    sends: Callable[[Any], str] | None = None
    publishes: bool = False
    captures: Callable[[Any, str, int], bool] | None = None
    translates: Callable[[Any, str, str, int], tuple[str, int] | None] | None = None
    folded: Callable[[Iterable[Change]], Iterable[tuple[list[Change], str]]] | None = None

    @property
    def makes(self) -> bool:
        """Whether netrecon can make one."""
        return self.create is not _nothing

    @property
    def sections(self) -> tuple[str, ...]:
        """The keys of a topology that its objects are written under."""
        return tuple(self.section.split())

    @property
    def has_ends(self) -> bool:
        """Whether its objects are links that a topology declares, and that others can refer to."""
        return self.ends is not _nothing
