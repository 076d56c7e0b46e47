"""What is released is complete, and its front page holds outside the repository."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUP = runpy.run_path(str(ROOT / "setup.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "https://host.example/owner/name"
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """What setuptools puts into a source distribution (SOURCES.txt) and into a wheel (lib)."""
    out = tmp_path_factory.mktemp("made")
    build = ["egg_info", "--egg-base", str(out), "build_py", "--build-lib", str(out / "lib")]
    environment = {**os.environ, "MODELMAP_URL": ADDRESS}
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", *build],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


def in_the_repository(folder: str = ".") -> set[str]:
    """Files that a clone has, where this is one."""
    git = ["git", "-c", "safe.directory=*", "ls-files"]  # whoever owns the folder
    asked = [*git, "--cached", "--others", "--exclude-standard", folder]
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone, so nothing says which files belong to the project")
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in told.stdout.splitlines() if (ROOT / name).exists()}


def test_a_source_distribution_holds_all_but_what_only_the_repository_needs(made):
    (sources,) = made.glob("*.egg-info/SOURCES.txt")
    packed = {line for line in sources.read_text(encoding="utf-8").splitlines() if line}
    missing = in_the_repository() - packed - {".ci/run"}
    assert {name for name in missing if not name.startswith(".github/")} == set()


def test_a_wheel_holds_every_file_of_the_package(made):
    built = {
        file.relative_to(made / "lib").as_posix()
        for file in (made / "lib").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert built == in_the_repository("mlflow_modelmap")


def test_the_metadata_name_the_address_that_the_release_gives(made):
    (metadata,) = made.glob("*.egg-info/PKG-INFO")
    said = metadata.read_text(encoding="utf-8")
    assert f"Project-URL: Source, {ADDRESS}" in said
    assert "Description-Content-Type: text/markdown" in said
    assert f"]({ADDRESS}/blob/main/docs/method.md)" in said


@pytest.mark.parametrize(("version", "at"), [("0.2.0", "v0.2.0"), ("0.2.0.dev0", "main")])
def test_links_of_a_published_readme_are_absolute_and_of_its_version(version, at):
    shown = SETUP["standalone"](README, ADDRESS, version)
    before, after = LINK.findall(README), LINK.findall(shown)
    assert len(before) == len(after) > 40
    for target, absolute in zip(before, after, strict=True):
        if re.match(r"\w+:|#", target):
            assert absolute == target
        else:
            kind = "raw" if target.endswith(".png") else "blob"
            assert absolute == f"{ADDRESS}/{kind}/{at}/{target}"


def test_without_an_address_nothing_links_to_what_is_not_there():
    shown = SETUP["standalone"](README, "", "0.2.0")
    assert all(re.match(r"\w+:|#", target) for target in LINK.findall(shown))
    assert "the method" in shown
    assert "![" not in shown
