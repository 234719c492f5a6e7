"""Webhooks: signed as the specification has it, and delivered only by a 2xx."""

import base64
import json
import ssl
import time

import pytest

from anomalign.errors import InputError
from anomalign.service.delivery.receiver import DeliveryError
from anomalign.service.delivery.webhook import Webhook, read_secret, signature
from tests.service.delivery.certificates import make_certificate
from tests.service.delivery.http_receiver import HttpReceiver
from tests.service.delivery.messages import message

SECRET = bytes(range(32))


@pytest.fixture
def receive():
    receivers = []

    def receive(behaviour=lambda: 200):
        receivers.append(HttpReceiver(behaviour))
        return receivers[-1]

    yield receive
    for receiver in receivers:
        receiver.close()


def test_the_published_example_of_the_specification():
    """Of the test suite of github.com/standard-webhooks/standard-webhooks."""
    secret = read_secret(None, {"ANOMALIGN_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_arrives(receive):
    receiver = receive()
    Webhook(receiver.url + "?line=1", SECRET).deliver(message(7))
    ((headers, body, path),) = receiver.requests
    assert json.loads(body) == json.loads(message(7).to_json())
    assert path == "/hook?line=1"
    assert headers["Content-Type"] == "application/json"
    assert headers["Webhook-Id"] == json.loads(body)["id"] == message(7).id
    timestamp = int(headers["Webhook-Timestamp"])
    assert abs(timestamp - time.time()) < 60
    assert headers["Webhook-Signature"] == signature(SECRET, message(7).id, timestamp, body)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_confirmation(receive, status):
    Webhook(receive(lambda: status).url, SECRET).deliver(message())


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
def test_any_other_status_is_a_failure_and_no_redirect_is_followed(receive, status):
    receiver = receive(lambda: status)
    with pytest.raises(DeliveryError, match=f"{receiver.url}: answers {status}"):
        Webhook(receiver.url, SECRET).deliver(message())
    assert [path for _, _, path in receiver.requests] == ["/hook"]


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [("hang", "no answer within"), ("drip", "no answer within"), ("reset", "reset|no HTTP answer")],
)
def test_no_answer_is_a_failure_in_time(receive, behaviour, text):
    receiver = receive(lambda: behaviour)
    with pytest.raises(DeliveryError, match=text):
        Webhook(receiver.url, SECRET, limit_s=0.4).deliver(message())


def test_an_answer_whose_headers_do_not_end_in_time_confirms_nothing(receive):
    """Its status line, of 17 bytes at 20 a second, is there before the limit."""
    with pytest.raises(DeliveryError, match="no answer within 1.5 s"):
        Webhook(receive(lambda: "drip").url, SECRET, limit_s=1.5).deliver(message())


def test_nobody_there_and_nothing_secret_in_the_error(free_port, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2")
    with pytest.raises(DeliveryError) as caught:
        Webhook(f"http://127.0.0.1:{free_port}/${{TOKEN}}/x?key=hunter3", SECRET).deliver(message())
    assert str(caught.value) == f"http://127.0.0.1:{free_port}/${{TOKEN}}/x: Connection refused"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", ["hunter2\r", "hunter2\nx", "hunter2 x", "hunter2#x", "hunter2#"])
def test_a_secret_that_is_no_part_of_a_url_is_refused_and_not_shown(value, monkeypatch):
    monkeypatch.setenv("TOKEN", value)
    with pytest.raises(
        InputError, match=r"https://erp\.example/\$\{TOKEN\}: (holds a space|the part behind a #)"
    ) as caught:
        Webhook("https://erp.example/${TOKEN}", SECRET)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["${TO-KEN}", "${", "${}"])
def test_what_is_no_name_of_a_variable_is_never_sent(text):
    with pytest.raises(InputError, match="without the name of a variable"):
        Webhook(f"https://erp.example/{text}", SECRET)


def test_letters_of_other_alphabets_are_encoded_and_what_is_encoded_stays(receive):
    receiver = receive()
    Webhook(f"{receiver.url}/pr\xfcfung/%C3%BC/a+b?k=\xe9&l=%20", SECRET).deliver(message())
    assert [path for _, _, path in receiver.requests] == ["/hook/pr%C3%BCfung/%C3%BC/a+b?k=%C3%A9&l=%20"]


def test_a_variable_in_the_url_is_put_in(receive, monkeypatch):
    receiver = receive()
    monkeypatch.setenv("TOKEN", "hunter2")
    Webhook(f"{receiver.url}/${{TOKEN}}?key=${{TOKEN}}", SECRET).deliver(message())
    assert [path for _, _, path in receiver.requests] == ["/hook/hunter2?key=hunter2"]


@pytest.mark.parametrize(
    "url", ["https://", "ftp://a.example/", "https://ann:secret@a.example/", "https://a.example/a b"]
)
def test_urls_that_are_refused(url):
    with pytest.raises(InputError) as caught:
        Webhook(url, SECRET)
    assert "secret" not in str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    certificate, key = make_certificate(tmp_path, "receiver")
    receiver = HttpReceiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver._server.socket = context.wrap_socket(receiver._server.socket, server_side=True)
    try:
        with pytest.raises(DeliveryError, match="its certificate is not valid"):
            Webhook(receiver.url.replace("http:", "https:"), SECRET).deliver(message())
        assert receiver.requests == []
    finally:
        receiver.close()


@pytest.mark.parametrize(
    "text", ["", "short", "whsec_" + base64.b64encode(bytes(23)).decode(), "no base64 at all, but long"]
)
def test_secrets_that_are_refused(tmp_path, text):
    (tmp_path / "secret").write_text(text)
    with pytest.raises(InputError, match="openssl rand -base64 32") as caught:
        read_secret(tmp_path / "secret")
    assert not text or text not in str(caught.value)
    with pytest.raises(InputError, match="ANOMALIGN_WEBHOOK_SECRET"):
        read_secret(None, {"ANOMALIGN_WEBHOOK_SECRET": text})


def test_a_secret_of_a_file_with_and_without_its_prefix(tmp_path):
    text = base64.b64encode(SECRET).decode()
    for written in (text, f"whsec_{text}\n"):
        (tmp_path / "secret").write_text(written)
        assert read_secret(tmp_path / "secret") == SECRET
    with pytest.raises(InputError, match="cannot be read"):
        read_secret(tmp_path / "none")
