"""An HTTP receiver that can fail on purpose, in the ways of real ones."""

import contextlib
import http.server
import random
import socket
import struct
import threading
import time


class HttpReceiver:
    """Keeps what arrives, then answers by `behaviour()`: a status, "hang", "reset", "drip" or "slow"."""

    def __init__(self, behaviour=lambda: 200, port=0):
        self.requests, self.answers, self.behaviour = [], [], behaviour  # (headers, body); what was answered
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    return  # the sender was killed meanwhile: no message, and nobody waits for an answer
                answer = receiver.behaviour()
                with receiver.lock:
                    receiver.requests.append((self.headers, body, self.path))
                    receiver.answers.append(answer)
                if answer == "hang":
                    receiver.end.wait(30)
                elif answer == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    self.rfile, self.wfile = open("/dev/null", "rb"), open("/dev/null", "wb")  # noqa: PTH123, SIM115
                elif answer == "drip":
                    with contextlib.suppress(OSError):
                        for byte in b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100:
                            self.wfile.write(bytes([byte]))
                            time.sleep(0.05)
                else:
                    if answer == "slow":
                        time.sleep(random.Random(len(receiver.requests)).uniform(0, 0.05))
                        answer = 200
                    self.send_response(answer)
                    if answer in (301, 302, 307, 308):
                        self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_):
                pass

        self.end = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self):
        self.end.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
