"""Examples in docstrings and in the README run; what is public is documented and typed."""

import ast
import doctest
import importlib.metadata
import inspect
import pathlib

import pytest

import soft_bce

PACKAGE = pathlib.Path(soft_bce.__file__).parent
FLAGS = doctest.NORMALIZE_WHITESPACE


def documented():
    yield "soft_bce", soft_bce
    yield "soft_bce.probability", soft_bce.probability
    for name, value in vars(soft_bce._core).items():
        if name.startswith("_") or name == "COVARIANCES":
            continue
        yield name, value
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if not method.startswith("_"):
                    yield f"{name}.{method}", function


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstrings(name):
    text = DOCUMENTED[name].__doc__
    assert text, f"{name} is not documented"
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test).failed == 0
    if inspect.isbuiltin(DOCUMENTED[name]):
        assert test.examples, f"{name} has no example"


def test_the_tester():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=lambda _: None).failed == 1


def test_stubs_say_what_is_there():
    """The same names and the same parameters as the compiled module."""
    stub = ast.parse((PACKAGE / "_core.pyi").read_text())
    functions = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
    core = {name: value for name, value in vars(soft_bce._core).items() if inspect.isbuiltin(value)}
    assert set(functions) == set(core)
    for name, node in functions.items():
        arguments = node.args
        stubbed = (
            [a.arg for a in arguments.posonlyargs + arguments.args],
            [a.arg for a in arguments.kwonlyargs],
        )
        parameters = inspect.signature(core[name]).parameters.values()
        found = (
            [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD],
            [p.name for p in parameters if p.kind is p.KEYWORD_ONLY],
        )
        assert stubbed == found, name
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    assert set(classes) == {name for name, value in vars(soft_bce._core).items() if inspect.isclass(value)}
    for name, stubbed in classes.items():
        methods = {node.name for node in stubbed.body if isinstance(node, ast.FunctionDef)}
        public = {name for name in vars(getattr(soft_bce._core, name)) if not name.startswith("_")}
        assert public == {name for name in methods if not name.startswith("_")}, name
    assert (PACKAGE / "py.typed").exists()


def test_readme():
    readme = pathlib.Path(__file__).parents[1] / "README.md"
    result = doctest.testfile(str(readme), module_relative=False, optionflags=FLAGS)
    assert result.failed == 0 and result.attempted > 5


def test_licences_are_installed():
    package = importlib.metadata.distribution("soft-bce")
    assert package.metadata["License-Expression"] == "MIT OR Apache-2.0"
    names = {pathlib.Path(str(file)).name for file in package.files if "licenses" in str(file)}
    assert names == {"LICENSE-APACHE", "LICENSE-MIT"}
    for name in names:
        (file,) = [file for file in package.files if pathlib.Path(str(file)).name == name]
        root = pathlib.Path(__file__).parents[2]
        assert file.read_text() == (root / name).read_text()
