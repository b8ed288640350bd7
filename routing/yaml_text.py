"""YAML as this product reads and writes it: the YAML 1.2 core schema, bounded.

PyYAML speaks YAML 1.1, in which ``on`` is true, ``1:30`` is ninety and a key given twice is
silently the last one. Reading here follows YAML 1.2 (§10.3.2, core schema) plus ``<<`` merges, and
refuses what a configuration never needs: tags, keys that are not text, duplicate keys, deep
nesting, and aliases that expand beyond :data:`MAX_NODES`. Writing quotes whatever either version
would misread. Leans on PyYAML, on libyaml where it is built in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.constructor import ConstructorError

MAX_DEPTH = 40
MAX_NODES = 4_000_000
"""Nodes of a file with every alias written out (10,000 routes are about 300,000)."""

_TAG = "tag:yaml.org,2002:"
_PLAIN: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
)
_KNOWN_TAGS = frozenset(_TAG + name for name in ("str", "seq", "map", *(p[0] for p in _PLAIN)))

# libyaml builds the tree by recursion in C, where deep nesting ends the process; only its parser
# is used, and the tree is built by PyYAML's composer below.
if TYPE_CHECKING:
    from yaml import SafeDumper as _Writer
    from yaml import SafeLoader as _Reader
else:
    _Reader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    _Writer = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class YamlTextError(ValueError):
    """The text is not YAML, or is YAML that is refused; the message names line and column."""


def load_yaml(text: str) -> Any:
    """The one document in *text* as dicts, lists and scalars; raises :class:`YamlTextError`."""
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise YamlTextError(_describe(error)) from None
    except yaml.YAMLError as error:
        raise YamlTextError(" ".join(str(error).split())) from None


def dump_yaml_text(content: Any) -> str:
    """*content* in block style, keys in the order given, lists of scalars on one line."""
    text: str = yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**30, indent=2
    )
    return text


def _describe(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + ", ".join(part for part in (error.context, error.problem) if part)


class _BoundedComposer(Composer):
    """Builds the node tree while counting depth and nodes, aliases written out."""

    peek_event: Callable[[], Any]
    """The reader's half."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node, refused when the tree is too deep, too large or contains itself."""
        event = self.peek_event()
        if self._depth > MAX_DEPTH:
            raise ComposerError(None, None, f"nested over {MAX_DEPTH} deep", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(parent, index, event)
        self._depth += 1
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        size = self._size(node)
        if size > MAX_NODES:
            raise ComposerError(None, None, "aliases expand too far", node.start_mark)
        self._sizes[id(node)] = size
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping with text keys, each given once; what ``<<`` merges in may be overridden."""
        node = super().compose_mapping_node(anchor)
        _check_keys(node)
        return node

    def _alias(self, parent: Any, index: Any, event: Any) -> Any:
        node = super().compose_node(parent, index)
        if id(node) not in self._sizes:
            problem = f"alias *{event.anchor} contains itself"
            raise ComposerError(None, None, problem, event.start_mark)
        return node

    def _size(self, node: Any) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if isinstance(node, yaml.SequenceNode):
            return 1 + sum(self._sizes[id(item)] for item in node.value)
        return 1 + sum(self._sizes[id(part)] for pair in node.value for part in pair)


class _Loader(_BoundedComposer, _Reader):
    """The core schema over a bounded tree."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def __init__(self, text: str) -> None:
        _Reader.__init__(self, text)
        _BoundedComposer.__init__(self)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """A value; a tag that is not of the core schema is refused."""
        if node.tag not in _KNOWN_TAGS:
            problem = f"tag {node.tag} is not allowed"
            raise ConstructorError(None, None, problem, node.start_mark)
        return super().construct_object(node, deep)


def _check_keys(node: yaml.MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == _TAG + "merge":
            continue
        mark = key.start_mark
        if key.tag != _TAG + "str":
            problem = f"key {_shown(key)} is not text; quote it"
            raise ComposerError(None, None, problem, mark)
        if key.value in seen:
            problem = f"duplicate key {key.value!r}, first given on line {seen[key.value]}"
            raise ComposerError(None, None, problem, mark)
        seen[key.value] = mark.line + 1


def _shown(key: yaml.Node) -> str:
    return repr(key.value) if isinstance(key, yaml.ScalarNode) else "of several values"


def _number(node: yaml.ScalarNode) -> int:
    text = node.value
    prefix, base = text[:2], 10
    if prefix in ("0o", "0x"):
        text, base = text[2:], 8 if prefix == "0o" else 16
    return int(text, base)


def _truth(node: yaml.ScalarNode) -> bool:
    return {"true": True, "false": False}[node.value.lower()]


def _scalar(read: Callable[[yaml.ScalarNode], Any]) -> Callable[[_Loader, yaml.Node], Any]:
    """*read* as a constructor: what it cannot read (``!!int ten``) is an error with its line."""

    def construct(_loader: _Loader, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            try:
                return read(node)
            except (ValueError, KeyError, OverflowError):
                pass
        raise ConstructorError(None, None, f"not a {node.tag[len(_TAG) :]}", node.start_mark)

    return construct


class _Dumper(_Writer):
    """Block style; knows the plain scalars of YAML 1.1 (inherited) and of 1.2."""

    def ignore_aliases(self, data: Any) -> bool:
        """Equal parts are written out: an export has no anchors."""
        return True


def _represent_list(dumper: Any, items: list[Any]) -> yaml.Node:
    flow = all(not isinstance(item, dict | list) for item in items)
    node: yaml.Node = dumper.represent_sequence(_TAG + "seq", items, flow_style=flow)
    return node


def _represent_dict(dumper: Any, content: dict[str, Any]) -> yaml.Node:
    node: yaml.Node = dumper.represent_mapping(_TAG + "map", content.items(), flow_style=False)
    return node


for _name, _pattern, _starts in _PLAIN:
    _compiled = re.compile(f"(?:{_pattern})\\Z")
    _first = [*_starts, ""] if _name == "null" else list(_starts)
    _Loader.add_implicit_resolver(_TAG + _name, _compiled, _first)
    _Dumper.add_implicit_resolver(_TAG + _name, _compiled, _first)
_Loader.add_constructor(_TAG + "int", _scalar(_number))
_Loader.add_constructor(_TAG + "bool", _scalar(_truth))
_Loader.add_constructor(_TAG + "float", _scalar(lambda node: float(node.value)))
_Loader.add_constructor(_TAG + "null", _scalar(lambda _: None))
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(dict, _represent_dict)
