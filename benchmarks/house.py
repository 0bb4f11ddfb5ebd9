"""Figures of how easy the code is to find one's way in, for any checkout.

    python benchmarks/house.py                                       # this checkout
    git worktree add --detach /tmp/before 663e1ac && python benchmarks/house.py /tmp/before
    python benchmarks/house.py --lists                               # with the names behind the figures

Counted from the source, without importing it:

    lines, files       of the Python files of posterkit/, blank lines and comments included
    Any                how often the word stands in posterkit/
    one importer       files of posterkit/ (no __init__.py, no __main__.py) which exactly one other file imports, of
                       those in posterkit/, train/, data_tools/ and pipelines/; and their lines. An import inside a
                       function or for type checkers counts; "from room import name" is an import of the file that the
                       name is a module of, otherwise of the room's __init__.py and of the file that it takes it from
    classes, file names that recur   in posterkit/; names that begin with _ and __init__.py do not count
    circles            groups of files that import each other, in whatever way and at load time only; the root
                       __init__.py, which names all that is public, apart
    closure            files of posterkit/ that importing train/stage3_reward.py may lead to, __init__.py of rooms
                       included
    family branches    comparisons with the name of a model family and tables keyed by one, and the files they stand in
    whole-file writers calls that rename a finished file into place (os.replace, Path.rename, Path.replace)

Traced while the program runs (a minute; `--no-walk` leaves it out): one `posterkit generate PROMPT -o x.png` by mini,
and the first batch of `train/stage3_reward.py objective=nft` with its mini config and small groups, from the start of
`Run.steps` until that is resumed. Worker processes are not followed. A function counts once, where it is called first;
functions that only run while a file is imported do not count. The sequence of their files is the walk of somebody who
reads the code as it runs:

    files              different files on the walk
    stays              stretches of the walk inside one file
    returns            stays in a file that was visited before: stays - files
    climbs             moves from a stay to a file that imports the one that is left, directly or not
    callbacks          calls from a file into one that imports it, directly or not
    entries            stays per file, the largest first
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOT_INIT = "posterkit/__init__.py"  # names the public surface for type checkers, and imports it when it is used
FAMILIES = {"posteromni", "postercraft", "flux", "qwen"}
PROMPT = 'A jazz concert in a small club at night, titled "BLUE NOTES"'
SMALL = ("rollouts.images=2", "rollouts.draws=1", "rollouts.steps=2", "reward.workers=0")
Graph = dict[str, set[str]]


class House:
    """The sources of a checkout and who imports whom in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        paths = [
            path for folder in ("posterkit", "train", "data_tools", "pipelines") for path in _sources(root / folder)
        ]
        self.texts = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in paths}
        self.trees = {name: ast.parse(text) for name, text in self.texts.items()}
        self.package = sorted(name for name in self.texts if name.startswith("posterkit/"))
        self.all_imports = {
            name: set(self._imports(name, ast.walk(tree))) - {name} for name, tree in self.trees.items()
        }
        self.load_imports = {
            name: set(self._imports(name, _at_load(tree))) - {name} for name, tree in self.trees.items()
        }

    def _imports(self, name: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from filter(None, (self._file(alias.name) for alias in node.names))
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                if node.level:
                    base = Path(name).parts[: -node.level]
                    module = ".".join([*base, *([module] if module else [])])
                for alias in node.names:
                    yield from self._origins(module, alias.name)

    def _origins(self, module: str, name: str) -> Iterator[str]:
        if inner := self._file(f"{module}.{name}"):
            yield inner
        elif file := self._file(module):
            yield file
            if file.endswith("__init__.py"):
                for node in self.trees[file].body:
                    if isinstance(node, ast.ImportFrom) and any(name in (a.asname, a.name) for a in node.names):
                        yield from self._origins(node.module or "", name)

    def _file(self, module: str) -> str | None:
        path = module.replace(".", "/")
        candidates = (f"{path}.py", f"{path}/__init__.py", f"train/{path}.py")
        return next((candidate for candidate in candidates if candidate in self.texts), None)

    def lines(self, names: list[str]) -> int:
        return sum(self.texts[name].count("\n") for name in names)

    def one_importer(self) -> list[str]:
        importers: Graph = defaultdict(set)
        for name, imported in self.all_imports.items():
            for other in imported:
                importers[other].add(name)
        return [n for n in self.package if Path(n).stem not in ("__init__", "__main__") and len(importers[n]) == 1]

    def recurring(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Class names and file names that stand in more than one place, with the places."""
        classes, files = defaultdict(list), defaultdict(list)
        for name in self.package:
            files[Path(name).name].append(name)
            for node in ast.walk(self.trees[name]):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    classes[node.name].append(name)
        files.pop("__init__.py", None)
        return ({key: at for key, at in found.items() if len(at) > 1} for found in (classes, files))  # type: ignore

    def circles(self, graph: Graph) -> list[list[str]]:
        graph = {name: graph[name] - {ROOT_INIT} for name in self.package if name != ROOT_INIT}
        reach = {name: reachable(graph, name) for name in graph}
        groups = {frozenset(o for o in reach[n] if n in reach.get(o, ())) for n in graph if n in reach[n]}
        return sorted(sorted(group) for group in groups)

    def closure(self, recipe: str) -> set[str]:
        graph = {n: set(imported) for n, imported in self.all_imports.items()}
        for name, imported in graph.items():
            parents = {str(p / "__init__.py") for other in {name, *imported} for p in list(Path(other).parents)[:-1]}
            imported |= parents & self.texts.keys()
        return {name for name in reachable(graph, recipe) if name in self.package}

    def family_branches(self) -> Counter[str]:
        """Comparisons with a family's name and tables keyed by one, by file."""
        found: Counter[str] = Counter()
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Compare):
                    sides = [c for side in (node.left, *node.comparators) for c in (side, *getattr(side, "elts", ()))]
                    found[name] += any(_is_family(side) for side in sides)
                elif isinstance(node, ast.Dict):
                    found[name] += any(_is_family(key) for key in node.keys)
        return +found

    def writers(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for name in self.package:
            for node in ast.walk(self.trees[name]):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    bare = not node.keywords and not any(isinstance(arg, ast.Constant) for arg in node.args)
                    wanted = {"rename": 1, "replace": 1 + (ast.unparse(node.func.value) == "os")}
                    found[name] += bare and len(node.args) == wanted.get(node.func.attr)
        return +found


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py")) if folder.is_dir() else []


def _at_load(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when a file is imported: no function bodies, nothing that only a type checker sees."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        yield node
        checkers_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not checkers_only:
            pending.extend(ast.iter_child_nodes(node))


def _is_family(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value in FAMILIES


def reachable(graph: Graph, start: str) -> set[str]:
    """What can be reached from a file; the file itself only by a circle."""
    found: set[str] = set()
    pending = [start]
    while pending:
        for other in graph.get(pending.pop(), ()):
            if other not in found:
                found.add(other)
                pending.append(other)
    return found


class Walk:
    """Records first calls of a checkout's functions, `[file of the caller, file]`, between two moments.

    Args:
        between: qualified name of a generator; recording starts when it starts and ends when it is resumed. None
            records from the beginning to the end.
    """

    def __init__(self, root: Path, between: str | None) -> None:
        self.prefix, self.between = f"{root}{os.sep}", between
        self.on, self.over, self.calls = between is None, False, []
        self._files: dict[int, tuple[CodeType, str | None]] = {}  # by id: code objects are slow to hash
        self._seen: set[int] = set()

    def start(self) -> None:
        threading.setprofile(self._event)
        sys.setprofile(self._event)

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or self.over or not (file := self._file(code)):
            return
        if code.co_qualname == self.between:
            self.over, self.on = self.on, True
        if self.on and not self.over and id(code) not in self._seen and not code.co_name.startswith("<"):
            caller, importing = self._caller(frame.f_back)
            if not importing:
                self._seen.add(id(code))
                self.calls.append([caller, file])

    def _file(self, code: CodeType) -> str | None:
        if id(code) not in self._files:
            name = code.co_filename
            inside = name.startswith(self.prefix) and name.startswith(("posterkit/", "train/"), len(self.prefix))
            self._files[id(code)] = code, name[len(self.prefix) :] if inside else None
        return self._files[id(code)][1]

    def _caller(self, frame: FrameType | None) -> tuple[str | None, bool]:
        """File of the nearest function of the checkout below `frame`; whether a file is being imported."""
        nearest = None
        while frame:
            name = frame.f_code.co_name
            if name == "_call_with_frames_removed":
                return nearest, True
            nearest = nearest or (None if name == "<module>" else self._file(frame.f_code))
            frame = frame.f_back
        return nearest, False


def trace(root: Path, out: Path, between: str | None, program: str, arguments: list[str]) -> None:
    """Run a module's function ("a.b:main") or a file as the main program and write its first calls to `out`."""
    sys.path.insert(0, str(root))
    sys.argv = [program, *arguments]
    walk = Walk(root, between)
    walk.start()
    try:
        if ":" in program:
            module, function = program.split(":")
            getattr(__import__(module, fromlist=[function]), function)()
        else:
            sys.path.insert(0, str((root / program).parent))
            runpy.run_path(str(root / program), run_name="__main__")
    finally:
        out.write_text(json.dumps(walk.calls))


def walk_figures(house: House, calls: list[tuple[str | None, str]]) -> dict[str, Any]:
    path = [file for file, _ in groupby(file for _, file in calls)]
    stays, graph = Counter(path), house.all_imports
    reach = {name: reachable(graph, name) for name in {*path, *(caller for caller, _ in calls if caller)}}

    def upward(a: str | None, b: str) -> bool:
        return bool(a and a in reach[b] and b not in reach[a])

    return {
        "functions": len(calls), "files": len(stays), "stays": len(path), "returns": len(path) - len(stays),
        "climbs": sum(upward(a, b) for a, b in pairwise(path)), "callbacks": sum(upward(a, b) for a, b in calls),
        "entries": dict(stays.most_common()),
    }  # fmt: skip


def walked(house: House, between: str | None, program: str, *arguments: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "calls.json")
        places = [argument.replace("{}", folder) for argument in arguments]
        call = [sys.executable, __file__, str(house.root), "--trace", str(out), between or "", program, *places]
        environment = os.environ | {"PYTHONPATH": str(house.root), "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(call, cwd=house.root, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{program} failed:\n{done.stderr}")
        return walk_figures(house, json.loads(out.read_text()))


def measure(house: House, walk: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures, and what stands behind them."""
    alone, closure = house.one_importer(), house.closure("train/stage3_reward.py")
    classes, files = house.recurring()
    families, writers = house.family_branches(), house.writers()
    circles, at_load = house.circles(house.all_imports), house.circles(house.load_imports)
    figures: dict[str, Any] = {
        "files": len(house.package), "lines": house.lines(house.package),
        "Any": sum(len(re.findall(r"\bAny\b", house.texts[name])) for name in house.package),
        "files with one importer": len(alone), "their lines": house.lines(alone),
        "class names that recur": len(classes), "file names that recur": len(files),
        "circles": len(circles), "circles at load time": len(at_load),
        "closure of stage3_reward": len(closure),
        "family branches": families.total(), "files with family branches": len(families),
        "whole-file writers": writers.total(),
    }  # fmt: skip
    lists = {
        "files with one importer": alone, "class names that recur": classes, "file names that recur": files,
        "circles": circles, "circles at load time": at_load, "family branches": families,
        "whole-file writers": writers,
    }  # fmt: skip
    if walk:
        project = (house.root / "pyproject.toml").read_text(encoding="utf-8")
        command = re.search(r'^posterkit = "(\S+)"', project, re.MULTILINE)
        assert command
        figures["generate"] = walked(house, None, command[1], "generate", PROMPT, "-o", "{}/x.png", "--seed", "1")
        recipe = ("train/stage3_reward.py", "run_dir={}/run", "max_steps=1", "objective=nft", "sample_every=0", *SMALL)
        figures["nft batch"] = walked(house, "Run.steps", *recipe)
    return figures, lists


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--no-walk", action="store_true", help="only what can be counted from the source")
    parser.add_argument("--lists", action="store_true", help="the names behind the figures, too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--trace", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    root = args.checkout.resolve()
    if args.trace:
        out, between, program, *arguments = args.trace
        return trace(root, Path(out), between or None, program, arguments)
    figures, lists = measure(House(root), not args.no_walk)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(
                f"{value[key]} {key}" for key in ("files", "stays", "returns", "climbs", "callbacks", "functions")
            )
        print(f"{name:28}{value}")
    for name in ("generate", "nft batch"):
        if name in figures:
            entries = list(figures[name]["entries"].items())
            print(f"\n{name}, entries: " + ", ".join(f"{file} {count}" for file, count in entries[:12]))
    if args.lists:
        print(json.dumps(lists, indent=1))


if __name__ == "__main__":
    main()
