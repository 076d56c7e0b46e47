"""The page behind MLflow's own basic auth: each user sees what MLflow would show that user."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.server
import pytest
from werkzeug.security import generate_password_hash

from mlflow_modelmap.surfaces.server import assets
from tests import forking
from tests.e2e.test_page import answered, ask, complaints, content, drawn, until
from tests.page_site import NASTY, Site
from tests.serving import serving

pytest.importorskip("flask_wtf", reason="MLflow's extra auth is not installed")
OLDER = not hasattr(mlflow.server, "_bootstrap_basic_auth")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OLDER, reason="MLflow's auth has no roles before it makes its admin itself"),
]

ADMIN, ALICE, BOB = (
    ("admin", "an-admin-password"),
    ("alice", "alice-pass-12"),
    ("bob", "bob-pass-1234"),
)
CONFIG = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///users.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""
ENV = {
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-this-test",
    "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
    "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
}


def login(user: tuple[str, str]) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(":".join(user).encode()).decode()}


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[str]:
    """Two workers; alice may read the experiment `family`, bob the one with a nasty name."""
    folder = Path(site.store.partition("///")[2]).parent
    (folder / "auth.ini").write_text(CONFIG)
    env = {**ENV, "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
    options = ("--workers", "2", "--app-name", "modelmap-basic-auth")
    with serving(folder, *options, env=env) as address:
        for user, experiment in ((ALICE, "family"), (BOB, NASTY)):
            tell(address, "2.0/mlflow/users/create", username=user[0], password=user[1])
            tell(
                address,
                "3.0/mlflow/users/permissions/grant",
                username=user[0],
                resource_type="experiment",
                resource_id=site.experiments[experiment],
                permission="READ",
            )
        hasten_passwords(folder / "users.db")
        yield address


def hasten_passwords(database: Path) -> None:
    """Hash them once: MLflow's 32,768 rounds take a tenth of a second of every request."""
    with contextlib.closing(sqlite3.connect(database)) as users:
        for name, password in (ADMIN, ALICE, BOB):
            hashed = generate_password_hash(password, method="pbkdf2:sha256:1")
            changed = users.execute(
                "UPDATE users SET password_hash = ? WHERE username = ?", (hashed, name)
            )
            assert changed.rowcount == 1
        users.commit()


