"""The files that say which versions to install agree with each other."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def setup_requirements(*extras: str) -> dict[str, Requirement]:
    """What setup.cfg asks for, by canonical name."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lists = [setup["options"]["install_requires"]]
    lists += [setup["options.extras_require"][extra] for extra in extras]
    found = [Requirement(line) for text in lists for line in text.split("\n") if line]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def constraints(python: str) -> dict[str, str]:
    """The one version of each package that constraints.txt leaves to a Python version."""
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"python_version": python}):
            continue
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} is constrained twice for Python {python}"
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        found[name] = pin.version
    return found


def conda_pins() -> dict[str, str]:
    content = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    (pip,) = [entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)]
    pins = [Requirement(line) for line in pip]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_name_a_version_of_everything_within_the_ranges_of_setup_cfg(python):
    pinned = constraints(python)
    asked = setup_requirements("test", "lint", "quantization", "lightning", "auth", "docs")
    wanted = {
        name: requirement
        for name, requirement in asked.items()
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python})
    }
    assert set(wanted) <= set(pinned)
    for name, requirement in wanted.items():
        assert requirement.specifier.contains(pinned[name]), f"{requirement} and {pinned[name]}"


def test_conda_yaml_has_just_the_direct_requirements_at_the_versions_of_the_constraints():
    pinned = constraints("3.11")
    wanted = setup_requirements("quantization", "adapters", "gguf")
    assert conda_pins() == {name: pinned[name] for name in wanted}


def test_conda_yaml_names_a_whole_python_version():
    """pyenv would build the newest patch release of a version such as 3.11."""
    content = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    (python,) = [entry for entry in content["dependencies"] if "python=" in str(entry)]
    assert re.fullmatch(r"python=3\.\d+\.\d+", python)


PROJECTS = [ROOT / "MLproject", *sorted(ROOT.glob("projects/*/MLproject"))]


@pytest.mark.parametrize("project", PROJECTS, ids=lambda p: p.parent.name)
def test_every_project_uses_that_environment(project):
    content = yaml.safe_load(project.read_text(encoding="utf-8"))
    assert (project.parent / content["conda_env"]).resolve() == ROOT / "conda.yaml"


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_make_alone_lists_the_targets():
    listed = make().stdout
    for target in ("venv", "quickstart", "test", "test-quick", "lint", "docs", "ui", "bench"):
        assert f"make {target} " in listed


@pytest.mark.parametrize("python", ["", "no-such-python", "false"])
def test_without_a_usable_python_make_says_what_is_needed(python):
    done = make(f"PYTHON={python}", "--always-make", "venv")
    assert done.returncode != 0
    assert "Python 3.10 or newer" in done.stderr
    assert "make PYTHON=/path/to/python" in done.stderr
