"""Mosquitto on the loopback, which a test may kill and start again; and a client that keeps what it hears."""

import os
import shutil
import socket
import subprocess
import threading
import time

import pytest


class Broker:
    """An MQTT broker in a folder of its own; it keeps sessions of clients on the disk, as brokers at a line do."""

    def __init__(self, folder, *settings, port=None):
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed")
        pytest.importorskip("paho.mqtt", reason="paho-mqtt is not installed")
        self._program, self._folder, self.port = program, folder, port or free_port()
        folder.mkdir(exist_ok=True)
        lines = settings or ("allow_anonymous true",)
        common = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/", "user root"]
        saved = ["autosave_on_changes true", "autosave_interval 1", "max_queued_messages 0", "queue_qos0_messages true"]
        (folder / "mosquitto.conf").write_text("\n".join([*common, *saved, *lines]) + "\n")
        self.process = None
        self.start()

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self):
        """Start, and return when it listens."""
        deadline = time.monotonic() + 30
        while True:
            if self.process is None or self.process.poll() is not None:
                with (self._folder / "log").open("ab") as log:
                    command = [self._program, "-c", self._folder / "mosquitto.conf"]
                    self.process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.terminate()
        self.process.wait()


class Listener:
    """A client with a session that the broker keeps; `heard` are (topic, payload, retained).

    It subscribes with QoS 0: the broker passes a message on before it confirms it to the sender, and this client has
    nothing to answer, so a kill of the broker finds the message in this client's socket.
    """

    def __init__(self, broker, topic="#", **options):
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard, self._ready = [], threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self.client.reconnect_delay_set(0.05, 0.1)
        if "user" in options:
            self.client.username_pw_set(options["user"], options["password"])
        if "ca" in options:
            self.client.tls_set(str(options["ca"]))
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=0)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_disconnect = lambda *_: self._ready.clear()
        self.client.on_message = lambda _, __, m: self.heard.append((m.topic, m.payload.decode(), m.retain))
        self.client.connect("localhost" if "ca" in options else "127.0.0.1", broker.port)
        self.client.loop_start()
        assert self._ready.wait(30)

    def wait(self):
        """Wait until it is connected again."""
        deadline = time.monotonic() + 30
        while not self._ready.is_set():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
