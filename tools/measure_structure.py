"""Measure the structure of checkouts, one column each, as a Markdown table.

    python tools/measure_structure.py [--trace] [FOLDER ...]        (default: this repository)

Only Python files below ``src/anomalign`` are measured. A line is a physical line. Methods and nested functions count
as functions, each from its `def` to its last line. An import leads to the module that it names, not to the packages
around that module. Imports by computed names, as in the package's own `__getattr__`, are not seen.

``--trace`` inspects an image in each checkout and lists the modules that take part (`trace_inspection.py`). It needs
the packages that `anomalign` depends on; the rest needs the standard library only.
"""

import argparse
import ast
import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trace_inspection import PACKAGE, trace

LONG_FUNCTION, LONG_FILE, MANY_PARAMETERS, MANY_FOLDERS = 60, 300, 8, 2
PARTICIPLES = ("found", "left", "known", "given", "kept", "seen", "made", "told", "taken", "chosen", "wanted")
AT_START, LAZY, TYPING = "at start", "in a function", "under TYPE_CHECKING"
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

Rows = dict[str, str | list[str]]  # the table shows the length of a list; its names stand below


@dataclass(frozen=True)
class Module:
    name: str  # without the package's own
    file: Path  # relative to the package
    lines: int
    tree: ast.Module


def read_modules(checkout: Path) -> list[Module]:
    package = checkout / "src" / PACKAGE
    if not (package / "__init__.py").is_file():
        raise FileNotFoundError(f"{checkout}: has no src/{PACKAGE}; name the root of a checkout")
    modules = []
    for path in sorted(package.rglob("*.py")):
        text, file = path.read_text(encoding="utf-8"), path.relative_to(package)
        name = ".".join(file.parent.parts if file.stem == "__init__" else file.with_suffix("").parts) or PACKAGE
        modules.append(Module(name, file, len(text.splitlines()), ast.parse(text, str(path))))
    return modules


def count_parameters(arguments: ast.arguments) -> int:
    """Number of parameters without self or cls; `*args` and `**kwargs` count one each."""
    by_position = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    stars = (arguments.vararg is not None) + (arguments.kwarg is not None)
    return len(by_position) - (by_position[:1] in (["self"], ["cls"])) + len(arguments.kwonlyargs) + stars


def read_imports(module: Module, names: set[str]) -> Iterator[tuple[str, str]]:
    """When, and which of the modules of these names."""
    around = [PACKAGE, *module.file.with_suffix("").parts]

    def walk(node: ast.AST, when: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.Import):
            targets = [(short(alias.name), "") for alias in node.names if alias.name.split(".")[0] == PACKAGE]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*(around[: -node.level] if node.level else []), *filter(None, [node.module])])
            inside = "" if base == PACKAGE else f"{short(base)}."
            targets = [(f"{inside}{a.name}", short(base)) for a in node.names if base.split(".")[0] == PACKAGE]
        else:
            targets = []
            for_types: list[ast.stmt] = []
            if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                for_types = node.body
            if when == AT_START and isinstance(node, DEFINITIONS):
                when = LAZY
            for child in ast.iter_child_nodes(node):
                yield from walk(child, TYPING if child in for_types else when)
        yield from ((when, name if name in names else base) for name, base in targets if {name, base} & names)

    return walk(module.tree, AT_START)


def find_cycles(arrows: dict[str, set[str]]) -> list[str]:
    """Groups of more than one module that reach each other: the strongly connected components."""
    reach: dict[str, set[str]] = {}
    for start in arrows:
        reach[start], ahead = set(), list(arrows[start])
        while ahead:
            name = ahead.pop()
            if name not in reach[start]:
                reach[start].add(name)
                ahead.extend(arrows[name])
    groups = {frozenset(name for name in reach[start] if start in reach[name]) for start in arrows}
    return sorted(", ".join(sorted(group)) for group in groups if len(group) > 1)


def find_types(modules: list[Module]) -> dict[str, list[str]]:
    """Places of the classes and type aliases that share a name and are not defined alike."""
    types: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                types[node.name][ast.dump(node)].append(f"class in {module.name}")
        for node in module.tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Subscript | ast.BinOp):
                name = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
                if name.lstrip("_")[0].isupper() and not name.isupper():
                    types[name][ast.dump(node.value)].append(f"alias in {module.name}")
    return {name: [*itertools.chain(*alike.values())] for name, alike in sorted(types.items()) if len(alike) > 1}


