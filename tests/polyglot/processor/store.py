"""Cards and charges in PostgreSQL, in the tables of services/processor/migrations.

A command is one transaction: lock, decide, save. What is answered is committed. The tables, the keys of
requests and their digests are those of the Rust service, so either may go on where the other one ended.
"""

import hashlib
import time
import uuid
import zlib
from pathlib import Path

import psycopg
from psycopg.errors import DeadlockDetected, SerializationFailure, UniqueViolation
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

import cards
import charges
from charges import Charge, Money, Refusal

MIGRATIONS = Path(__file__).resolve().parents[3] / "services" / "processor" / "migrations"
# How sessions are: no statement and no forgotten transaction holds others up for long.
OPTIONS = "-c statement_timeout=10s -c idle_in_transaction_session_timeout=10s -c jit=off"
# What fails if the database is away.
UNREACHABLE = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)
# How long a call waits for a connection.
PATIENCE = 2
# As often as others may have been first.
ATTEMPTS = 10
SLOW, LOST, PROMPT = "slow", "lost", "prompt"


class Crowded(Exception):
    """Others were first each time."""


async def migrate(url):
    """Brings the database to the newest migration, with the notes that sqlx keeps."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        # The lock that sqlx takes as well: whoever migrates is alone.
        lock = 0x3D32AD9E * zlib.crc32(connection.info.dbname.encode())
        await connection.execute("SELECT pg_advisory_lock(%s::bigint)", (lock,))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version bigint PRIMARY KEY,"
            " description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(),"
            " success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL)"
        )
        known = await connection.execute("SELECT version, checksum FROM _sqlx_migrations")
        known = dict(await known.fetchall())
        for file in sorted(MIGRATIONS.glob("*.sql")):
            await run_migration(connection, file, known)


async def run_migration(connection, file, known):
    version, name = file.stem.split("_", 1)
    text = file.read_bytes()
    checksum = hashlib.sha384(text).digest()
    if int(version) in known:
        if known[int(version)] != checksum:
            raise RuntimeError(f"{file} is not what the database was migrated with")
        return
    begun = time.monotonic_ns()
    async with connection.transaction():
        await connection.execute(text)
        await connection.execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)"
            " VALUES (%s, %s, true, %s, %s)",
            (int(version), name.replace("_", " "), checksum, time.monotonic_ns() - begun),
        )


class Store:
    """What the processor keeps."""

    def __init__(self, pool):
        self.pool = pool

    async def transact(self, work):
        """Runs `work` in a transaction, again if another one made the same thing meanwhile."""
        for _ in range(ATTEMPTS):
            try:
                async with self.pool.connection(PATIENCE) as connection, connection.transaction():
                    return await work(connection.cursor(row_factory=dict_row))
            except (DeadlockDetected, SerializationFailure, UniqueViolation):
                continue
        raise Crowded

    async def tokenize(self, card, today):
        """Keeps a card under a new token, or finds the one that this request made."""

        async def work(cursor):
            key = await one(cursor, "SELECT key FROM card_key")
            digest = card_digest(bytes(key["key"]), card)
            behaviour = cards.behaviour(card.digits, card.expires, today)
            token = f"card_{uuid.uuid4().hex}"
            await cursor.execute(
                "INSERT INTO cards (token, request_id, digest, last_digits, behaviour)"
                " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (request_id) DO NOTHING",
                (token, card.request_id, digest, card.digits[-4:], behaviour),
            )
            kept = await one(
                cursor,
                "SELECT token, digest, last_digits FROM cards WHERE request_id = %s",
                card.request_id,
            )
            if kept["digest"] != digest:
                raise charges.content_differs()
            return kept["token"], kept["last_digits"]

        return await self.transact(work)

    async def run(self, command):
        """Carries out a command: the charge or the refusal, and how the answer goes out."""
        return await self.transact(lambda cursor: carry_out(cursor, command))

    async def get(self, charge_id):
        async with self.pool.connection(PATIENCE) as connection:
            cursor = connection.cursor(row_factory=dict_row)
            row = await one(cursor, "SELECT * FROM charges WHERE charge_id = %s", charge_id)
        if row is None:
            raise charges.not_found()
        return charge_of(row)


async def carry_out(cursor, command):
    """A refusal is an outcome, too: what it changed is kept."""
    row = await one(
        cursor, "SELECT * FROM charges WHERE charge_id = %s FOR UPDATE", command.charge_id
    )
    known = None if row is None else charge_of(row)
    card = await behaviour_of(cursor, known, command)
    manner = await manner_of(cursor, card, command)
    if manner == LOST and card == cards.LOSE_FIRST_REQUESTS:
        return None, manner
    try:
        return await decide(cursor, command, known, card), manner
    except Refusal as refusal:
        return refusal, manner


async def decide(cursor, command, known, card):
    if command.name == "authorize":
        if known is not None:
            known.authorize_again(command.digest)
            return known
        now = await one(cursor, "SELECT now()")
        made = charges.begin(command, card, now["now"])
        await insert(cursor, made)
        made.refuse_if_declined()
        return made
    key = uuid.uuid5(command.request_id, f"{command.name}\n")
    seen = await one(cursor, "SELECT digest FROM requests WHERE key = %s", key)
    if seen is not None and seen["digest"] != command.digest:
        raise charges.content_differs()
    if seen is None:
        known = await change(cursor, command, known, card)
        await cursor.execute(
            "INSERT INTO requests (key, digest, thing, version) VALUES (%s, %s, %s, 0)",
            (key, command.digest, command.charge_id),
        )
    return known


async def change(cursor, command, charge, card):
    if command.name == "void" and charge is None:
        now = await one(cursor, "SELECT now()")
        charge = Charge(command.charge_id, charges.VOIDED, now["now"])
        await insert(cursor, charge)
        return charge
    if charge is None:
        raise charges.not_found()
    try:
        if command.name == "void":
            charge.void()
        elif command.name == "capture":
            charge.capture(command.amount, card)
        else:
            charge.refund(command.amount, card)
    finally:
        # A refusal can change a charge, too: the first refund that is refused.
        await cursor.execute(
            "UPDATE charges SET state = %s, authorized_minor = %s, captured_minor = %s,"
            " refunded_minor = %s, refund_refused = %s WHERE charge_id = %s",
            (charge.state, charge.authorized, charge.captured, charge.refunded)
            + (charge.refund_refused, charge.charge_id),
        )
    if command.name == "refund":
        await cursor.execute(
            "INSERT INTO refunds (refund_id, charge_id, amount_minor) VALUES (%s, %s, %s)",
            (command.request_id, charge.charge_id, command.amount.minor),
        )
    return charge


async def behaviour_of(cursor, known, command):
    """What the sandbox does with the card that the command is about; none if nobody has that card."""
    token = command.card_token if known is None else known.card_token
    card = await one(cursor, "SELECT behaviour FROM cards WHERE token = %s", token)
    return None if card is None else card["behaviour"]


async def manner_of(cursor, card, command):
    """How the answer goes out. The first of a lossy card's requests is marked, so that it is lost once."""
    if card in (cards.LOSE_FIRST_ANSWERS, cards.LOSE_FIRST_REQUESTS):
        await cursor.execute(
            "INSERT INTO lost_answers (key) VALUES (%s) ON CONFLICT DO NOTHING",
            (uuid.uuid5(command.request_id, command.name),),
        )
        if cursor.rowcount == 1:
            return LOST
    return SLOW if card == cards.ANSWER_SLOWLY else PROMPT


