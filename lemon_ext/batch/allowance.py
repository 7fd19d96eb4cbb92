"""One rate limit for all who work with a key: each takes some of it from the database, in blocks.

A block may be used for a few seconds, and counts in the database until a minute after its end, or after its last use
once that is known. So never more than the limit leave in any minute, over all workers, and a request costs no round
trip. Workers that die have used what they took. Pure but for the SQL, which the journal runs.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from lemon_ext.rate_limit import RateLimit

#: Seconds for which a block may be used, if the database answers at once. It is as large as a worker needs for as long.
VALID: Final = 2.0
#: The longest and the shortest wait for another block, in seconds: others may give back what they did not use.
LONGEST_WAIT: Final = 3.0
SHORTEST_WAIT: Final = 0.5

#: Made once in a database, in the schema ``lemon``. ``lemon.clock`` is the only clock.
TABLES: Final = """
CREATE TABLE IF NOT EXISTS lemon.durations (model TEXT PRIMARY KEY, learned TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lemon.holds (account TEXT PRIMARY KEY, until TIMESTAMPTZ NOT NULL);
CREATE TABLE IF NOT EXISTS lemon.blocks (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account TEXT NOT NULL, worker TEXT NOT NULL,
    requests INTEGER NOT NULL, until TIMESTAMPTZ NOT NULL
);
CREATE INDEX IF NOT EXISTS blocks_by_account ON lemon.blocks (account);
CREATE FUNCTION lemon.clock() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';
CREATE FUNCTION lemon.take_block(
    _account TEXT, _worker TEXT, _limit INTEGER, _span FLOAT8, _wanted INTEGER, _valid FLOAT8, _hold FLOAT8,
    _last BIGINT, _used INTEGER, _since FLOAT8
) RETURNS TABLE (block BIGINT, requests INTEGER, held FLOAT8, opens FLOAT8, spare INTEGER, workers INTEGER)
LANGUAGE plpgsql AS $$
DECLARE
    moment TIMESTAMPTZ;
    taken INTEGER;
BEGIN
    -- One at a time for each account: the row is locked until the end.
    INSERT INTO lemon.holds AS had VALUES (_account, lemon.clock() + make_interval(secs => _hold))
    ON CONFLICT (account) DO UPDATE SET until = greatest(had.until, excluded.until);
    moment := lemon.clock();
    SELECT greatest(extract(epoch FROM until - moment), 0) INTO held FROM lemon.holds WHERE account = _account;
    UPDATE lemon.blocks AS b SET requests = _used, until = moment + make_interval(secs => _span - _since)
    WHERE b.id = _last AND b.account = _account;
    DELETE FROM lemon.blocks AS b WHERE b.account = _account AND (b.until <= moment OR b.requests = 0);
    SELECT coalesce(sum(b.requests), 0), count(DISTINCT b.worker) FILTER (WHERE b.worker <> _worker) + 1,
        coalesce(extract(epoch FROM min(b.until) - moment), 0)
    INTO taken, workers, opens FROM lemon.blocks AS b WHERE b.account = _account;
    requests := CASE WHEN held > 0 THEN 0 ELSE greatest(least(_wanted, _limit - taken), 0) END;
    spare := greatest(_limit - taken - requests, 0);
    IF requests > 0 THEN
        INSERT INTO lemon.blocks AS b (account, worker, requests, until)
        VALUES (_account, _worker, requests, moment + make_interval(secs => _valid + _span)) RETURNING b.id INTO block;
    END IF;
    RETURN NEXT;
END $$;
"""
TAKE_BLOCK: Final = "SELECT * FROM lemon.take_block(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Block(NamedTuple):
    """What the database gave: so many ``requests``, maybe none. Nothing is granted for ``held`` seconds, the next block
    is expected in ``opens``; ``spare`` requests are nobody's, and so many ``workers`` share the limit.
    """

    block: int | None
    requests: int
    held: float
    opens: float
    spare: int
    workers: int


class Allowance(RateLimit):
    """The share of one worker in the rate limit of an account. ``per_minute`` is that share.

    It has to be topped up where it `wants` that: `question` is what `TAKE_BLOCK` is asked with, `take` what it says.
    """

    promises = False

    def __init__(self, limit: RateLimit, account: str, worker: str) -> None:
        assert limit.per_minute is not None  # noqa: S101 - who has no limit shares none
        super().__init__(limit.per_minute)
        self._whole, self._most = limit.per_minute, max(int(limit.per_minute), 1)
        self._account, self._worker = account, worker
        self._block: int | None = None
        self._left = self._used = self._wanted = 0
        self._spare = float(self._most)
        #: Until when the block may be used, when it was used last, and when to ask for another one.
        self._valid = self._last = self._ask_at = -math.inf
        self._told = self._heard = -math.inf
        self._missed = False
        #: For how many seconds the next block may be used.
        self._lasts = VALID

    def acquire(self, now: float, within: float = math.inf) -> float | None:
        """Grant one request and return 0. Else nothing is granted: return the seconds after which to try again, or None
        if that is more than ``within``.
        """
        with self._lock:
            if now >= self._held and self._has_some(now):
                self._left, self._used, self._last = self._left - 1, self._used + 1, now
                return 0.0
            self._missed = True
            wait = max(self._held - now, self._ask_at - now, SHORTEST_WAIT)
            return wait if wait <= within else None

    def opens(self, now: float) -> float:
        """Return when the next request could be sent, or asked for."""
        with self._lock:
            return max(now, self._held, now if self._has_some(now) else self._ask_at)

    def free(self, now: float) -> float:
        """Return how many requests could probably be sent at once."""
        with self._lock:
            return 0 if now < self._held else self._spare + (self._left if self._has_some(now) else 0)

    def wants(self, now: float, due: bool, spaced: bool = False) -> bool:
        """Tell whether to ask the database. ``due``: a request would leave now, and needs a block. ``spaced``: a
        submission would leave now if there were room for it, so how much there is must not be old news.
        """
        with self._lock:
            if self._held > max(self._told, now):
                return True
            if now < max(self._held, self._ask_at) or self._has_some(now):
                return False
            return due or self._missed or (spaced and now >= self._heard + LONGEST_WAIT)

    def question(self, now: float) -> tuple[Any, ...]:
        """Return what to ask the database for: a block, while what is left of the last one is given back."""
        with self._lock:
            self._left, self._told, self._missed = 0, self._held, False
            self._wanted = wanted = max(round((self.per_minute or 0.0) * self._lasts / 60.0), 1)
            used, since = self._used, max(now - self._last, 0.0) if self._used else 0.0
            hold = max(self._held - now, 0.0)
            mine = (self._account, self._worker, self._most, self._window)
            return (*mine, wanted, self._lasts, hold, self._block, used, since)

    def take(self, block: Block, asked: float, now: float) -> None:
        """Take what the database gave to who ``asked`` at that moment."""
        with self._lock:
            self._block, self._left, self._used = block.block, block.requests, 0
            self._valid, self._heard = asked + self._lasts, now
            # What comes late has to last longer, or none of it would ever be used.
            self._lasts = VALID + 2.0 * min(now - asked, self._window)
            if block.held and now + block.held > self._held:  # others were told to wait
                self._told = self._held = now + block.held
            wait = min(max(block.opens, SHORTEST_WAIT), LONGEST_WAIT)
            self._ask_at = now + (wait if block.requests < self._wanted else 0.0)  # a smaller one is all there is
            self.share = 1.0 / block.workers
            self.per_minute = self._whole * self.share
            self._spare = block.spare * self.share

    def _has_some(self, now: float) -> bool:
        return self._left > 0 and now < self._valid
