"""``dataclass`` and ``NamedTuple`` as in the standard library, for classes that are made in a tenth of the time.

The standard library compiles several methods of each class at once, and a small check makes a hundred classes.  Here a
method is compiled when it is called for the first time; most never are.

A frozen object is protected by mypy, which refuses assignments to its fields, and not at run time: that would cost a
tenth of a large check, where every field would be set through ``object.__setattr__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass, field, fields, is_dataclass, replace
    from typing import NamedTuple
else:
    from _collections import _tuplegetter

    _ABSENT = object()  # in place of a default

    # ------------------------------------------------------------------ data classes

    class _Field:
        """A field: its name and type, its default or what makes it, and whether objects are compared by it."""

        __slots__ = ("compare", "default", "default_factory", "name", "type")

        def __init__(self, default=_ABSENT, default_factory=_ABSENT, compare=True):
            self.default, self.default_factory, self.compare = default, default_factory, compare

    def dataclass(*, frozen=False, slots=False, order=False):
        """The decorator; objects of a frozen class are hashable, as in the standard library."""

        def decorate(form):
            own = {name: _own_field(form, name, hint) for name, hint in vars(form).get("__annotations__", {}).items()}
            known = {}
            for base in reversed(form.__mro__[1:]):
                known |= vars(base).get("_data_fields", {})
            form = _remade(form, known | own, own, slots)
            for name, source, names in _methods(form._data_fields.values(), frozen, order):
                if name not in vars(form):
                    _compile_when_called(form, name, source, names)
            if not frozen:
                form.__hash__ = None
            return form

        return decorate

    def field(*, default=_ABSENT, default_factory=_ABSENT, compare=True):
        return _Field(default, default_factory, compare)

    def fields(form):
        """The fields of a data class or of its object, in their order."""
        return tuple(form._data_fields.values())

    def is_dataclass(form):
        return hasattr(form, "_data_fields")

    def replace(value, /, **changes):
        """A copy of an object with other values in some fields."""
        for name in value._data_fields:
            if name not in changes:
                changes[name] = getattr(value, name)
        return value.__class__(**changes)

    def _own_field(form, name, hint):
        default = vars(form).get(name, _ABSENT)
        if type(default).__module__ == "dataclasses":
            raise TypeError(f"{form.__name__}.{name}: import field from reconciler.model.data")
        made = default if isinstance(default, _Field) else _Field(default)
        made.name, made.type = name, hint
        return made

    def _remade(form, known, own, slots):
        """The class with its fields noted; for slots it must be made anew, without the defaults in their places."""
        space = {name: value for name, value in vars(form).items() if name not in (*own, "__dict__", "__weakref__")}
        if slots:
            space["__slots__"] = tuple(name for name in own if not hasattr(form.__base__, name))
        else:
            space |= {name: one.default for name, one in own.items() if one.default is not _ABSENT}
        space = {"__repr__": _shown, **space, "_data_fields": known, "__dataclass_fields__": _StandardFields()}
        return type(form)(form.__name__, form.__bases__, space)

    def _methods(known, frozen, order):
        """The name, the source and the names in the source of each method."""
        given = [(one.name, one.default if one.default_factory is _ABSENT else None) for one in known]
        makers = {f"_make_{one.name}": one.default_factory for one in known if one.default_factory is not _ABSENT}
        parameters, defaults = _parameters(given)
        lines = [f"def __init__(self, {parameters}):"]
        for one in known:
            made = f"_make_{one.name}() if {one.name} is None else " if f"_make_{one.name}" in makers else ""
            lines.append(f" self.{one.name} = {made}{one.name}")
        yield "__init__", "\n".join((*lines, " pass")), defaults | makers
        mine, its = (_tuple(f"{who}.{one.name}" for one in known if one.compare) for who in ("self", "other"))
        same = "other.__class__ is self.__class__"
        yield "__eq__", f"def __eq__(self, other): return {mine} == {its} if {same} else NotImplemented", {}
        if frozen:
            yield "__hash__", f"def __hash__(self): return hash({mine})", {}
        if order:
            yield "__lt__", f"def __lt__(self, other): return {mine} < {its} if {same} else NotImplemented", {}

    def _shown(self):
        pairs = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._data_fields)
        return f"{type(self).__qualname__}({pairs})"

    class _StandardFields:
        """``__dataclass_fields__``, by which the standard library's own functions know the fields of a class."""

        def __get__(self, _object, form):
            import dataclasses

            words = [(one.name, one.type, dataclasses.field(default=None, compare=one.compare)) for one in fields(form)]
            return dataclasses.make_dataclass(form.__name__, words).__dataclass_fields__

    # ------------------------------------------------------------------ named tuples

    class _Naming(type):
        """Makes a named tuple of a class body with annotations."""

        def __new__(cls, name, bases, space):
            names = tuple(space.get("__annotations__", ()))
            defaults = {one: space.pop(one) for one in names if one in space}
            space |= {one: _tuplegetter(place, None) for place, one in enumerate(names)}
            space |= {"__slots__": (), "_fields": names, "_field_defaults": defaults}
            form = super().__new__(cls, name, bases, space)
            if names:
                parameters, given = _parameters([(one, defaults.get(one, _ABSENT)) for one in names])
                source = f"def __new__(cls, {parameters}): return _new(cls, {_tuple(names)})"
                _compile_when_called(form, "__new__", source, {**given, "_new": tuple.__new__})
            return form

    class NamedTuple(tuple, metaclass=_Naming):
        def _replace(self, /, **changes):
            return type(self)(**{**self._asdict(), **changes})

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

        def __getnewargs__(self):
            return tuple(self)

    # ------------------------------------------------------------------ methods

    def _tuple(parts):
        return f"({''.join(f'{part}, ' for part in parts)})"

    def _parameters(given):
        """The text of the parameters, and their defaults by their names in it."""
        text = ", ".join(name if default is _ABSENT else f"{name}=_default_{name}" for name, default in given)
        return text, {f"_default_{name}": default for name, default in given if default is not _ABSENT}

    def _compile_when_called(form, name, source, names):
        """Give a class a method that puts the compiled one into its own place when it is called for the first time."""

        def method(this, /, *arguments, **words):
            exec(source, names)
            made = names[name]
            made.__qualname__ = f"{form.__qualname__}.{name}"
            setattr(form, name, staticmethod(made) if name == "__new__" else made)
            return made(this, *arguments, **words)

        setattr(form, name, staticmethod(method) if name == "__new__" else method)


__all__ = ["NamedTuple", "dataclass", "field", "fields", "is_dataclass", "replace"]