def bound_names(tree: ast.Module) -> Iterator[str]:
    """Targets of assignments and loops, `with ... as`, fields of classes, parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def measure(checkout: Path) -> Rows:
    modules = read_modules(checkout)
    files = [module for module in modules if module.file.name != "__init__.py"]
    definitions = [(m, node) for m in modules for node in ast.walk(m.tree) if isinstance(node, DEFINITIONS)]
    lengths = [((node.end_lineno or 0) - node.lineno + 1, f"{m.name}: {node.name}") for m, node in definitions]
    parameters = [(count_parameters(node.args), f"{m.name}: {node.name}") for m, node in definitions]
    arrows: dict[str, dict[str, set[str]]] = {w: {m.name: set() for m in modules} for w in (AT_START, LAZY, TYPING)}
    for module in modules:
        for when, target in read_imports(module, set(arrows[LAZY])):
            arrows[when][module.name].add(target)
    types = find_types(modules)
    classes = [name for name, places in types.items() if sum(place.startswith("class") for place in places) > 1]
    folders = Counter(module.file.name for module in files)
    participles = Counter(name for module in modules for name in bound_names(module.tree) if name in PARTICIPLES)

    def above(bound: int, numbers: list[tuple[int, str]]) -> list[str]:
        return [f"{name} {number}" for number, name in sorted(numbers, key=most_first) if number > bound]

    def most_first(entry: tuple[int, str]) -> tuple[int, str]:
        return -entry[0], entry[1]

    def cycles(*times: str) -> list[str]:
        return find_cycles({m.name: set().union(*(arrows[when][m.name] for when in times)) for m in modules})

    return {
        "Python files": str(len(modules)),
        "modules directly in the package, without `__init__`": str(sum(len(m.file.parts) == 1 for m in files)),
        "modules directly in service/, without `__init__`": str(sum(m.file.parent == Path("service") for m in files)),
        "lines": str(sum(module.lines for module in modules)),
        "functions": str(len(lengths)),
        "lines of the median function": f"{statistics.median(number for number, _ in lengths):g}" if lengths else "-",
        "lines of the longest function": "{} ({})".format(*max(lengths)) if lengths else "-",
        f"functions over {LONG_FUNCTION} lines": above(LONG_FUNCTION, lengths),
        f"files over {LONG_FILE} lines": above(LONG_FILE, [(m.lines, m.name) for m in modules]),
        "import cycles, lazy imports counted": cycles(AT_START, LAZY),
        "import cycles at start": cycles(AT_START),
        "import cycles, lazy and `TYPE_CHECKING` imports counted": cycles(AT_START, LAZY, TYPING),
        f"functions with more than {MANY_PARAMETERS} parameters": above(MANY_PARAMETERS, parameters),
        "file names in -ing": [m.name for m in files if m.file.stem.endswith("ing")],
        f"file names in more than {MANY_FOLDERS} folders, without `__init__`": above(
            MANY_FOLDERS, [(number, name) for name, number in folders.items()]
        ),
        "class names with several definitions": [f"{name} ({', '.join(types[name])})" for name in classes],
        "more such names, with type aliases": [f"{n} ({', '.join(at)})" for n, at in types.items() if n not in classes],
        "variables named by a participle": str(sum(participles.values())),
        "of these": ", ".join(above(0, [(number, name) for name, number in participles.items()])) or "-",
    }


def short(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


def rooms(modules: list[str]) -> list[str]:
    """Subpackages and modules directly in the package, in the order of the modules."""
    return list(dict.fromkeys(short(module).split(".")[0] for module in modules))


def as_markdown(columns: dict[str, Rows]) -> str:
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    lists = []
    for row in next(iter(columns.values())):
        cells = {label: column[row] for label, column in columns.items()}
        lines.append(f"| {row} | {' | '.join(c if isinstance(c, str) else str(len(c)) for c in cells.values())} |")
        if any(isinstance(cell, list) and cell for cell in cells.values()):
            lists += ["", f"{row[0].upper()}{row[1:]}:", ""]
            lists += [f"- {label}: {'; '.join(cell) or 'none'}" for label, cell in cells.items()]
    return "\n".join(lines + lists)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the structure of checkouts, as a Markdown table.")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help=f"checkout with src/{PACKAGE}")
    parser.add_argument("--trace", action="store_true", help="inspect an image and list the modules that take part")
    options = parser.parse_args(arguments)
    folders = list(dict.fromkeys(folder.resolve() for folder in options.folders or [Path(__file__).parents[1]]))
    names = Counter(folder.name for folder in folders)
    columns = {}
    try:
        for folder in folders:
            columns[folder.name if names[folder.name] == 1 else str(folder)] = measure(folder)
    except (OSError, SyntaxError) as error:
        parser.error(str(error))
    for folder, rows in zip(folders, columns.values(), strict=True) if options.trace else ():
        modules, stage = trace(folder / "src")
        rows["rooms that an image path crosses from `inspect` to its verdict"] = rooms(modules)
        rows["modules on that path"] = [short(module) for module in modules]
        rows["deciding stage there"] = stage
    print(as_markdown(columns))


if __name__ == "__main__":
    main()
