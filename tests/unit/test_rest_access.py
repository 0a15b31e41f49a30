"""Which clients REST answers: tokens and certificates, scopes, and the file that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import falcon.testing
import pytest
from click.testing import CliRunner, Result

from sdnapp.cli.main import main
from sdnapp.net.model import Rest, TlsFiles
from sdnapp.renewal import renew
from sdnapp.rest.access import Access, Entry, digest_of, parse, read
from sdnapp.rest.application import application
from sdnapp.rest.conversation import PEER_NAMES
from sdnapp.rest.door import Door
from sdnapp.tls import Unusable
from tests.unit.test_rest import Controller

FROZEN = {"network": "red/web", "mac": "02:00:00:00:00:99"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "access"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def new(file: Path, name: str, *scopes: str) -> str:
    """A new token."""
    made = run("token", "new", name, "--file", file, *(f"--scope={scope}" for scope in scopes))
    assert made.exit_code == 0, made.output
    return made.output.strip()


def door(file: Path) -> Door:
    return Door(Rest(False, "192.168.4.10", 8443, str(file), None), TlsFiles("", "", ""))


Ask = Callable[..., falcon.testing.Result]


@pytest.fixture
def ask(file: Path) -> Ask:
    def asked(
        path: str = "/v1/hosts",
        *,
        token: str | None = None,
        names: frozenset[str] = frozenset(),
        address: str = "192.168.4.77",
        body: object = None,
    ) -> falcon.testing.Result:
        client = falcon.testing.TestClient(application(Controller(), door(file)))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        extras = {PEER_NAMES: names}
        method = "GET" if body is None else "POST"
        return client.simulate_request(
            method, path, headers=headers, extras=extras, remote_addr=address, json=body
        )

    return asked


def test_without_a_token_nothing_is_answered_and_it_is_said_how_to_get_one(file: Path, ask: Ask) -> None:
    new(file, "grafana")
    for path in ("/v1/hosts", "/stats/switches", "/openapi.json", "/healthz", "/nowhere"):
        result = ask(path)
        assert result.status_code == 401
        assert "sdnapp token new" in result.json["remedy"]
        assert result.headers["www-authenticate"] == 'Bearer realm="sdnapp"'


def test_a_token_opens_what_its_scope_says(file: Path, ask: Ask) -> None:
    reading, operating = new(file, "grafana"), new(file, "ops", "operate")

    assert ask(token=reading).status_code == 200
    refused = ask("/v1/locations/unfreeze", token=reading, body=FROZEN)
    assert refused.status_code == 403
    assert refused.json == {
        "error": "grafana may read, this needs operate",
        "remedy": "use a token of scope operate",
    }
    assert ask(token=operating).status_code == 200
    assert ask("/v1/locations/unfreeze", token=operating, body=FROZEN).status_code == 200


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "x", lambda _: "", lambda _: "\xe9" * 43])
def test_any_other_token_opens_nothing(file: Path, ask: Ask, change: Callable[[str], str]) -> None:
    made = new(file, "grafana", "operate")

    assert ask(token=change(made)).status_code == 401
    assert ask(token=digest_of(made)).status_code == 401


def test_a_verified_certificate_opens_what_the_file_gives_its_name(file: Path, ask: Ask) -> None:
    assert run("token", "allow", "alice", "--file", file, "--scope", "operate").exit_code == 0
    token = new(file, "bob", "operate")

    assert ask("/v1/locations/unfreeze", names=frozenset({"alice"}), body=FROZEN).status_code == 200
    refused = ask(names=frozenset({"host1"}))
    assert (refused.status_code, refused.json["error"]) == (403, "the certificate of host1 has no scope")
    assert ask(names=frozenset({"bob"})).status_code == 403, "a token's name is no certificate's"
    assert ask(names=frozenset({"host1"}), token=token).status_code == 200, "a token counts by itself"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_probes_of_the_machine_itself_need_no_token(file: Path, ask: Ask, address: str) -> None:
    new(file, "grafana")

    assert ask("/healthz", address=address).status_code == 200
    assert ask("/v1/hosts", address=address).status_code == 401


def test_the_file_is_read_again_and_a_broken_one_changes_nothing(file: Path) -> None:
    first = new(file, "first")
    at = door(file)
    client = falcon.testing.TestClient(application(Controller(), at))

    def status(token: str) -> int:
        renew(at.files)
        headers = {"Authorization": f"Bearer {token}"}
        code: int = client.simulate_get("/v1/hosts", headers=headers, remote_addr="10.0.0.1").status_code
        return code

    second = new(file, "second")
    assert status(second) == 200
    assert run("token", "remove", "first", "--file", file).exit_code == 0
    assert status(first) == 401
    file.write_text("nonsense")
    assert status(second) == 200
    file.unlink()
    assert status(second) == 200


def test_the_file_holds_no_token_and_is_for_its_owner_and_group(file: Path) -> None:
    made = new(file, "grafana")

    assert made.startswith("sdnapp_")
    assert made not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o640
    assert read(str(file)).of_token(made) == Entry("grafana", frozenset({"read"}), digest_of(made))


def test_an_entry_is_added_and_removed_without_touching_others(file: Path) -> None:
    file.write_text("# ours\n\ngrafana read sha256:" + "0" * 64 + "  # kept")
    file.chmod(0o600)
    before = file.read_text()
    new(file, "ops", "read", "operate")

    assert file.read_text().startswith(before + "\nops operate,read sha256:")
    assert run("token", "list", "--file", file).output == (
        "grafana: read (token 00000000)\n"
        f"ops: operate, read (token {read(str(file)).entries[1].digest[:8]})\n"  # type: ignore[index]
    )
    assert run("token", "remove", "ops", "--file", file).output == f"{file}: ops is removed\n"
    assert file.read_text() == before + "\n"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a read", "f:1: 2 words instead of NAME SCOPES CREDENTIAL"),
        ("# a\n/ read certificate", "f:2: '/' is not a name"),
        ("a read,write certificate", "f:1: 'write' is not a scope: use read or operate"),
        ("a read sdnapp_secret", "f:1: the credential is neither sha256: with 64 digits nor certificate"),
        ("a read certificate\na operate certificate", "f:2: a is here twice"),
    ],
)
def test_what_is_wrong_in_the_file_is_told_with_its_line_and_no_secret(text: str, words: str) -> None:
    with pytest.raises(Unusable) as caught:
        parse(text, "f")

    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_mistake_in_the_call_changes_nothing(file: Path) -> None:
    new(file, "grafana")
    before = file.read_text()

    for command in (("new", "grafana"), ("new", "a b"), ("remove", "nobody")):
        done = run("token", *command, "--file", file)
        assert done.exit_code == 2
        assert done.output.startswith("Error: ")
        assert file.read_text() == before
    missing = run("token", "list", "--file", file.with_name("none"))
    assert missing.exit_code == 2
    assert "'sdnapp token new' makes it" in missing.output


def test_every_token_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that a refusal takes tells nothing about which digests are there."""
    compared: list[str] = []

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("sdnapp.rest.access.compare_digest", compare)
    tokens = ["a", "b", "c"]
    access = Access(tuple(Entry(t, frozenset({"read"}), digest_of(t)) for t in tokens))

    for presented in (*tokens, "d"):
        access.of_token(presented)
    assert compared == [digest_of(t) for t in tokens] * 4


def test_openapi_says_which_credentials_there_are_and_which_scope_is_needed() -> None:
    document = falcon.testing.TestClient(application(Controller())).simulate_get("/openapi.json").json

    assert set(document["components"]["securitySchemes"]) == {"token", "certificate"}
    assert document["security"] == [{"token": []}, {"certificate": []}, {}]
    scopes = {op["x-scope"] for path in document["paths"].values() for op in path.values()}
    assert scopes == {"read", "operate"}
    assert document["paths"]["/v1/locations/unfreeze"]["post"]["x-scope"] == "operate"
