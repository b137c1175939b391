"""What an attacker does to a program that is found, so that it is found no more: rewritings of its text.

Each form takes a package and the path of the member that was found in it, and gives a package of which the same
program would do the same, or None where it does not fit. The SDK's mutations are among them. Nothing is run, and
nothing of what is rewritten is written to a disk.
"""

from __future__ import annotations

import ast
import base64
import bz2
import io
import keyword
import tokenize
import zlib
from collections.abc import Callable, Iterator, Mapping

from bench.detection.evasion_places import (
    at_startup,
    built,
    configured,
    in_a_data_file,
    polyglot,
    pretending,
    second_wheel,
)
from bench.detection.repacking import Package, source_of

from gatehouse.malware.mutations import MUTATIONS, Mutation
from gatehouse.malware.pages import Example

Form = Callable[[Package, str], Package | None]

_PADDING = 8 * 1024**2 + 500_000
_DECOYS = 60
_LAYERS = 3
_KEY = 87


def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def of_mutation(mutation: Mutation) -> Form:
    """The form that one of the SDK's mutations is."""

    def form(package: Package, path: str) -> Package | None:
        top = package.top
        text = package.text(path)
        others = [
            (other.removeprefix(top), package.text(other) or "")
            for other in package.files
            if other != path and other.endswith(".py")
        ]
        if text is None:
            return None
        example = Example(
            expectation="flagged",
            form="members",
            line=1,
            package="wheel" if package.is_wheel else "sdist",
            members=((path.removeprefix(top), text), *others),
        )
        mutant = mutation.apply(example)
        if mutant is None or mutant.package != example.package:
            return None
        known = {other for other, _ in others}
        return package.with_files(
            {top + place: content.encode() for place, content in mutant.members if place not in known}
        )

    return form


def layered(package: Package, path: str) -> Package | None:
    """The module is text in three layers of compression and base64, each of which runs the next."""
    text = source_of(package, path)
    if text is None:
        return None
    for _ in range(_LAYERS):
        data = base64.b64encode(zlib.compress(text.encode())).decode()
        text = f"import base64, zlib\nexec(zlib.decompress(base64.b64decode({data!r})).decode())\n"
    return package.with_files({path: text.encode()})


def ciphered(package: Package, path: str) -> Package | None:
    """The module is bytes under an exclusive or, put together in parts, and run."""
    text = source_of(package, path)
    if text is None:
        return None
    data = bytes(byte ^ _KEY for byte in bz2.compress(text.encode())).hex()
    pieces = [data[start : start + 64] for start in range(0, len(data), 64)]
    code = f"""import bz2
parts = {pieces!r}
key = {_KEY}
whole = bytes.fromhex("".join(parts))
exec(compile(bz2.decompress(bytes(b ^ key for b in whole)).decode(), "part", "exec"))
"""
    return package.with_files({path: code.encode()})


def in_a_literal(package: Package, path: str) -> Package | None:
    """The module is one text, turned around, that is run."""
    text = source_of(package, path)
    return None if text is None else package.with_files({path: f"exec({text[::-1]!r}[::-1])\n".encode()})


