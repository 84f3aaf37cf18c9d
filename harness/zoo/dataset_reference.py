"""What a suite may write after `dataset:`: a name, a function, a path, or settings with one of these."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler, SerializeAsAny, ValidationError
from pydantic_core import CoreSchema

from harness.errors import DataError, unknown
from harness.zoo.data_sources.registry import DATA_SOURCES, DataConfig
from harness.zoo.registry import DATASETS
from harness.zoo.user_code import data_config


def _read(value: Any) -> Any:
    """Return a name or path as it is, and a mapping as the settings of its data source."""
    if isinstance(value, dict):
        return _settings(value)
    if isinstance(value, str) and value not in DATASETS:
        try:
            data_config(value)
        except DataError as error:
            raise ValueError(
                f"{error}; a function is written package.module:function, a file by its path, a folder with /"
            ) from error
    return value


def _settings(value: dict[str, Any]) -> DataConfig:
    keys = [key for key in DATA_SOURCES.names() if key in value]
    if len(keys) != 1:
        raise ValueError(f"takes exactly one of the keys {', '.join(DATA_SOURCES.names())}")
    model = DATA_SOURCES.get(keys[0]).config
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"] if part in value)
        if fault["type"] == "extra_forbidden":
            raise ValueError(unknown("key", place, model.model_fields)) from None
        raise ValueError(f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}") from None


class _Schema:
    """The JSON schema: a text, or the settings of any data source."""

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _: GetJsonSchemaHandler) -> dict[str, Any]:
        settings = [
            {**entry.config.model_json_schema(), "required": [key], "description": entry.summary}
            for key, entry in DATA_SOURCES.items()
        ]
        return {"anyOf": [{"type": "string"}, *settings]}


DatasetReference = Annotated[str | SerializeAsAny[DataConfig], BeforeValidator(_read), _Schema()]