def tell(address: str, path: str, **body: str) -> None:
    import urllib.request

    request = urllib.request.Request(
        f"{address}/api/{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **login(ADMIN)},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200


def change_password(address: str, user: str, password: str) -> None:
    body = json.dumps({"username": user, "password": password}).encode()
    url = f"{address}/api/2.0/mlflow/users/update-password"
    status, _, told = ask(
        url, method="PATCH", body=body, **{"Content-Type": "application/json", **login(ADMIN)}
    )
    assert status == 200, told


def get(server: str, user: tuple[str, str] | None, path: str, **query: Any):
    url = f"{server}/modelmap/{path}?{urllib.parse.urlencode(query)}"
    status, headers, body = ask(url, **(login(user) if user else {}))
    kind = headers["content-type"]
    return status, json.loads(body) if kind == "application/json" else body


@pytest.mark.parametrize("user", [None, ("alice", "wrong"), ("nobody", "alice-pass-12")])
def test_who_is_not_logged_in_gets_mlflows_challenge(server, site, user):
    own = ask(
        f"{server}/api/2.0/mlflow/experiments/get?experiment_id=1", **(login(user) if user else {})
    )
    assert own[0] == 401
    for path in (
        "",
        "api/experiments",
        f"api/run?run_id={site.runs['map']}",
        f"api/pair?run_id={site.runs['map']}&a=0&b=1",
        f"static/{assets.version()}/main.js",
    ):
        status, headers, body = ask(f"{server}/modelmap/{path}", **(login(user) if user else {}))
        assert (status, body) == (401, own[2]), path
        assert headers["www-authenticate"] == own[1]["www-authenticate"]


def test_lists_hold_what_a_user_may_read(server):
    def names(user: tuple[str, str]) -> set[str]:
        status, told = get(server, user, "api/experiments")
        assert status == 200
        return {of["name"] for of in told["experiments"]}

    assert names(ALICE) == {"family"}
    assert names(BOB) == {NASTY}
    assert names(ADMIN) == {"family", "scored only", NASTY}


def test_runs_and_pairs_of_other_experiments_are_not_there(server, site):
    run = site.runs["map"]
    for path, query in (
        ("api/run", {"run_id": run}),
        ("api/members", {"run_id": run}),
        ("api/pair", {"run_id": run, "a": 0, "b": 1}),
        ("api/several", {"run_id": run, "rows": "0,1"}),
        ("api/from", {"run_id": run, "row": 0}),
        ("api/experiment", {"experiment_id": site.experiments["family"]}),
    ):
        for _ in range(3):  # whichever worker answers
            assert get(server, ALICE, path, **query)[0] == 200, path
            status, told = get(server, BOB, path, **query)
            assert status == 404, path
            assert "that you may read" in told["error"]
            assert list(told) == ["error"]
    for name in (
        *("trajectory", "scale", "lineage", "gate", "monitor", "quantization", "exact"),
        *("member", "deleted map", "unfinished"),
    ):
        status, told = get(server, BOB, "api/run", run_id=site.runs[name])
        assert (status, "that you may read" in told["error"]) == (404, True)
    url = f"{server}/modelmap/api/run?run_id={run}"
    assert ask(url, method="HEAD", **login(BOB))[0] == 403


def test_a_member_in_an_experiment_one_may_not_read_has_no_link_and_no_tags(server, site):
    run = site.runs["map"]
    ids = get(server, ALICE, "api/run", run_id=run)[1]["data"]["run_id"]
    hidden = ids.index(site.runs["nasty"])
    told = get(server, ALICE, "api/members", run_id=run)[1]
    assert told["experiments"][hidden] is None
    assert all(of["values"][hidden] is None for of in told["colourings"])
    assert told["experiments"][0] == site.experiments["family"]
    told = get(server, ADMIN, "api/members", run_id=run)[1]
    assert told["experiments"][hidden] == site.experiments[NASTY]


def test_a_gates_score_in_an_experiment_one_may_not_read_has_no_link(server, site):
    for user, where in ((ADMIN, site.experiments[NASTY]), (ALICE, None), (ALICE, None)):
        told = get(server, user, "api/run", run_id=site.runs["gate"])[1]["data"]["models"]
        assert [of["experiment"] for of in told] == [where, site.experiments["family"]]


@pytest.mark.parametrize("changes", [4, pytest.param(10, marks=pytest.mark.heavy)])
def test_a_password_that_changes_while_its_user_asks_opens_nothing(server, site, changes):
    """What may be read is decided once, from the user whom the server let in."""
    run, family = site.runs["map"], site.experiments["family"]
    passwords = (BOB[1], "another-pass-12")
    own = f"{server}/api/2.0/mlflow/runs/get?run_id={run}"
    stop = threading.Event()
    seen: list[tuple[str, int, Any]] = []

    def asks(number: int) -> None:
        while not stop.is_set():
            user = (BOB[0], passwords[len(seen) % 2])
            seen.append(("own", ask(own, **login(user))[0], None))
            seen.append(("run", *get(server, user, "api/run", run_id=run)))
            seen.append(("list", *get(server, user, "api/experiment", experiment_id=family)))
            seen.append(("experiments", *get(server, user, "api/experiments")))

    threads = [threading.Thread(target=asks, args=(k,)) for k in range(5)]
    for thread in threads:
        thread.start()
    try:
        for k in range(changes):
            change_password(server, BOB[0], passwords[(k + 1) % 2])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        change_password(server, BOB[0], BOB[1])
    answers = {what: {status for of, status, _ in seen if of == what} for what, *_ in seen}
    assert 200 not in answers["own"]  # MLflow itself answers 401, 403 or, in the race, 500
    assert answers["run"] <= {401, 404, 500}
    assert answers["list"] <= {401, 404, 500}
    lists = [told for of, status, told in seen if of == "experiments" and status == 200]
    assert lists
    for told in lists:
        assert {of["name"] for of in told["experiments"]} <= {NASTY}


def test_mlflow_keeps_its_own_rules(server, site):
    url = f"{server}/api/2.0/mlflow/runs/get?run_id={site.runs['map']}"
    assert ask(url, **login(ALICE))[0] == 200
    assert ask(url, **login(BOB))[0] == 403


def test_a_logged_in_user_sees_the_map_in_a_browser(browser, server, site):
    parts = urllib.parse.urlsplit(server)
    browser.get_log("browser")
    inside = f"{parts.scheme}://{':'.join(ALICE)}@{parts.netloc}/modelmap/"
    query = {"run": site.runs["map"], "a": "child", "b": NASTY}
    browser.get(f"{inside}?{urllib.parse.urlencode(query)}")
    drawn(browser)
    answered(browser)
    until(browser, lambda b: b.find_element("id", "plot").get_attribute("data-members"))
    assert len(browser.find_elements("link text", "its run in MLflow")) == 1
    assert "deleted, or you may not read it" in content(browser)
    assert complaints(browser) == []


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("MLFLOW_FLASK_SERVER_SECRET_KEY", "static secret key"),
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD"),
    ],
)
def test_a_missing_setting_ends_the_command_at_once(tmp_path, missing, words, monkeypatch):
    (tmp_path / "auth.ini").write_text(CONFIG)
    monkeypatch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(tmp_path / "auth.ini"))
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    command = "server --app-name modelmap-basic-auth --port 1 --backend-store-uri sqlite:///m.db"
    done = forking.run("-m", "mlflow", *command.split(), cwd=tmp_path, timeout=120)
    assert done.returncode != 0
    assert words in done.stderr
