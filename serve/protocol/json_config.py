"""A protobuf message as the JSON of Triton's HTTP server: its own field names, and numbers that are numbers."""

from typing import Any

from google.protobuf import json_format


def config_json(message: Any) -> dict[str, Any]:
    """The message with every field. Protobuf's own JSON writes 64-bit numbers as strings; they become numbers."""
    content: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _numbers(content, message.DESCRIPTOR)


def _numbers(content: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    return {name: _field(value, descriptor.fields_by_name[name]) for name, value in content.items()}


def _field(value: Any, field: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {key: _one(each, kind.fields_by_name["value"]) for key, each in value.items()}
    if isinstance(value, list):
        return [_one(each, field) for each in value]
    return _one(value, field)


def _one(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return _numbers(value, field.message_type)
    if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
        return int(value)
    return value
