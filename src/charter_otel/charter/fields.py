"""The fields of a payload class, by their names in JSON."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from msgspec import inspect

Fields: TypeAlias = dict[str, "Fields | None"]
"""Name of a field → its nested fields, or None if it has none."""


def fields(payload: type[Any]) -> Fields:
    """Return the fields of a payload class.

    Raises:
        TypeError: The class is neither a Struct nor a dataclass, or a field's type has no form in
            JSON.
    """
    found = _inside(inspect.type_info(payload), {})
    if found is None:
        raise TypeError(f"{payload.__qualname__} is neither a msgspec Struct nor a dataclass")
    return found


def has(known: Fields, path: str) -> bool:
    """Return whether a path such as ``customer.name`` leads to a field."""
    name, _, inner = path.partition(".")
    found = known.get(name)
    return name in known and (not inner or (found is not None and has(found, inner)))


def unknown(given: Any, known: Fields | None) -> str | None:
    """Return the path of a given field that the payload class does not have, or None."""
    if known is None:
        return None
    if isinstance(given, list | tuple):
        found = (unknown(item, known) for item in given)
        return next((path for path in found if path), None)
    if not isinstance(given, Mapping):
        return None
    for name, value in given.items():
        if name not in known:
            return str(name)
        if inner := unknown(value, known[name]):
            return f"{name}.{inner}"
    return None


def _inside(kind: inspect.Type, seen: dict[type[Any], Fields]) -> Fields | None:
    match kind:
        case inspect.StructType(array_like=True):
            return None
        case inspect.StructType(cls=cls) | inspect.DataclassType(cls=cls):
            if cls not in seen:
                # Recorded before its fields are read: a class may contain itself.
                seen[cls] = {}
                if tag_field := getattr(kind, "tag_field", None):
                    seen[cls][tag_field] = None
                seen[cls].update(
                    {each.encode_name: _inside(each.type, seen) for each in kind.fields}
                )
            return seen[cls]
        case inspect.Metadata(type=inner) | inspect.CollectionType(item_type=inner):
            return _inside(inner, seen)
        case inspect.UnionType(types=types):
            inside = [found for each in types if (found := _inside(each, seen)) is not None]
            return inside[0] if len(inside) == 1 else None
        case _:
            return None
