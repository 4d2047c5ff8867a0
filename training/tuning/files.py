"""Writes an experiment as a TOML file that `recsys train run` takes."""

from __future__ import annotations

import json
from typing import Any

from training.experiment import Experiment

__all__ = ["experiment_toml"]


def experiment_toml(experiment: Experiment, comment: str) -> str:
    """The file's text: `comment` on top, then what differs from the defaults, without `[tune]`."""
    whole = experiment.model_dump(mode="json", exclude_defaults=True, exclude={"tune"})
    plain = {key: value for key, value in whole.items() if not isinstance(value, dict)}
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for section, values in whole.items():
        if isinstance(values, dict):
            lines += ["", *_table(section, values)]
    return "\n".join(lines) + "\n"


def _table(name: str, values: dict[str, Any]) -> list[str]:
    simple = {key: value for key, value in values.items() if value is not None}
    return [f"[{name}]", *[f"{_key(key)} = {_value(value)}" for key, value in simple.items()]]


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # a JSON string is a TOML basic string, but for the one escape that TOML lacks
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items() if one is not None)
        return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"no TOML for {type(value).__name__}")
