"""docs/results-out.md says what arrives."""

import base64
import json
import re
from pathlib import Path

from anomalign.service.delivery.webhook import Webhook
from anomalign.service.store import Destination, Store
from tests.service.delivery.http_receiver import HttpReceiver
from tests.service.delivery.messages import message
from tests.service.store.new_records import new_record

PAGE = (Path(__file__).parents[3] / "docs" / "results-out.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def keys(message):
    return list(message), [list(region) for region in message["regions"]]


def test_the_message_has_these_fields(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/records.sqlite", [Destination("folder /a")])
    store.add([new_record()])
    (made,) = store.outbox.pending("folder /a", 1)
    store.close()
    assert keys(json.loads(made.to_json())) == keys(json.loads(block("json")))


def test_the_eight_lines_verify_what_arrives_and_nothing_else():
    names = {}
    exec(block("python"), names)
    is_genuine, receiver, secret = names["is_genuine"], HttpReceiver(), bytes(range(32))
    Webhook(receiver.url, secret).deliver(message())
    receiver.close()
    ((headers, body, _),) = receiver.requests
    text = base64.b64encode(secret).decode()
    assert is_genuine(text, headers, body)
    assert is_genuine(f"whsec_{text}", headers, body)
    assert not is_genuine(text, headers, body.replace(b"anomalous", b"normal"))
    assert not is_genuine(base64.b64encode(bytes(32)).decode(), headers, body)
    old = {**headers, "Webhook-Timestamp": str(int(headers["Webhook-Timestamp"]) - 400)}
    assert not is_genuine(text, old, body)
    assert set(re.findall(r"^(Webhook-\w+|Content-Type|User-Agent):", PAGE, re.MULTILINE)) <= set(headers)
