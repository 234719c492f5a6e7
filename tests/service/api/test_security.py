"""Attacks: without a token, with the wrong role, from another site's page, with another host name, with large input."""

import hashlib
import json
import socket
import sys
import time

import httpx
import pytest

from anomalign.errors import StoreError
from anomalign.service.security import tokens
from anomalign.service.security.sessions import COOKIE
from tests.service.api.live_service import defect, inspect_image, run_service, send

OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/login"), ("POST", "/logout")}


@pytest.fixture
def document(guarded_service):
    with guarded_service.client("eve") as eve:
        return eve.get("/openapi.json").json()


def fill_path(path):
    return path.replace("{bank}", "parts").replace("{id}", "1")


def test_nobody_gets_in_without_a_token(guarded_service, document):
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert routes > OPEN
    wrong = [{}, {"Authorization": "Basic YTpi"}, {"Cookie": f"{COOKIE}=x"}]
    with guarded_service.client() as nobody:
        for method, path in sorted(routes - OPEN):
            for headers in wrong:
                answer = nobody.request(method, fill_path(path), headers=headers)
                assert answer.status_code == 401, (method, path)
                assert answer.json().keys() == {"error"}
        for path in ("/docs", "/openapi.json"):
            assert nobody.get(path).status_code == 401


def test_a_person_is_sent_to_the_page_where_one_signs_in(guarded_service):
    with guarded_service.client() as nobody:
        for path in ("/", "/inspections/1", "/banks/parts", "/audit", "/docs"):
            answer = nobody.get(path, headers={"Accept": "text/html,*/*"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert nobody.get("/api/banks", headers={"Accept": "text/html"}).status_code == 401


def test_a_page_that_there_is_not_is_a_page_for_people_and_json_for_machines(guarded_service):
    with guarded_service.client("ann") as ann, guarded_service.client() as nobody:
        for client in (ann, nobody):
            answer = client.get("/nix/%3Cscript%3E", headers={"Accept": "text/html,*/*"})
            assert answer.status_code == 404
            assert "There is no such page." in answer.text
            assert "script>" not in answer.text.split("<main")[1].split("</main>")[0].replace("noscript>", "")
            assert ('<nav aria-label="Main">' in answer.text) == (client is ann)
            assert client.get("/nix").json() == {"error": "Not Found"}
            assert client.get("/api/nix", headers={"Accept": "text/html"}).json() == {"error": "Not Found"}
            assert client.post("/nix", headers={"Accept": "text/html"}).json() == {"error": "Not Found"}
        answer = ann.get("/inspections/x", headers={"Accept": "text/html"})
        assert (answer.status_code, "There is no such page." in answer.text) == (404, True)
        assert ann.get("/inspections/x").status_code == 422


def test_the_page_of_a_thing_that_is_not_there_is_a_404_for_those_who_are_signed_in(guarded_service):
    with guarded_service.client("ann") as ann, guarded_service.client() as nobody:
        for path in ("/inspections/999", "/banks/nix", "/banks/nix/drift"):
            answer = ann.get(path, headers={"Accept": "text/html"})
            assert (answer.status_code, 'href="/">Back to the queue' in answer.text) == (404, True)
            assert "error" in ann.get(path).json()
            assert nobody.get(path, headers={"Accept": "text/html"}).headers["location"] == "/login"


def test_a_page_says_that_the_database_is_away(service, client, monkeypatch):
    def away(_):
        raise StoreError("secret of the database")

    monkeypatch.setattr(service.container.store, "get", away)
    answer = client.get("/inspections/1", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Records cannot be read or written just now" in answer.text
    assert "secret" not in answer.text


def test_monitors_may_ask_for_the_head_alone(guarded_service):
    with guarded_service.client() as nobody, guarded_service.client("ann") as ann:
        for client, path in ((nobody, "/healthz"), (nobody, "/readyz"), (ann, "/")):
            head, whole = client.head(path), client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(whole.content)) != "0"
            assert head.headers["content-type"] == whole.headers["content-type"]
        assert nobody.head("/").status_code == 401
        guarded_service.container.closing = True
        assert nobody.head("/readyz").status_code == 503


def test_what_is_for_admins_is_refused_to_operators(guarded_service):
    with guarded_service.client("ann") as ann, guarded_service.client("eve") as eve:
        for body in ({"remove": [1]}, {"target_fpr": 0.2}):
            assert ann.post("/api/banks/parts/proposals", json=body).status_code == 403
            proposal = eve.post("/api/banks/parts/proposals", json=body).json()
            assert ann.post(f"/api/proposals/{proposal['id']}/confirm").status_code == 403
            confirmation = eve.post(f"/api/proposals/{proposal['id']}/confirm")
            assert confirmation.status_code == 201
            assert ann.post(f"/api/edits/{confirmation.json()['id']}/undo").status_code == 403
            assert eve.post(f"/api/edits/{confirmation.json()['id']}/undo").status_code == 200
        assert ann.get("/api/audit").status_code == 403
        assert ann.get("/audit").status_code == 403
        assert eve.get("/api/audit").status_code == 200


def test_an_operator_takes_back_only_what_is_their_own(guarded_service):
    with (
        guarded_service.client("ann") as ann,
        guarded_service.client("bob") as bob,
        guarded_service.client("eve") as eve,
    ):
        id = inspect_image(ann, defect(1))["id"]
        for taker, status in ((bob, 403), (ann, 204), (ann, 409), (eve, 409)):
            if taker is bob:
                decision = ann.post(f"/api/inspections/{id}/decisions", json={"kind": "defect"}).json()
                assert decision["who"] == "ann"
            assert taker.delete(f"/api/decisions/{decision['id']}").status_code == status
        proposal = ann.post("/api/banks/parts/proposals", json={"add": id}).json()
        edit = ann.post(f"/api/proposals/{proposal['id']}/confirm").json()
        assert bob.post(f"/api/edits/{edit['id']}/undo").status_code == 403
        assert ann.post(f"/api/edits/{edit['id']}/undo").status_code == 200


def test_a_session_stands_for_a_token_and_ends_with_it(guarded_service, token_file):
    with guarded_service.client() as browser:
        answer = browser.post("/login", data={"token": guarded_service.tokens["ann"]})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert guarded_service.tokens["ann"] not in cookie
        assert browser.get("/api/banks").status_code == 200
        tokens.remove(token_file, "ann")
        assert browser.get("/api/banks").status_code == 401
        tokens.add(token_file, "ann", "admin")  # another token of that name opens no session of the old one
        assert browser.get("/api/banks").status_code == 401
    with guarded_service.client() as browser:
        browser.post("/login", data={"token": guarded_service.tokens["bob"]})
        old_cookies = dict(browser.cookies)
        assert browser.post("/logout").status_code == 303
        assert httpx.get(f"{guarded_service.url}/api/banks", cookies=old_cookies).status_code == 401


def test_wrong_tokens_are_slowed_down_but_right_ones_and_sessions_go_on(guarded_service):
    with guarded_service.client() as browser, guarded_service.client() as attacker:
        browser.post("/login", data={"token": guarded_service.tokens["ann"]})
        statuses = [
            attacker.get("/api/banks", headers={"Authorization": f"Bearer {number}"}).status_code for number in range(6)
        ] + [attacker.post("/login", data={"token": str(number)}).status_code for number in range(6)]
        assert statuses == [401] * 10 + [429] * 2
        refused = attacker.post("/login", data={"token": "x"})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert browser.get("/api/banks").status_code == 200
    with (
        guarded_service.client("eve") as eve,
        guarded_service.client() as another,
    ):  # from the attacker's address, as behind a proxy
        assert eve.get("/api/banks").status_code == 200
        assert another.post("/login", data={"token": guarded_service.tokens["bob"]}).status_code == 303


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 must be an address of this machine")
def test_only_a_proxy_that_was_named_is_believed(bank, tmp_path, token_file):
    token = tokens.add(token_file, "eve", "admin")
    headers = {"X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
    with run_service(bank, tmp_path / "data", token_file=token_file, proxies=("127.0.0.2", "127.0.3.0/24")) as service:
        for source, is_trusted in (("127.0.0.2", True), ("127.0.3.9", True), ("127.0.0.3", False)):
            transport = httpx.HTTPTransport(local_address=source)
            with httpx.Client(base_url=service.url, headers=headers, transport=transport) as browser:
                answer = browser.post("/login", data={"token": token})
                assert answer.status_code == 303
                assert ("Secure" in answer.headers["set-cookie"].split("; ")) == is_trusted
                (event,) = service.container.store.audit(limit=1).events
                assert event.details == {"address": "192.0.2.9" if is_trusted else source}


def test_a_token_file_that_cannot_be_read_lets_nobody_in(guarded_service, token_file):
    with guarded_service.client("eve") as eve:
        assert eve.get("/api/banks").status_code == 200
        token_file.write_text(token_file.read_text() + "half a li")
        answer = eve.get("/api/banks")
        assert answer.status_code == 503
        assert "half" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "anything"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Authorization": "Basic dTpw"},  # of a URL as http://u:p@127.0.0.1/
    ],
)
def test_what_another_sites_page_sends_is_refused(kept_service, kept_client, headers):
    id = inspect_image(kept_client, defect(1))["id"]
    writes = [
        ("POST", f"/api/inspections/{id}/decisions", {"json": {"kind": "defect"}}),
        ("DELETE", "/api/decisions/1", {}),
        ("POST", "/api/banks/parts/proposals", {"json": {"add": id}}),
        ("POST", "/api/banks/parts/inspections", {"files": {"files": defect(2)}}),
        ("POST", "/login", {"data": {"token": "x"}}),
        ("POST", "/logout", {}),
    ]
    before = kept_service.container.store.audit().events
    for method, path, content in writes:
        assert kept_client.request(method, path, headers=headers, **content).status_code == 403, path
    assert kept_service.container.store.audit().events == before
    assert kept_service.container.store.get(id + 1) is None


def test_own_pages_and_scripts_may_write(service, client):
    id = inspect_image(client, defect(1))["id"]
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": service.url},
        {"Sec-Fetch-Site": "none"},
        {"Origin": service.url},
    ):
        answer = client.post(f"/api/inspections/{id}/decisions", json={"kind": "unsure"}, headers=headers)
        assert answer.status_code == 201


