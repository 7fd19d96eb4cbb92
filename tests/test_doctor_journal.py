"""`lemon doctor --journal`: what is wrong with a database is found before a batch relies on it, with a remedy."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from lemon_ext import _clock
from lemon_ext.batch.address import Address
from lemon_ext.batch.journal import Incoming
from tests.cli import lemon

pytestmark = pytest.mark.scale
condition = pytest.importorskip("lemon_ext.batch.condition", exc_type=ImportError)
databases = pytest.importorskip("tests.databases")
postgres = pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)
NAMES = ["journal", "server", "pooler", "batch", "write", "db clock", "sessions", "timeouts", "workers"]


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    monkeypatch.setenv("LEMONDATA_LEDGER", str(tmp_path / "ledger.sqlite3"))


def told(address):
    """Run it, and return the checks of the journal by name."""
    result = lemon("doctor", "--json", "--emulator", "--journal", address)
    found = json.loads(result.stdout)
    assert all(check["remedy"] or check["ok"] for check in found)
    assert result.exit_code == (0 if all(check["ok"] for check in found) else 1)
    names = [check["check"] for check in found]
    return {check["check"]: check for check in found[names.index("journal") :]}


def faults(address):
    return {name: (check["detail"], check["remedy"]) for name, check in told(address).items() if not check["ok"]}


def test_all_is_well_before_there_is_a_batch_and_with_one_and_nothing_is_left_behind(pg, shop, tmp_path):
    batch = Address.of(shop).batch
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'lemon%'"
    before = pg.ask(schemas)
    found = told(shop.replace("lemon@", "lemon:geheim@"))
    assert (list(found), all(check["ok"] for check in found.values())) == (NAMES, True)
    assert "geheim" not in str(found)
    assert found["journal"]["detail"].startswith(f"{Address.of(shop).shown}, connected in ")
    assert found["batch"]["detail"] == f"there is no {batch} yet: the first run makes it"
    assert found["workers"]["detail"] == "nobody is at work"
    assert pg.ask(schemas) == before
    with postgres.PostgresJournal.open(tmp_path, Address.of(shop)) as journal:
        journal.take_in([Incoming(None, {"prompt": "a"}, 1), Incoming(None, {"prompt": "b"}, 1)])
        facts = pg.ask("SELECT * FROM meta ORDER BY name", batch)
        found = told(shop)
        assert found["batch"]["detail"] == f"{batch}: 2 rows (2 unsent)"
        assert found["workers"]["detail"] == f"at work: {journal.signs()[0].host}"
        assert all(check["ok"] for check in found.values())
        assert pg.ask("SELECT * FROM meta ORDER BY name", batch) == facts
    lines = [line for line in lemon("doctor", "--emulator", "--journal", shop).stdout.splitlines() if line[0] == "o"]
    assert [line[7:15].strip() for line in lines[-len(NAMES) :]] == NAMES


@pytest.mark.parametrize(
    ("address", "detail", "remedy"),
    [
        ("out/", "such as postgresql://", "Correct --journal"),
        ("postgresql://lemon:geheim@/postgres?host=/nowhere", "cannot be used", "Look at host, port"),
        ("postgresql://lemon:ge%zzheim@h/d", "cannot be read", "Correct --journal"),
        ("postgresql://lemon:geheim@/nodb", 'database "nodb" does not exist', "Create the database"),
        ("postgresql://nobody:geheim@/postgres", 'role "nobody" does not exist', "Create the database"),
    ],
)
def test_a_database_that_cannot_be_reached(pg, address, detail, remedy):
    if "host=" not in address and address.startswith("postgresql") and "@h/" not in address:
        address += f"?host={pg.sockets}"
    found = told(address)
    assert list(found) == ["journal"]
    assert detail in found["journal"]["detail"]
    assert found["journal"]["remedy"].startswith(remedy)
    assert "heim" not in str(found)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("server does not support SSL, but SSL was required", "Have the server speak TLS"),
        ("FATAL: password authentication failed", "Set PGPASSWORD"),
        ("FATAL: sorry, too many clients already", "End connections"),
        ('FATAL: too many connections for role "x"', "End connections, or raise CONNECTION LIMIT"),
        ('FATAL: no pg_hba.conf entry for host "::1", no encryption', "Have pg_hba.conf"),
    ],
)
def test_each_thing_that_keeps_one_away_has_a_remedy(said, remedy):
    from lemon_ext.cli import _database

    assert _database._remedy(f"The journal x cannot be used: {said}.").startswith(remedy)


def test_what_a_database_lacks_is_told(pg, shop, tmp_path, monkeypatch):
    batch = Address.of(shop).batch
    assert faults(pg.address(batch, options="-c default_transaction_read_only=on"))["write"] == (
        "it is read-only", "It may be a standby: give the address of the server that takes changes.",
    )  # fmt: skip
    slow = faults(pg.address(batch, options="-c statement_timeout=5000 -c lock_timeout=20000"))
    assert slow["timeouts"][0] == "lock_timeout 20 s, statement_timeout 5 s"
    pg.ask("CREATE ROLE stranger LOGIN", "x")
    assert faults(shop.replace("lemon@", "stranger@"))["write"][0] == "permission denied for database postgres"
    pg.ask("CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0", "x")
    assert "texts as LATIN1" in faults(shop.replace("/postgres", "/latin1"))["server"][0]
    monkeypatch.setattr(condition, "OLDEST", 990_000)
    assert faults(shop)["server"][1] == "Use PostgreSQL 99 or newer."
    monkeypatch.undo()
    postgres.PostgresJournal.open(tmp_path, Address.of(shop)).close()
    assert faults(shop.replace("lemon@", "stranger@")).keys() == {"batch", "write"}
    pg.ask("UPDATE meta SET value = '99' WHERE name = 'version'", batch)
    assert "is a journal of version 99" in faults(shop)["batch"][0]


@pytest.mark.parametrize(("ahead", "side"), [(3600.0, "ahead of"), (-3600.0, "behind")])
def test_clocks_that_differ_are_told(shop, monkeypatch, ahead, side):
    now = _clock.wall
    monkeypatch.setattr(condition._clock, "wall", lambda: now() + ahead)
    (detail, _), *_ = [faults(shop)["db clock"]]
    assert detail.endswith(f" s {side} the database's")


def test_a_database_with_few_connections_left(tmp_path, shop):
    with databases.server() as own:
        held = []
        with suppress(databases.psycopg.Error):
            while True:
                held.append(databases.psycopg.connect(own.address()))
        assert "too many clients already" in faults(own.address("a"))["journal"][0]
        for one in held[-4:]:
            one.close()
        assert faults(own.address("a"))["sessions"][0].startswith(("0 of 40 ", "1 of 40 "))
        for one in held:
            one.close()


def test_a_lock_of_somebody_else_is_told_and_not_waited_for(pg, shop, tmp_path):
    from lemon_ext.cli import _database

    postgres.PostgresJournal.open(tmp_path, Address.of(shop)).close()
    with databases.psycopg.connect(pg.address()) as other:
        other.execute(f"LOCK TABLE lemon_{Address.of(shop).batch}.meta IN ACCESS EXCLUSIVE MODE")
        found = {check.check: check for check in _database.journal_checks(shop, 0.5)}
    assert {name for name, check in found.items() if not check.ok} == {"batch", "write"}
    assert found["write"].detail == found["batch"].detail == condition.LOCKED
    assert "pg_locks" in found["write"].remedy


def test_a_pooler_is_told(pg):
    with databases.pooler(pg, "transaction") as address:
        assert faults(address("bounced_again"))["pooler"][1].startswith("Give the address of the database itself")
