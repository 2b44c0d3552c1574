"""Promise 8: imports and size, and what the house forbids. The rest is told by the linters."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCTS = {"dpl_exporter": ROOT / "exporter", "dpl_router": ROOT / "router"}
PACKAGES = {name: folder / name for name, folder in PRODUCTS.items()}
LONGEST_FILE = 400
BROAD_EXCEPTS = 4
"""A driver and a page of the exporter; the polls and the checks of the router, where one node, odd
as it may be, must not end those of all others."""
REASON = re.compile(r"#\s*(noqa: BLE001 - )?(?!noqa)\S+(\s+\S+){2,}")
NOT_IN_TESTS = {
    ("mock", "patch"),
    ("monkeypatch", "setattr"),
    ("monkeypatch", "delattr"),
    ("pytest", "skip"),
    ("pytest", "importorskip"),
    ("pytest", "xfail"),
    ("mark", "skip"),
    ("mark", "skipif"),
    ("mark", "xfail"),
}


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def of_the_packages() -> list[Path]:
    return [path for package in PACKAGES.values() for path in sources(package)]


def read(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in of_the_packages()
    }

    assert lengths, "the packages are not where this test looks"
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


def local_imports(tree: ast.Module) -> Iterator[ast.AST]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield node


def test_only_the_verbs_of_the_command_line_import_inside_a_function() -> None:
    """That is why `dpl --help` is quick; anywhere else it hides a cycle."""
    verbs = PACKAGES["dpl_router"] / "cli"
    found = [
        place(path, node)
        for path in of_the_packages()
        if verbs not in path.parents
        for node in local_imports(read(path))
    ]

    assert found == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    """It catches everything and does not raise again."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
    broad = handler.type is None or bool(names & {"Exception", "BaseException"})
    again = any(isinstance(node, ast.Raise) and node.exc is None for node in handler.body)
    return broad and not again


def broad_excepts(path: Path) -> Iterator[tuple[str, str]]:
    """Where, and the line with its reason."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(read(path)):
        if isinstance(node, ast.ExceptHandler) and is_broad(node):
            yield place(path, node), lines[node.lineno - 1]


def test_broad_excepts_are_rare_and_each_says_why() -> None:
    found = dict(pair for path in of_the_packages() for pair in broad_excepts(path))

    assert len(found) <= BROAD_EXCEPTS, (
        f"{len(found)} broad excepts, {BROAD_EXCEPTS} are allowed: catch what you can name\n"
        + "\n".join(f"{where} {line.strip()}" for where, line in found.items())
    )
    assert [where for where, line in found.items() if not REASON.search(line)] == []


def dotted(path: Path, product: Path) -> str:
    parts = path.relative_to(product).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, modules: set[str]) -> set[str]:
    found: set[str] = set()
    for node in read(path).body:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(inner & modules or {node.module})
    return found & modules


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    product = PRODUCTS[package]
    files = {dotted(path, product): path for path in sources(PACKAGES[package])}
    graph = {name: imports_of(path, set(files)) - {name} for name, path in files.items()}

    circle: object = None
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert circle is None


def forbidden_in_tests(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = getattr(owner, "id", getattr(owner, "attr", ""))
            if (name, node.attr) in NOT_IN_TESTS:
                yield node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
            if names & {"unittest.mock", "mock"}:
                yield node


def test_tests_patch_nothing_and_skip_nothing() -> None:
    """Fakes are programs at the wire; a test that was skipped has proved nothing."""
    found = [
        place(path, node)
        for path in sources(ROOT / "tests")
        for node in forbidden_in_tests(read(path))
    ]

    assert found == []


def test_the_folder_of_tests_is_no_package() -> None:
    """`tests/router` as a package would hide a module of that name."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []
