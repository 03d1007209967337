"""The sandbox card processor once more, in Python: `cargo mesh up --replace processor=COMMAND` runs it.

It is told by its environment what every service is told, and does what docs/SERVICES.md asks of one.
The modules of its contract, made by grpc_tools.protoc, have to be on PYTHONPATH.
"""

import asyncio
import ipaddress
import json
import os
import signal
import sys
from datetime import datetime, timezone

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as grpc_health
from grpc_reflection.v1alpha import reflection
from psycopg_pool import AsyncConnectionPool

import access
import admin
import api
import store
from shop.processor.v1 import cards_service_pb2, cards_service_pb2_grpc
from shop.processor.v1 import processor_service_pb2, processor_service_pb2_grpc

NAME = "processor"
# Who declares in its mesh.toml that it calls which method.
CALLERS = dict.fromkeys(
    ["AuthorizeCharge", "CaptureCharge", "VoidCharge", "RefundCharge", "GetCharge"],
    frozenset(["payments"]),
)
SERVICES = [
    cards_service_pb2.DESCRIPTOR.services_by_name["CardsService"],
    processor_service_pb2.DESCRIPTOR.services_by_name["ProcessorService"],
]
WRONG_SETTING = 64
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
# How often it is looked whether the database answers.
LOOK = 0.5
OPTIONS = [
    # Another process at the same port is a mistake, and is told.
    ("grpc.so_reuseport", 0),
    # Callers ask by pings whether a silent connection is alive; by default that is taken for an attack.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
]


class WrongSetting(Exception):
    """A setting that nobody can start with."""


class Watched(grpc_health.HealthServicer):
    """gRPC's health, whose watches end when they are told to: open ones would hold up the drain."""

    def __init__(self):
        super().__init__()
        self.ended = asyncio.Event()

    async def Watch(self, request, context):
        tasks = [super().Watch(request, context), self.ended.wait()]
        tasks = [asyncio.ensure_future(task) for task in tasks]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def log(level, message, **fields):
    """One JSON object per line, as `cargo mesh logs` reads it."""
    now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = {"timestamp": now, "level": level, "target": NAME, "message": message, **fields}
    print(json.dumps(line), flush=True)


def setting(name, default=None):
    value = os.environ.get(name, default)
    if not value:
        raise WrongSetting(f"{name} is not set")
    return value


def address(name):
    host, _, port = setting(name).rpartition(":")
    if not port.isdigit():
        raise WrongSetting(f"{name} is no address: {setting(name)}")
    return host.strip("[]"), int(port)


def duration(name, default):
    text = setting(name, default).strip()
    number = text.rstrip("".join(UNITS))
    try:
        return float(number) * UNITS[text[len(number) :] or "s"]
    except (KeyError, ValueError):
        raise WrongSetting(f"{name} is no duration: {text}") from None


def gates(host):
    """Who keeps out whom the contract does not name. A process that is told nothing of anybody serves its own
    machine only, and cannot tell callers apart."""
    if os.environ.get("TLS_CERT") or os.environ.get("SIDECAR_ADDR"):
        raise WrongSetting("this processor knows its callers by service tokens alone")
    path = os.environ.get("SERVICE_KEYS")
    if path is None and ipaddress.ip_address(host).is_loopback:
        return []
    setting("SERVICE_KEYS")
    try:
        return [access.Access(NAME, SERVICES, CALLERS, os.environ)]
    except (OSError, KeyError, ValueError) as error:
        raise WrongSetting(f"SERVICE_KEYS, USER_KEYS: {error}") from None


async def migrated(health, url, ended):
    """Waits for the database, and brings it to the newest migration. False if it ended before."""
    while not ended.is_set():
        try:
            await store.migrate(url)
            return True
        except store.UNREACHABLE as error:
            health.database = f"unreachable: {error}"
            await asyncio.sleep(LOOK)
    return False


async def watch(health, reporter, pool):
    """Keeps true what is said of readiness, by the admin port and by gRPC."""
    said = None
    while not health.draining:
        try:
            async with pool.connection(timeout=LOOK) as connection:
                await connection.execute("SELECT 1")
            health.database = None
        except store.UNREACHABLE as error:
            health.database = f"unreachable: {error}"
        if said != health.ready:
            said = health.ready
            log("INFO" if said else "WARN", "ready" if said else "not ready", why=health.database)
            await report(reporter, said)
        await asyncio.sleep(LOOK)
    await report(reporter, False)


async def report(reporter, ready):
    status = health_pb2.HealthCheckResponse
    for name in ["", "readiness", *(service.full_name for service in SERVICES)]:
        await reporter.set(name, status.SERVING if ready else status.NOT_SERVING)


def serve(health, pool, interceptors, at):
    """The server, which listens as soon as it is started, and what it says of its health."""
    server = grpc.aio.server(interceptors=interceptors, options=OPTIONS)
    kept = store.Store(pool)
    cards_service_pb2_grpc.add_CardsServiceServicer_to_server(api.Cards(kept, health, log), server)
    processor_service_pb2_grpc.add_ProcessorServiceServicer_to_server(
        api.Processor(kept, health, log), server
    )
    reporter = Watched()
    health_pb2_grpc.add_HealthServicer_to_server(reporter, server)
    named = [service.full_name for service in SERVICES]
    reflection.enable_server_reflection([*named, reflection.SERVICE_NAME], server)
    host, port = at
    server.add_insecure_port(f"{host}:{port}")
    return server, reporter


async def run():
    here, there = address("LISTEN_ADDR"), address("ADMIN_ADDR")
    drain, pre_stop = duration("DRAIN", "30s"), duration("PRE_STOP", "0s")
    url, interceptors = setting("DATABASE_URL"), gates(here[0])
    size = int(setting("DATABASE_POOL", "8"))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    health = admin.Health(NAME)
    pages = await admin.serve(health, *there)
    if not await migrated(health, url, ended):
        return
    limits = {"autocommit": True, "application_name": NAME, "options": store.OPTIONS}
    async with AsyncConnectionPool(url, min_size=1, max_size=size, kwargs=limits) as pool:
        server, reporter = serve(health, pool, interceptors, here)
        await reporter.set("liveness", health_pb2.HealthCheckResponse.SERVING)
        await report(reporter, False)
        await server.start()
        watching = asyncio.create_task(watch(health, reporter, pool))
        await ended.wait()
        log("INFO", "draining")
        health.draining = True
        await watching
        await asyncio.sleep(pre_stop)
        # Calls under way have so long; new ones are refused.
        stopped = asyncio.create_task(server.stop(drain))
        reporter.ended.set()
        await stopped
        await api.finished()
    pages.close()
    log("INFO", "stopped")


def main():
    try:
        asyncio.run(run())
    except WrongSetting as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(WRONG_SETTING)


main()
