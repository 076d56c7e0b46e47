"""The page behind basic auth under load: 20 users of different rights, 50 requests a second.

A store with experiments of made-up scores, each with a map that also holds a point of the next
experiment, is served by `mlflow server --app-name modelmap-basic-auth`. Each user may read some of
the experiments. For a minute, users drawn at random ask for lists, maps, members and pairs of any
experiment. Every answer is held against what its user may read: names, run names, ids and tags of
the rest must not be in it, and what may not be read must be told as what is not there. One row each
ten seconds: answers, times and the memory of all processes of the server. The same load comes
before, for as long as it takes to warm up.

With --leaky the server's processes let everybody read everything: the check must find it.

    python benchmarks/page_load.py                       two minutes
    python benchmarks/page_load.py --seconds 10 --rate 5
    python benchmarks/page_load.py --seconds 10 --rate 5 --leaky
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.scored import made_up, write_score
from tests.serving import serving

EXPERIMENTS, RUNS, TEXTS, THREADS, LATE_SECONDS = 8, 6, 200, 24, 30
ADMIN = ("admin", "an-admin-password")
CONFIG = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///users.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = {}
"""
ENV = {
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "only-for-this-measurement",
    "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
    "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
LEAKY = """import importlib.util, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "mlflow_modelmap.surfaces.server.basic_auth":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        run = found.loader.exec_module
        def exec_module(module):
            run(module)
            module.may_read = list
        found.loader.exec_module = exec_module
        return found
sys.meta_path.insert(0, Finder())
"""
"""The sitecustomize of a server whose filter answers everything."""
KINDS = ("experiments", "experiment", "run", "members", "pair", "MLflow's own", "wrong password")
WEIGHTS = (2, 3, 4, 3, 5, 1, 1)


class Held(NamedTuple):
    """An experiment, and words that stand in nothing but it."""

    name: str
    id: str
    map: str
    runs: tuple[str, ...]
    marks: tuple[str, ...]
    guest: tuple[str, ...]  # marks of the point of the next experiment on this one's map


def fill(store: str, draws: random.Random) -> list[Held]:
    """Write the experiments, scores and maps."""
    import mlflow

    from mlflow_modelmap import build_map

    client = mlflow.MlflowClient(store)
    mlflow.set_tracking_uri(store)
    values, size = made_up(EXPERIMENTS * RUNS, TEXTS)
    values -= max(0.0, values.max()) + 1.0  # so many points walk far, and no probability is above 1
    written = []
    for k in range(EXPERIMENTS):
        name, run_mark, tag_mark, guest_mark = (
            f"{what}-{draws.getrandbits(48):012x}" for what in ("name", "run", "tag", "guest")
        )
        where = client.create_experiment(name)
        ids = []
        for n in range(RUNS):
            called = f"{guest_mark}" if n == 0 else f"{run_mark} number {n}"
            row = values[k * RUNS + n]
            ids.append(write_score(store, called, row, size, experiment=name, trajectory=run_mark))
            client.set_tag(ids[-1], f"key-{tag_mark}", f"{tag_mark} {n % 3}")
        written.append((name, where, tuple(ids), (name, run_mark, tag_mark), guest_mark))
    found = []
    for k, (name, where, ids, marks, guest_mark) in enumerate(written):
        _, _, others, other_marks, other_guest = written[(k + 1) % EXPERIMENTS]
        made = build_map([name], run_ids=[others[0]], output_experiment=name)
        client.update_run(made.run_id, name=f"map of {marks[1]}")
        # What a map's own tables hold of a point may be read with it: name, id and trajectory.
        guest = (other_guest, others[0], other_marks[1])
        own = (*marks, guest_mark, made.run_id, *ids)
        found.append(Held(name, where, made.run_id, ids, own, guest))
    mlflow.set_tracking_uri(None)
    return found


@dataclass
class Seen:
    """What came of the requests so far."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    times: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    next: int = 0
    before: int = 0  # requests of the warm-up, which were others


class Asking(NamedTuple):
    """One request: what, by whom, of which experiment."""

    kind: str
    user: int
    of: int
    path: str


def login(user: tuple[str, str]) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(":".join(user).encode()).decode()}


def users_of(count: int, draws: random.Random) -> list[tuple[tuple[str, str], dict[int, str]]]:
    """Who they are, and their permission on each experiment: from none to all."""
    made = []
    for k in range(count):
        may = {
            of: draws.choice(("READ", "EDIT", "MANAGE"))
            for of in range(EXPERIMENTS)
            if draws.random() < k / max(1, count - 1)
        }
        made.append(((f"user{k}", f"password-{draws.getrandbits(48):012x}"), may))
    return made


def tell(address: str, path: str, **body: str) -> None:
    """A request of the admin to MLflow."""
    parts = urllib.parse.urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    headers = {"Content-Type": "application/json", **login(ADMIN)}
    connection.request("POST", f"/api/{path}", json.dumps(body), headers)
    response = connection.getresponse()
    told = response.read()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"MLflow answered {response.status} to {path}: {told[:200]!r}")


def asked(number: int, held: list[Held], users: int, seed: int) -> Asking:
    """The request with this number."""
    draws = random.Random(seed * 1_000_003 + number)
    (kind,) = draws.choices(KINDS, WEIGHTS)
    user, of = draws.randrange(users), draws.randrange(len(held))
    there = held[of]
    path = {
        "experiments": "/modelmap/api/experiments",
        "experiment": f"/modelmap/api/experiment?experiment_id={there.id}",
        "run": f"/modelmap/api/run?run_id={there.map}",
        "members": f"/modelmap/api/members?run_id={there.map}",
        "pair": f"/modelmap/api/pair?run_id={there.map}&a=0&b={draws.randint(1, RUNS)}",
        "MLflow's own": f"/api/2.0/mlflow/runs/get?run_id={there.map}",
        "wrong password": f"/modelmap/api/run?run_id={there.map}",
    }[kind]
    return Asking(kind, user, of, path)


def complaint(asking: Asking, status: int, text: str, held: list[Held], may: set[int]) -> str:
    """What is wrong with an answer; empty where nothing is."""
    there = held[asking.of]
    readable = asking.of in may
    hidden = [mark for k, of in enumerate(held) if k not in may for mark in of.marks]
    if asking.kind == "wrong password":
        if status != 401:
            return f"{status} with a wrong password"
        hidden = [mark for of in held for mark in of.marks]
    elif asking.kind == "MLflow's own":
        if status != (200 if readable else 403):
            return f"MLflow answered {status}"
        if readable:  # the map's own record of its selection names its guest
            hidden = [mark for mark in hidden if mark not in there.guest]
    elif asking.kind == "experiments":
        if status != 200:
            return str(status)
        names = {of["name"] for of in json.loads(text)["experiments"]}
        if names != {held[k].name for k in may}:
            return f"lists {len(names)} experiments where {len(may)} may be read"
    elif not readable:
        what = f"experiment {there.id}" if asking.kind == "experiment" else f"run {there.map}"
        same = f"There is no {what} here that you may read; open the list of experiments."
        # The same words as for what is not there, and nothing beside them.
        if (status, json.loads(text)) != (404, {"error": same}):
            return f"{status} for what may not be read: {text[:200]}"
        hidden = [mark for mark in hidden if mark != there.map]
    else:
        if status != 200:
            return f"{status} for what may be read: {text[:200]}"
        if asking.kind == "members":
            links = {where for where in json.loads(text)["experiments"] if where}
            if not links <= {held[k].id for k in may}:
                return "a link into an experiment that may not be read"
        if asking.kind in ("run", "pair"):
            hidden = [mark for mark in hidden if mark not in there.guest]
    leaked = [mark for mark in hidden if mark in text]
    return f"leak of {leaked[:3]}" if leaked else ""


def ask(
    connection: http.client.HTTPConnection, path: str, user: tuple[str, str]
) -> tuple[int, str]:
    connection.request("GET", path, headers=login(user))
    response = connection.getresponse()
    return response.status, response.read().decode("utf-8", "replace")


def work(
    address: str, held: list[Held], people: Any, seen: Seen, given: Any, seconds: int, start: float
) -> None:
    """One thread: take the next request when its time has come, send it, judge the answer."""
    netloc = urllib.parse.urlsplit(address).netloc
    connection = http.client.HTTPConnection(netloc, timeout=60)
    while True:
        with seen.lock:
            number = seen.next
            seen.next += 1
        due = start + number / given.rate
        if number >= given.rate * seconds or time.monotonic() > start + seconds + LATE_SECONDS:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        asking = asked(number + seen.before, held, len(people), given.seed)
        user, may = people[asking.user]
        if asking.kind == "wrong password":
            user = (user[0], "not-the-password")
        before = time.monotonic()
        try:
            status, text = ask(connection, asking.path, user)
            wrong = complaint(asking, status, text, held, set(may))
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"
            connection.close()
        took = time.monotonic() - before
        with seen.lock:
            seen.times.append(took)
            seen.kinds[asking.kind] += 1
            if wrong:
                seen.wrong.append(f"{asking.kind} by {user[0]}: {wrong}")
    connection.close()


def memory() -> tuple[float, int]:
    """Resident MB of all processes of the server, and how many they are."""
    import psutil

    total, count = 0, 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_info().rss
            count += 1
        except psutil.Error:
            continue
    return total / 2**20, count


def row(what: str, seen: Seen, since: int, seconds: float) -> tuple[int, float]:
    """Print a row of what came since the last; how many there are now, and the memory in MB."""
    with seen.lock:
        times, wrong = seen.times[since:], len(seen.wrong)
    rss, processes = memory()
    middle = late = 0.0
    if times:
        middle = statistics.median(times)
        late = sorted(times)[int(0.99 * (len(times) - 1))]
    print(
        f"{what:>8}{len(times):>9,}{len(times) / seconds if seconds else 0:>9.1f}"
        f"{1000 * middle:>11.0f}{1000 * late:>9.0f}{wrong:>8}{rss:>9,.0f}{processes:>11}",
        flush=True,
    )
    return since + len(times), rss


def rows(seen: Seen, threads: list[threading.Thread], start: float) -> Iterator[str]:
    """Wait ten seconds at a time until all threads are done."""
    number = 0
    while any(thread.is_alive() for thread in threads):
        number += 1
        while time.monotonic() < start + 10 * number and any(t.is_alive() for t in threads):
            time.sleep(0.05)
        yield f"{time.monotonic() - start:.0f} s"


def load(
    what: str, address: str, held: list[Held], people: Any, seen: Seen, given: Any, seconds: int
) -> float:
    """Ask for so many seconds and print what came of it; the memory in MB at the end."""
    start = time.monotonic()
    threads = [
        threading.Thread(target=work, args=(address, held, people, seen, given, seconds, start))
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    count, last = 0, start
    for at in rows(seen, threads, start):
        now = time.monotonic()
        count, _ = row(f"{what} {at}", seen, count, now - last)
        last = now
    took = last - start
    time.sleep(2)
    _, rss = row("after", seen, count, 0)
    print(
        f"{'':>8}{len(seen.times):,} answers in {took:.0f} s: {len(seen.times) / took:.1f} a second"
    )
    return rss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second in all")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--warm-up", type=int, default=15, help="seconds of load before")
    parser.add_argument("--leaky", action="store_true", help="whether everybody may read all")
    parser.add_argument("--workers", type=int, default=2, help="of the server")
    parser.add_argument("--auth-cache", type=int, default=60, help="auth_cache_ttl_seconds, s")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        import flask_wtf  # noqa: F401
    except ImportError:
        print("The page was not measured: there is no MLflow auth; pip install 'mlflow[auth]'.")
        return
    import mlflow

    draws = random.Random(given.seed)
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="modelmap-benchmark-") as name:
        folder = Path(name)
        os.chdir(folder)
        store = f"sqlite:///{folder / 'mlflow.db'}"
        held = fill(store, draws)
        (folder / "auth.ini").write_text(CONFIG.format(given.auth_cache))
        people = users_of(given.users, draws)
        options = ("--workers", str(given.workers), "--app-name", "modelmap-basic-auth")
        env = {**ENV, "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
        if given.leaky:
            (folder / "leaky").mkdir()
            (folder / "leaky" / "sitecustomize.py").write_text(LEAKY)
            path = [str(folder / "leaky"), os.environ.get("PYTHONPATH", "")]
            env["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        with serving(folder, *options, env=env) as address:
            for user, may in people:
                tell(address, "2.0/mlflow/users/create", username=user[0], password=user[1])
                for of, permission in may.items():
                    tell(
                        address,
                        "3.0/mlflow/users/permissions/grant",
                        username=user[0],
                        resource_type="experiment",
                        resource_id=held[of].id,
                        permission=permission,
                    )
            print(
                f"MLflow {mlflow.__version__}, {given.users} users, {len(held)} experiments, "
                f"{given.workers} workers, {os.cpu_count()} cores, load {busy:.1f} before; "
                f"{given.rate:g} requests a second asked for\n"
            )
            print(
                f"{'':>8}{'answers':>9}{'a second':>9}{'median ms':>11}{'99 % ms':>9}{'wrong':>8}"
                f"{'RSS, MB':>9}{'processes':>11}"
            )
            warm, seen = Seen(), Seen(before=int(given.rate * given.warm_up))
            _, at_start = row("start", seen, 0, 0)
            at_warm = at_start
            if given.warm_up:
                at_warm = load("warm", address, held, people, warm, given, given.warm_up)
            at_end = load("", address, held, people, seen, given, given.seconds)
        print(
            f"\nMemory: {at_start:,.0f} MB at the start, {at_warm:,.0f} after the warm-up, "
            f"{at_end:,.0f} at the end"
        )
        middle, late = statistics.median(seen.times), sorted(seen.times)
        print(
            f"Time of an answer: median {1000 * middle:,.0f} ms, "
            f"99 % {1000 * late[int(0.99 * (len(late) - 1))]:,.0f} ms, "
            f"longest {1000 * late[-1]:,.0f} ms; load {os.getloadavg()[0]:.1f} after"
        )
        wrong = warm.wrong + seen.wrong
        print(f"{len(seen.times):,} of {int(given.rate * given.seconds):,} requests answered:")
        print(", ".join(f"{n:,} {kind}" for kind, n in seen.kinds.most_common()))
        print(
            f"Answers that were wrong or told too much, the warm-up included: {len(wrong)}",
            *wrong[:5],
            sep="\n  ",
        )
        if given.leaky:
            print(f"The server leaked, and the check found {'it' if wrong else 'NOTHING'}.")
    if bool(wrong) != given.leaky:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
