"""The admin port: /healthz, /readyz and /metrics, by HTTP/1.1."""

import asyncio
import json
from collections import Counter

LONGEST_REQUEST = 16 * 1024
PATIENCE = 10


class Health:
    """Whether the process wants calls."""

    def __init__(self, service):
        self.service = service
        self.draining = False
        self.database = "starting"
        self.calls = Counter()

    @property
    def ready(self):
        return not self.draining and self.database is None

    def page(self, path):
        """Status, type and text of a page."""
        if path == "/healthz":
            return 200, "application/json", json.dumps({"status": "alive", "service": self.service})
        if path == "/readyz":
            return (200 if self.ready else 503), "application/json", json.dumps(self.report())
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self.metrics()
        return 404, "application/json", json.dumps({"tables": []})

    def report(self):
        database = {"state": "ready" if self.database is None else "down"}
        if self.database is not None:
            database["why"] = self.database
        conditions = {"database": database}
        return {
            "ready": self.ready,
            "draining": self.draining,
            "service": self.service,
            "conditions": conditions,
        }

    def metrics(self):
        lines = ["# TYPE processor_calls_total counter"]
        for (method, code), count in sorted(self.calls.items()):
            lines.append(f'processor_calls_total{{method="{method}",code="{code}"}} {count}')
        return "\n".join(lines) + "\n"


async def serve(health, host, port):
    """Answers until the server is closed."""

    async def answer(reader, writer):
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            code, kind, text = health.page(path)
            body = text.encode()
            writer.write(
                f"HTTP/1.1 {code} {'OK' if code == 200 else 'Not so'}\r\ncontent-type: {kind}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            )
            writer.write(body)
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass
        except (ConnectionError, IndexError, UnicodeDecodeError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(answer, host, port, limit=LONGEST_REQUEST)
