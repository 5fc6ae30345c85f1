"""What a schema promised to those who wrote a resource, and whether another one still keeps it.

The promise of a schema is kept in `crds/published.json`: of every field its type, bounds, rules and default. A later
schema may add fields, values and room; it may not take any away, because a stored resource that was valid must stay
valid. Nor may a default change: a file that leaves the field out would come to mean something else. EXCEPTIONS lists
what was taken away all the same, each with the decision that says why.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from bellwether.spec.schema import LIST_TYPE, MAP_KEYS, RULES, walk

Summary = dict[str, dict[str, Any]]

_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "minLength", "minItems", "minProperties")
_FIXED = ("type", "format", "pattern", LIST_TYPE, MAP_KEYS)

EXCEPTIONS = {
    ("spec", "self.profile == oldSelf.profile"): "docs/decisions/0046-a-profile-stays.md",
}
"""By the path of a field and the very rule that it got: the decision record."""


def summary(schema: Mapping[str, Any]) -> Summary:
    """Return of every field what a resource can run into."""
    found: Summary = {}
    for path, part in walk(schema):
        entry = {key: part[key] for key in (*_FIXED, *_UPPER, *_LOWER, "enum", "required") if key in part}
        if "default" in part and part["type"] != "object":  # a block's default says its fields' once more
            entry["default"] = part["default"]
        if RULES in part:
            entry["rules"] = sorted(rule["rule"] for rule in part[RULES])
        found[path] = entry
    return found


def text(found: Summary) -> str:
    """Return the summary as JSON with one field a line, so that a change shows as one line."""
    lines = [f"{json.dumps(path)}: {json.dumps(entry, sort_keys=True)}" for path, entry in sorted(found.items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read(content: str) -> Summary:
    """Return a summary from its JSON."""
    found: Summary = json.loads(content)
    return found


def problems(before: Summary, after: Summary) -> list[str]:
    """Return one line for each field that was removed or tightened."""
    lines: list[str] = []
    for path, old in sorted(before.items()):
        name = path or "the resource"
        if path not in after:
            lines.append(f"{name}: was published and would be gone")
            continue
        rules = after[path].get("rules", [])
        spared = [rule for rule in rules if (path, rule) in EXCEPTIONS or _spares(rule, path, before)]
        new = {**after[path], "rules": [rule for rule in rules if rule not in spared]}
        lines.extend(f"{name}: {problem}" for problem in _tightened({**old, "rules": old.get("rules", [])}, new))
    return lines


def _spares(rule: str, path: str, before: Summary) -> bool:
    """Whether a rule refuses nothing but what has a value that the published schema did not have."""
    found = re.match(r"(?:self|oldSelf)((?:\.[A-Za-z]+)+) != '([^']+)' \|\| ", rule)
    if found is None:
        return False
    values = before.get(f"{path}{found[1]}", {}).get("enum")
    return values is not None and found[2] not in values


def _tightened(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = [
        f"{key} was {old.get(key, 'not set')} and would be {new.get(key, 'not set')}"
        for key in _FIXED
        if old.get(key) != new.get(key) and not (key == "pattern" and key not in new)
    ]
    for key in _UPPER:
        if key in new and (key not in old or new[key] < old[key]):
            found.append(f"{key} was {old.get(key, 'not set')} and would be {new[key]}")
    for key in _LOWER:
        if key in new and new[key] > old.get(key, _no_lower_bound(key)):
            found.append(f"{key} was {old.get(key, 'not set')} and would be {new[key]}")
    if "enum" in new:
        gone = [value for value in old.get("enum", []) if value not in new["enum"]]
        if "enum" not in old:
            found.append(f"any value was allowed, now one of {new['enum']}")
        elif gone:
            found.append(f"{', '.join(map(str, gone))} would no longer be allowed")
    if not _same_default(old.get("default"), new.get("default")):
        found.append(f"default was {old.get('default', 'not set')} and would be {new.get('default', 'not set')}")
    added = sorted(set(new.get("required", [])) - set(old.get("required", [])))
    found.extend(f"{name} would be required" for name in added)
    gone_rules = [rule for rule in old.get("rules", []) if rule not in new.get("rules", [])]
    found.extend(
        f"has a new rule: {rule}"
        for rule in new.get("rules", [])
        if rule not in old.get("rules", []) and not any(_allows_more_keys(before, rule) for before in gone_rules)
    )
    return found


def _same_default(old: Any, new: Any) -> bool:
    """Whether a default says the same; its blocks may have got fields that there were not before."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return all(name in new and _same_default(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same_default, old, new))
    return type(old) is type(new) and old == new


def _allows_more_keys(before: str, after: str) -> bool:
    """Whether two rules list the allowed keys of a map, and the later one allows all that the earlier one did."""
    keys = [re.fullmatch(r"self\.all\(key, key in (\[.*\])\)", rule) for rule in (before, after)]
    if keys[0] is None or keys[1] is None:
        return False
    return set(ast.literal_eval(keys[0][1])) <= set(ast.literal_eval(keys[1][1]))


def _no_lower_bound(key: str) -> float:
    return float("-inf") if key == "minimum" else 0
