"""Programs compared without running them: what mutations may change is undone, and the rest must be the same.

`normal` folds what texts come to, gives imports and functions asked for by name back their own names, and takes a
wrapped module out of its function. `scopes` says which scope each name belongs to, as Python's compiler sees it.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Mapping


def normal(text: str) -> str:
    """The normal form of a module, as a dump of its tree."""
    tree = ast.parse(text)
    tree = _Folded().visit(tree)
    tree = _imports_resolved(tree)
    return ast.dump(_unwrapped(tree), indent=1)


def statements(text: str) -> list[str]:
    """The normal form of a module's statements, in order."""
    return [ast.dump(node) for node in ast.parse(text).body]


def renamed_back(text: str, names: Mapping[str, str]) -> str:
    """A module with names replaced, as a dump of its tree."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.dump(tree)


def new_names(before: str, after: str) -> dict[str, str]:
    """What each name of `after` was in `before`, two modules of the same shape."""
    pairs = zip(_names(before), _names(after), strict=True)
    found: dict[str, str] = {}
    for old, new in pairs:
        assert found.setdefault(new, old) == old, f"{new} stands for {found[new]} and for {old}"
    return found


def scopes(text: str, names: Mapping[str, str] | None = None) -> list[tuple[str, str, bool, bool, bool]]:
    """Every name in every scope: the scope, the name, and whether it is local, global, or of a scope around."""
    found: list[tuple[str, str, bool, bool, bool]] = []

    def visit(table: symtable.SymbolTable, path: str) -> None:
        for symbol in table.get_symbols():
            name = (names or {}).get(symbol.get_name(), symbol.get_name())
            found.append((path, name, symbol.is_local(), symbol.is_global(), symbol.is_free()))
        for number, child in enumerate(table.get_children()):
            visit(child, f"{path}/{number}")

    visit(symtable.symtable(text, "example", "exec"), "")
    return sorted(found)


def _names(text: str) -> list[str]:
    return [node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]


class _Folded(ast.NodeTransformer):
    """Sums of texts, decoded hexadecimal and `getattr` with a text become what they come to."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        left, right = node.left, node.right
        if isinstance(node.op, ast.Add) and isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            if isinstance(left.value, str) and isinstance(right.value, str):
                return ast.Constant(value=left.value + right.value)
            if isinstance(left.value, bytes) and isinstance(right.value, bytes):
                return ast.Constant(value=left.value + right.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="bytes"), attr="fromhex"),
                args=[ast.Constant(value=str(text))],
            ):
                return ast.Constant(value=bytes.fromhex(text))
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=bytes(data)), attr="decode"), args=[]):
                return ast.Constant(value=data.decode())
            case ast.Call(func=ast.Name(id="getattr"), args=[where, ast.Constant(value=str(name))]):
                return ast.Attribute(value=where, attr=name, ctx=ast.Load())
        return node


def _imports_resolved(tree: ast.Module) -> ast.Module:
    """Every use of an import becomes what was imported, whatever the module calls it."""
    names: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if alias.asname is not None:
                    names[alias.asname] = ast.parse(alias.name, mode="eval").body
                    alias.asname = None

    class Resolved(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return names.get(node.id, node)

    resolved: ast.Module = Resolved().visit(tree)
    return resolved


def _unwrapped(tree: ast.Module) -> ast.Module:
    match tree.body:
        case [
            *first,
            ast.FunctionDef(name=name, body=body),
            ast.Expr(value=ast.Call(func=ast.Name(id=called), args=[])),
        ] if name == called and name.startswith("run"):
            inside = [node for node in body if not isinstance(node, ast.Global)]
            return ast.Module(body=[*first, *inside], type_ignores=[])
    return tree
