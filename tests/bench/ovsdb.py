"""One transaction with an ovsdb-server (RFC 7047 section 4.1.3), without a command that starts first."""

from __future__ import annotations

import json
import socket
from typing import Any

from sdnapp.lab.errors import LabError


def transact(server: str, database: str, operations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Change a database of the server at ``unix:PATH``; return the results.

    Raises LabError with the first error.
    """
    request = {"method": "transact", "params": [database, *operations], "id": 1}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server.removeprefix("unix:"))
        connection.sendall(json.dumps(request).encode())
        answer = bytearray()
        while answer.count(b"{") != answer.count(b"}") or not answer:
            answer += connection.recv(1 << 20)
    results: list[dict[str, Any]] = json.loads(answer)["result"]
    failed = [result for result in results if result and "error" in result]
    if failed:
        raise LabError(f"ovsdb-server: {failed[0]}")
    return results