def too_long(package: Package, path: str) -> Package | None:
    """Megabytes of comments push the module over the limit of what is read of one member."""
    text = source_of(package, path)
    if text is None:
        return None
    line = b"# " + b"".join(f"{number:06d} ".encode() for number in range(20))
    padding = b"\n".join([line] * (_PADDING // len(line)))
    return package.with_files({path: text.encode() + b"\n" + padding + b"\n"})


def long_lines(package: Package, path: str) -> Package | None:
    """A table of thirty thousand numbers stands before the program, in one line."""
    text = source_of(package, path)
    if text is None:
        return None
    table = "TABLE = [" + ", ".join(str(number) for number in range(30_000)) + "]\n"
    return package.with_files({path: (table + text).encode()})


def deep(package: Package, path: str) -> Package | None:
    """An expression that nests deeper than parsers go stands behind the program."""
    text = source_of(package, path)
    if text is None:
        return None
    return package.with_files(
        {path: f"{text}\nif False:\n    X = {'(' * 150}1{')' * 150}\n    Y = {'-' * 3000}1\n".encode()}
    )


def decoys(package: Package, path: str) -> Package | None:
    """Harmless modules lie around it, each with calls that are looked at."""
    folder = path.rpartition("/")[0]
    folder = f"{folder}/" if folder else ""
    code = "import subprocess\n\n\ndef version():\n    return subprocess.run(['git', 'describe'], check=False)\n"
    return package.with_files({f"{folder}plain_{number}.py": code.encode() for number in range(_DECOYS)})


def quoted(package: Package, path: str) -> Package | None:
    """Texts and comments that look like the ends of others stand around the program."""
    text = source_of(package, path)
    if text is None:
        return None
    head = (
        "# '''  \"\"\" \nNOTE = \"it's ''' here\"\nMORE = 'and \"\"\" there' # '''\n_ = r'''\\''' \"\"\"#\"\"\"\n"
    )
    return package.with_files({path: f"{head}{text}\n# ''' the end of nothing \"\"\"\n".encode()})


def newest(package: Package, path: str) -> Package | None:
    """Syntax of a Python that is newer than the one that reads it follows."""
    text = source_of(package, path)
    if text is None:
        return None
    more = """type Names[T] = list[T]


def named[T](value: T) -> T:
    try:
        return t"{value}"
    except KeyError, ValueError:
        return value
"""
    return package.with_files({path: f"{text}\n\n{more}".encode()})


def newest_first(package: Package, path: str) -> Package | None:
    """The same syntax stands before the program."""
    text = source_of(package, path)
    if text is None or text.lstrip().startswith(("from __future__", '"""', "'''", "#!")):
        return None
    return package.with_files({path: f'type Names[T] = list[T]\nNAME = t"{{__name__}}"\n{text}'.encode()})


def oldest(package: Package, path: str) -> Package | None:
    """Statements of Python 2 stand around the program."""
    text = source_of(package, path)
    if text is None or "f'" in text or 'f"' in text or "async " in text:
        return None
    return package.with_files({path: f"{text}\nprint 'done'\nexec 'x = 1' in {{}}\nprint >>None, `x`\n".encode()})


class _Indirect(ast.NodeTransformer):
    """Functions that run code are asked for by names that are put together."""

    changed = False

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in {"exec", "eval", "compile", "__import__", "open"}:
            self.changed = True
            name = node.func.id
            node.func = ast.parse(f"getattr(__builtins__, {name[:2]!r} + {name[2:]!r})", mode="eval").body
        elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            self.changed = True
            asked = node.func.value.id
            node.func = ast.parse(f"getattr({asked}, {node.func.attr[::-1]!r}[::-1])", mode="eval").body
        return node


def indirect(package: Package, path: str) -> Package | None:
    """Functions and methods are asked for by names that are turned around or put together."""
    text = source_of(package, path)
    tree = None if text is None else _tree(text)
    if tree is None:
        return None
    visitor = _Indirect()
    tree = visitor.visit(tree)
    if not visitor.changed:
        return None
    return package.with_files({path: ast.unparse(ast.fix_missing_locations(tree)).encode()})


def by_globals(package: Package, path: str) -> Package | None:
    """Modules come from `__import__` and are used through `globals()`."""
    text = source_of(package, path)
    tree = None if text is None else _tree(text)
    if tree is None:
        return None
    changed = False
    body: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                made = f"globals()[{name!r}] = __import__({alias.name[:2]!r} + {alias.name[2:]!r})"
                if alias.asname and "." in alias.name:
                    made = f"import {alias.name} as {alias.asname}"
                body += ast.parse(made).body
                changed = True
        else:
            body.append(node)
    tree.body = body
    return package.with_files({path: ast.unparse(ast.fix_missing_locations(tree)).encode()}) if changed else None


def _letters(name: str) -> str:
    """A name in letters of mathematics, which Python reads as the plain ones."""
    return "".join(
        chr(0x1D5BA + ord(one) - ord("a"))
        if "a" <= one <= "z"
        else chr(0x1D5A0 + ord(one) - ord("A"))
        if "A" <= one <= "Z"
        else one
        for one in name
    )


def other_letters(package: Package, path: str) -> Package | None:
    """Every name is written in letters that Python reads as the plain ones."""
    text = source_of(package, path)
    if text is None:
        return None
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    lines = text.splitlines(keepends=True)
    for token in reversed(tokens):
        if (
            token.type == tokenize.NAME
            and not keyword.iskeyword(token.string)
            and not keyword.issoftkeyword(token.string)
        ):
            (row, start), (_, end) = token.start, token.end
            lines[row - 1] = lines[row - 1][:start] + _letters(token.string) + lines[row - 1][end:]
    return package.with_files({path: "".join(lines).encode()})


def _rewritten(package: Package, path: str, make: Callable[[str], str | None]) -> Package | None:
    """The module with each text rewritten by an expression in source."""
    text = source_of(package, path)
    tree = None if text is None else _tree(text)
    if tree is None:
        return None
    visitor = _Texts(make)
    tree = visitor.visit(tree)
    if not visitor.changed:
        return None
    return package.with_files({path: ast.unparse(ast.fix_missing_locations(tree)).encode()})


class _Texts(ast.NodeTransformer):
    def __init__(self, make: Callable[[str], str | None]) -> None:
        self._make = make
        self.changed = False

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        made = self._make(node.value) if isinstance(node.value, str) and len(node.value) > 3 else None
        if made is None:
            return node
        self.changed = True
        return ast.parse(made, mode="eval").body

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.match_case:
        node.body = [self.visit(each) for each in node.body]
        return node


def as_numbers(package: Package, path: str) -> Package | None:
    """Every text is joined from the numbers of its characters."""
    return _rewritten(
        package,
        path,
        lambda value: f"''.join(map(chr, {[ord(one) for one in value]!r}))" if len(value) < 5000 else None,
    )


def as_cipher(package: Package, path: str) -> Package | None:
    """Every text is decoded from bytes under an exclusive or, by a comprehension."""

    def make(value: str) -> str | None:
        try:
            data = bytes(byte ^ _KEY for byte in value.encode())
        except UnicodeEncodeError:
            return None
        return f"bytes([b ^ {_KEY} for b in {data!r}]).decode()" if len(data) < 20_000 else None

    return _rewritten(package, path, make)


def as_pieces(package: Package, path: str) -> Package | None:
    """Every text is formatted from pieces in another order."""

    def make(value: str) -> str:
        third = len(value) // 3
        parts = [value[:third], value[third : 2 * third], value[2 * third :]]
        return f"'{{2}}{{0}}{{1}}'.format({parts[1]!r}, {parts[2]!r}, {parts[0]!r})"

    return _rewritten(package, path, make)


def replaced(package: Package, path: str) -> Package | None:
    """Every text is written with junk in it that is taken out."""
    return _rewritten(
        package, path, lambda value: f"{'~^'.join(value)!r}.replace('~^', '')" if len(value) < 5000 else None
    )


def threaded(package: Package, path: str) -> Package | None:
    """The program is a method of a class, run by a thread that its making starts."""
    text = source_of(package, path)
    tree = None if text is None else _tree(text)
    if tree is None or any(
        isinstance(node, (ast.ImportFrom,)) and node.module == "__future__" for node in tree.body
    ):
        return None
    if any(isinstance(node, ast.alias) and node.name == "*" for node in ast.walk(tree)):
        return None
    indented = "\n".join(f"        {line}" if line.strip() else "" for line in ast.unparse(tree).splitlines())
    if '"""' in indented or "'''" in indented:
        return None
    code = f"""import threading


class Worker:
    def work(self):
{indented or "        pass"}

    def __init__(self):
        threading.Timer(2, self.work).start()


Worker()
"""
    return package.with_files({path: code.encode()})


def _more() -> Iterator[tuple[str, Form]]:
    yield from (
        ("layers", layered),
        ("cipher", ciphered),
        ("one-literal", in_a_literal),
        ("data-file", in_a_data_file),
        ("numbers", as_numbers),
        ("ciphered-strings", as_cipher),
        ("pieces", as_pieces),
        ("replaced-junk", replaced),
        ("indirect-calls", indirect),
        ("globals", by_globals),
        ("other-letters", other_letters),
        ("over-the-limit", too_long),
        ("long-line", long_lines),
        ("deep-nesting", deep),
        ("decoys", decoys),
        ("quotes", quoted),
        ("newer-syntax", newest),
        ("newer-syntax-first", newest_first),
        ("python-2-statements", oldest),
        ("thread", threaded),
        ("build-backend", built),
        ("version-attribute", configured),
        ("pth", at_startup),
        ("polyglot", polyglot),
        ("coding-line", pretending),
        ("second-wheel", second_wheel),
    )


#: All forms by name: the SDK's that change text, and these.
FORMS: Mapping[str, Form] = {
    **{
        f"sdk: {name}": of_mutation(each)
        for name, each in MUTATIONS.items()
        if name not in {"second-wheel", "other-archive"}
    },
    **dict(_more()),
}