def test_another_sites_page_cannot_read_or_show_ours(client):
    id = inspect_image(client, defect(1))["id"]
    for path in (f"/api/inspections/{id}/picture", "/api/inspections", "/"):
        frame_headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
        image_headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        for headers in (frame_headers, image_headers):
            assert client.get(path, headers=headers).status_code == 403
        answer = client.get(path, headers={"Origin": "http://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    link_headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=link_headers).status_code == 200
    assert client.options("/api/banks", headers={"Access-Control-Request-Method": "POST"}).status_code == 405


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "10.0.0.1", "", "localhost@evil.example",
     "127.0.0.1:99999999", "[::1", "local host", "localhost/x", "xn--lcalhost-8za"],
)  # fmt: skip
def test_a_name_that_was_made_to_point_here_is_refused(kept_service, host):
    with socket.create_connection(("127.0.0.1", kept_service.port), 10) as link:
        link.sendall(f"GET /api/banks HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert int(link.recv(100).split()[1]) in (400, 421)


def test_names_of_the_loopback_are_ours(service):
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.2:80", "[::1]:8000"):
        assert httpx.get(f"{service.url}/healthz", headers={"Host": host}).status_code == 200


def test_every_response_has_the_headers(client):
    id = inspect_image(client, defect(1))["id"]
    paths = ["/", "/docs", "/healthz", f"/api/inspections/{id}", f"/api/inspections/{id}/picture", "/nix", "/metrics"]
    answers = [client.get(path) for path in paths]
    answers += [client.get("/", headers={"Host": "evil.example"}), client.post("/api/inspections/x/decisions")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] in ("no-store", "private, no-cache")
        assert answer.headers["x-request-id"]
        assert "server" not in answer.headers


def test_no_stack_trace_leaves_the_house(service, client, caplog):
    def fail(*_):
        raise RuntimeError("secret: /var/lib/passwords")

    service.container.store.get = fail
    answer = client.get("/api/inspections/1")
    assert answer.status_code == 500
    id = answer.headers["x-request-id"]
    assert answer.json() == {"error": f"internal error; see request {id} in the service's log"}
    logged = next(record for record in caplog.records if record.exc_info and id in record.getMessage())
    assert "passwords" in str(logged.exc_info[1])


def test_the_log_is_a_line_a_failed_request_whatever_is_asked_for(service, client, caplog):
    caplog.set_level("INFO", "anomalign.service")
    client.get("/api/banks")
    client.get("/api/inspections/%0d%0aGET%20forged%1b[31m?token=secret")
    deadline = time.monotonic() + 10
    while not caplog.records and time.monotonic() < deadline:  # it is written once the answer is on its way
        time.sleep(0.01)
    lines = [record.getMessage() for record in caplog.records if record.name == "anomalign.service"]
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert "secret" not in lines[0]


def test_the_database_of_the_service_holds_no_token_and_neither_does_the_file(guarded_service, token_file, tmp_path):
    with guarded_service.client() as browser:
        browser.post("/login", data={"token": guarded_service.tokens["ann"]})
    for name, token in guarded_service.tokens.items():
        assert hashlib.sha256(token.encode()).hexdigest() in token_file.read_text(), name
        for path in tmp_path.rglob("*"):
            if path.is_file():
                assert token.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"a" * 8192),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"a" * 8192),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n" * 1024),
        (b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;x=", b"a" * 8192),
        (b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1024),
    ],
    ids=["address", "header", "headers", "extension of a chunk", "trailers"],
)
def test_heads_without_an_end_are_not_collected(service, client, begin, more):
    with socket.create_connection(("127.0.0.1", service.port), 10) as link:
        link.sendall(begin)
        size = 0
        try:
            while size < 8_000_000:
                link.sendall(more)
                size += len(more)
        except OSError:  # the other side has closed
            pass
        assert size < 8_000_000
    assert client.get("/healthz").status_code == 200


