"""``dataclass`` as in the standard library; a class takes half the time to make, an object a quarter.

A frozen object is protected by mypy, which refuses assignments to its fields, and not at run time.  Protection at run
time cost a quarter of a small check (it compiles two methods for each of sixty classes) and a tenth of a large one
(every field is set through ``object.__setattr__``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen=False, slots=False, order=False):
        """The decorator; objects of a frozen class are hashable, as in the standard library."""

        def decorate(form):
            # dataclasses makes a missing docstring from the signature, which takes as long as the rest of the work.
            form.__doc__ = form.__doc__ or form.__name__
            form.__repr__ = _shown
            words = {"repr": False, "match_args": False, "order": order, "slots": slots, "unsafe_hash": frozen}
            return dataclasses.dataclass(**words)(form)

        return decorate

    def _shown(self: Any) -> str:
        pairs = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self) if field.repr)
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


__all__ = ["dataclass"]
