"""``dataclass`` as the standard library's, made in half the time, and its objects in a quarter.

A frozen object is protected by mypy, which refuses to assign to it, and not at run time.  The protection at run time
took a quarter of a small check, to compile it for sixty classes, and a tenth of a large one, to fill the objects
through ``object.__setattr__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen=False, slots=False, order=False):
        """The decorator; a frozen class can be hashed, as in the standard library."""

        def decorate(form):
            # Without a docstring one is made of the signature, which takes as long as all the rest.
            form.__doc__ = form.__doc__ or form.__name__
            form.__repr__ = _shown
            words = {"repr": False, "match_args": False, "order": order, "slots": slots, "unsafe_hash": frozen}
            return dataclasses.dataclass(**words)(form)

        return decorate

    def _shown(self: Any) -> str:
        pairs = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self) if field.repr)
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


__all__ = ["dataclass"]
