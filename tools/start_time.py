"""How long a start takes until `/health/ready` answers 200: `.venv/bin/python tools/start_time.py`.

Each start has a new folder, so it makes a database and a key; each is followed by a second start with that database.
The median of both is printed, in seconds of wall time and of processor time (Linux), beside the time that an empty
`python -c pass` takes: a busy machine lengthens all of them.
"""

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REQUEST = b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def cpu_seconds(process: int) -> float:
    """Processor time of a running process and its threads; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def is_ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(REQUEST)
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def start(python: str, folder: str) -> tuple[float, float]:
    """Start a gateway in *folder* and stop it; the wall time and the processor time until it was ready."""
    port = free_port()
    begun = time.perf_counter()
    command = [python, "-P", "-m", "trunkline", "serve", "--port", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not is_ready(port):
        if process.poll() is not None:
            raise SystemExit("the gateway has ended; start it by hand to see why")
        time.sleep(0.002)
    took = time.perf_counter() - begun, cpu_seconds(process.pid)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    return took


def nothing(python: str) -> float:
    begun = time.perf_counter()
    subprocess.run([python, "-c", "pass"], check=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the time until /health/ready answers 200.")
    parser.add_argument("--python", default=sys.executable, help="the environment's interpreter")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    first: list[tuple[float, float]] = []
    later: list[tuple[float, float]] = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            first.append(start(options.python, folder))
            later.append(start(options.python, folder))
    empty = statistics.median(nothing(options.python) for _ in range(options.runs))
    print(f"python -c pass: {empty:.3f} s")
    for name, runs in (("first start (new database)", first), ("later start", later)):
        wall, cpu = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{name}: {wall:.3f} s, processor {cpu:.3f} s")


if __name__ == "__main__":
    main()
