"""The service under load, against the bare pipeline: rate, waiting times, refusals, memory.

    python benchmarks/service.py TRAIN TEST [--rounds 5] [--images 320] [--clients 8] [--long 10000] [--json FILE]

TRAIN and TEST are folders of images. In turns, on this machine: `Detector.inspect_many` over the test images in a
process of its own, and the same images sent over loopback, one a request, by as many clients as asked for (threads of
another process, whose work counts against the service). Every answer of the service means a record on the disk. Then
more clients than may wait, for the refusals, and a long run for the memory. `--long 0` leaves that out.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from anomalign import Bank, Detector
from anomalign.images.files import find_images

BOUNDARY = "anomalign-benchmark"


def bare(bank: str, paths: list[str], answer) -> None:
    """Seconds of `Detector.inspect_many`, after a warm-up."""
    detector = Detector(Bank.open(bank))
    list(detector.inspect_many(paths[:8]))
    start = time.perf_counter()
    for _ in detector.inspect_many(paths):
        pass
    answer.put(time.perf_counter() - start)


def load(port: int, bank: str, bodies: list[bytes], requests: int, clients: int, answer) -> None:
    """Send requests from several clients; seconds in all, those of each answer, and how many were refused."""
    head = (
        b"POST /api/banks/%s/inspections HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/form-data; boundary=" + BOUNDARY.encode() + b"\r\n\r\n"
    )
    numbers = itertools.count()
    waits: list[float] = []
    refused: list[int] = []
    problems: list[str] = []

    def client() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=120) as link, link.makefile("rb") as answers:
            while (number := next(numbers)) < requests:
                content = bodies[number % len(bodies)]
                begin = time.perf_counter()
                link.sendall(head % (bank.encode(), len(content)) + content)
                status, headers = read_answer(answers)
                if status == 429:
                    refused.append(int(headers[b"retry-after"]))
                elif status == 200:
                    waits.append(time.perf_counter() - begin)
                else:
                    problems.append(str(status))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer.put((time.perf_counter() - start, waits, len(refused), problems))


def read_answer(stream) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of an answer, its body passed over: little work, as it counts against the service."""
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    stream.read(int(headers[b"content-length"]))
    return status, headers


def apart(function, *arguments):
    """Result of a function that runs in a fresh process."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=function, args=(*arguments, answer))
    process.start()
    result = answer.get(timeout=3600)
    process.join()
    return result


def body(path: Path) -> bytes:
    """A request that sends one image."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n'
    content = path.read_bytes()
    return b"".join([head.encode(), b"Content-Type: image/png\r\n\r\n", content, f"\r\n--{BOUNDARY}--\r\n".encode()])


def serve(bank: Path, data: Path) -> tuple[subprocess.Popen, int]:
    """A service on a free port, once it answers."""
    command = [sys.executable, "-m", "anomalign", "serve", str(bank), "--data", str(data), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("http://127.0.0.1:"):
            threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
            return process, int(line.split(":")[2].split("/")[0])
    sys.exit("the service did not start:\n" + "".join(lines))


def resident_mb(process: subprocess.Popen) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmRSS"))


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the service under load: rate, waiting times, refusals and memory."
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=320, help="a round")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--long", type=int, default=10_000, help="requests of the long run")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    paths = find_images([options.test])
    paths = list(itertools.islice(itertools.cycle(paths), options.images))
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.create(Path(folder) / "product.bank")
        bank.add(options.train)
        Detector(bank).calibrate()
        process, port = serve(bank.path, Path(folder) / "data")
        try:
            result = measure(options, process, port, bank.path, paths)
        finally:
            process.send_signal(signal.SIGTERM)
            result_code = process.wait(timeout=120)
    result["exit_code"] = result_code
    print(f"exit code after SIGTERM: {result_code}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def measure(options, process: subprocess.Popen, port: int, bank: Path, paths: list[Path]) -> dict:
    bodies = [body(path) for path in dict.fromkeys(paths)]
    apart(load, port, "product", bodies, 32, options.clients)  # warm-up
    names, rounds, waits = [str(path) for path in paths], [], []
    print("| round | bare, images/s | service, requests/s | ratio |\n|---|---|---|---|")
    for number in range(options.rounds):
        plain = len(names) / apart(bare, str(bank), names)
        seconds, waited, refused, problems = apart(load, port, "product", bodies, len(names), options.clients)
        if refused or problems:
            sys.exit(f"{refused} refused, {problems[:3]}: too many clients for a comparison")
        rounds.append((plain, len(names) / seconds))
        waits += waited
        print(f"| {number + 1} | {plain:.1f} | {rounds[-1][1]:.1f} | {rounds[-1][1] / plain:.2f} |", flush=True)
    ratio = statistics.median(service / plain for plain, service in rounds)
    times = {f"p{share}": 1000 * percentile(waits, share / 100) for share in (50, 95, 99)}
    print(f"median ratio {ratio:.2f}; {options.clients} clients wait, ms: {times}")
    single = apart(load, port, "product", bodies, len(bodies), 1)[1]
    alone = {f"p{share}": 1000 * percentile(single, share / 100) for share in (50, 95, 99)}
    print(f"one client waits, ms: {alone}")
    seconds, answered, refused, problems = apart(load, port, "product", bodies, 1000, 200)
    print(f"200 clients: {len(answered)} answered, {refused} refused with 429, {len(problems)} other, {seconds:.0f} s")
    memory = [resident_mb(process)]
    for _ in range(options.long // 500):
        _, answered_now, refused_now, problems_now = apart(load, port, "product", bodies, 500, options.clients)
        if len(answered_now) != 500:
            sys.exit(f"long run: {refused_now} refused, {problems_now[:3]}")
        memory.append(resident_mb(process))
    if len(memory) > 1:
        print(f"resident, MB, every 500 requests of {options.long}: {', '.join(f'{mb:.0f}' for mb in memory)}")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "rounds": rounds,
        "median_ratio": ratio,
        "clients": options.clients,
        "wait_ms": times,
        "wait_ms_one_client": alone,
        "overload": {"answered": len(answered), "refused": refused, "other": problems, "seconds": seconds},
        "resident_mb": memory,
    }


if __name__ == "__main__":
    main()
