"""What a server with the page says on the terminal before it answers."""

from __future__ import annotations

import click
import mlflow.server
import pytest
from click.testing import CliRunner

from mlflow_modelmap.surfaces.server import basic_auth
from mlflow_modelmap.surfaces.server.starting import sentence, tell_start


@pytest.mark.parametrize(
    ("params", "address"),
    [
        ({}, "http://127.0.0.1:5000/modelmap/"),
        ({"host": "0.0.0.0", "port": 80}, "http://localhost:80/modelmap/"),
        ({"host": "::1", "static_prefix": "/ml/"}, "http://[::1]:5000/ml/modelmap/"),
        ({"uvicorn_opts": "--ssl-certfile a.pem"}, "https://127.0.0.1:5000/modelmap/"),
    ],
)
def test_it_names_the_address_of_the_page(params, address):
    assert sentence(params).endswith(f" at {address}")


@pytest.mark.parametrize(
    ("workers", "words"),
    [("1", "The worker of the server starts now"), ("4", "The 4 workers of the server start now")],
)
def test_it_counts_the_workers(workers, words):
    assert sentence({"workers": workers}).startswith(words)


@pytest.mark.parametrize(("app", "said"), [("modelmap", 1), ("basic-auth", 0)])
def test_only_a_server_with_the_page_says_it(app, said):
    @click.command()
    @click.option("--app-name")
    def server(app_name):
        tell_start("modelmap")

    told = CliRunner().invoke(server, ["--app-name", app])
    assert told.output.count("/modelmap/") == said
    tell_start("modelmap")  # outside a command, as in a worker


def test_an_auth_that_is_not_known_ends_the_command_in_one_sentence(monkeypatch):
    @click.command()
    @click.option("--app-name")
    def server(app_name):
        basic_auth._prepare_server()

    monkeypatch.delattr(mlflow.server, "_bootstrap_basic_auth", raising=False)  # as of MLflow 3.5
    told = CliRunner().invoke(server, ["--app-name", basic_auth.APP_NAME])
    assert told.exit_code == 1
    assert told.output.startswith("Error: The app modelmap-basic-auth does not know the basic auth")
    assert told.output.endswith("or start the server without the page.\n")
    assert told.output.count("\n") == 1
