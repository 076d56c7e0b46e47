"""The test matrix, as CI runs it: `nox -l` lists it, `nox -s "tests(lowest)"` runs one part.

`make test` stays the short way on the tested versions.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "tests"]

VERSIONS = {
    "lowest": ("3.10", ["--resolution", "lowest-direct"]),
    "pinned": ("3.11", ["--constraint", "constraints.txt"]),
    "newest": ("3.13", ["--upgrade"]),
}


@nox.session(venv_backend="uv")
@nox.parametrize(
    "python,versions",
    [(python, name) for name, (python, _) in VERSIONS.items()],
    ids=list(VERSIONS),
)
def tests(session: nox.Session, versions: str) -> None:
    """The suite with the lowest versions that setup.cfg claims, the pinned and the newest ones."""
    session.install(*VERSIONS[versions][1], "-e", ".[test]")
    session.run(
        "pytest",
        *(session.posargs or ["-n", "2", "--dist", "loadfile", "-m", "not heavy"]),
        env={"OMP_NUM_THREADS": "1"},
    )


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """ruff and mypy."""
    session.install("--constraint", "constraints.txt", "-e", ".[test,lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(python="3.11")
def site(session: nox.Session) -> None:
    """The documentation site, strictly."""
    needs = ["ruff", "zensical", "mkdocstrings-python", "mike"]
    session.install("--constraint", "constraints.txt", *needs)
    session.run("python", "docs/make_site.py")
    session.run("zensical", "build", "--strict", "--config-file", "build/docs/mkdocs.yml")


@nox.session(python="3.11")
def package(session: nox.Session) -> None:
    """sdist and wheel, built, checked and listed."""
    session.install("build", "twine", "check-wheel-contents")
    session.run("python", "-m", "build", "--outdir", "dist")
    session.run("twine", "check", "--strict", "dist/*")
    session.run("check-wheel-contents", "dist")
