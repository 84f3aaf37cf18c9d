"""The base of everything that a suite can set, and the rule by which two settings are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python


class Config(BaseModel):
    """A frozen group of settings that refuses unknown keys.

    `version` belongs to the class: raise it when a default changes, because `content` leaves defaults out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: ClassVar[int] = 1

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse a field of the class variable's name."""
        if "version" in cls.model_fields:
            raise TypeError(f"{cls.__name__}: `version` is the version of the defaults; rename the field")

    def content(self) -> dict[str, Any]:
        """Return as JSON what identifies these settings: the fields that differ from their defaults.

        A new field with a default changes no content, so that what was measured before keeps its key. The
        class's version is added when it is above 1.
        """
        return changed_fields(self) | ({"version": self.version} if self.version > 1 else {})


def changed_fields(model: BaseModel) -> dict[str, Any]:
    """Return as JSON the fields of `model` that differ from their defaults, also those of nested models."""
    return {
        name: _as_json(value)
        for name, field in type(model).model_fields.items()
        if not _is_default(value := getattr(model, name), field)
    }


def _is_default(value: Any, field: FieldInfo) -> bool:
    """Whether a value equals the field's default; 1 and true are not equal."""
    default = field.get_default(call_default_factory=True) if field.default_factory else field.default
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def _as_json(value: Any) -> Any:
    if isinstance(value, Config):
        return value.content()
    if isinstance(value, BaseModel):
        return changed_fields(value)
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(one) for one in value]
    return to_jsonable_python(value)