def test_requests_that_are_too_slow_or_broken_hold_nothing_up(service, client):
    links = [socket.create_connection(("127.0.0.1", service.port), 10) for _ in range(50)]
    for number, link in enumerate(links):
        link.sendall(
            [
                b"GET / HT",
                b"POST /api/banks/parts/inspections HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
            ][number % 2]
        )
    assert client.get("/healthz").status_code == 200
    assert send(client, defect(1)).status_code == 200
    for link in links:
        link.close()


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../pyproject.toml",
        "/static/x/..%2f..%2fapp.py",
        "/..%2f..%2fetc/passwd",
        "/api/banks/..%2f..%2fetc/images",
    ],
)
def test_a_path_of_a_request_reaches_no_file(kept_service, path):
    with socket.create_connection(("127.0.0.1", kept_service.port), 10) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert int(link.recv(100).split()[1]) in (404, 422)


def test_notes_come_back_as_they_are_and_only_as_json(client):
    id = inspect_image(client, defect(1))["id"]
    note = "<script>alert(1)</script> \u202e'; DROP TABLE inspections; -- \x00"
    answer = client.post(f"/api/inspections/{id}/decisions", json={"kind": "defect", "note": note})
    assert answer.status_code == 201
    answer = client.get(f"/api/inspections/{id}")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.text)["decision"]["note"].startswith("<script>alert(1)</script>")
    assert "<script>alert" not in client.get(f"/inspections/{id}").text