async def insert(cursor, charge):
    """Fails with a unique violation if another transaction made it meanwhile; whoever tries again finds it."""
    amount = charge.amount or Money(None, None)
    await cursor.execute(
        "INSERT INTO charges (charge_id, state, digest, card_token, currency, amount_minor,"
        " authorized_minor, decline_reason) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (charge.charge_id, charge.state, charge.digest, charge.card_token)
        + (amount.currency, amount.minor, charge.authorized, charge.decline_reason),
    )


async def one(cursor, statement, *values):
    await cursor.execute(statement, values)
    return await cursor.fetchone()


def charge_of(row):
    amount = None if row["currency"] is None else Money(row["currency"], row["amount_minor"])
    return Charge(
        charge_id=row["charge_id"],
        state=row["state"],
        create_time=row["create_time"],
        digest=row["digest"],
        card_token=row["card_token"],
        amount=amount,
        authorized=row["authorized_minor"],
        captured=row["captured_minor"],
        refunded=row["refunded_minor"],
        decline_reason=row["decline_reason"],
        refund_refused=row["refund_refused"],
    )


def card_digest(key, card):
    """Two nested hashes, each keyed: without the key a number cannot be found by trying."""
    year, month = card.expires
    inner = hashlib.sha256(key + f"{card.digits}/{month}/{year}".encode()).digest()
    return hashlib.sha256(key + inner).digest()
