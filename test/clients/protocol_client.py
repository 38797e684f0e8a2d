"""A client of mayfly in another language, written from the README's page on the protocol and nothing else."""
import base64
import hashlib
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from jwcrypto import jwk, jws

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sha256(text):
    return base64url(hashlib.sha256(text.encode()).digest())


def sign(key, header, claims):
    token = jws.JWS(json.dumps(claims))
    token.add_signature(key, alg=header["alg"], protected=json.dumps(header))
    return token.serialize(compact=True)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


class Agent:
    def __init__(self, issuer, client_id, key):
        self.issuer, self.client_id, self.key = issuer, client_id, key
        self.session_key = jwk.JWK.generate(kty="EC", crv="P-256")
        self.nonces, self.opener = {}, urllib.request.build_opener(NoRedirects)
        metadata = self.read(f"{issuer}/.well-known/oauth-authorization-server")
        self.token_endpoint = metadata["token_endpoint"]
        assert metadata["issuer"] == issuer and origin_of(self.token_endpoint) == origin_of(issuer)

    def read(self, url):
        return json.load(self.opener.open(url))

    def assertion(self):
        now = int(time.time())
        header = {"alg": "ES256", "kid": self.key.get("kid"), "typ": "client-authentication+jwt"}
        who = {"iss": self.client_id, "sub": self.client_id, "aud": self.issuer}
        return sign(self.key, header, {**who, "iat": now, "exp": now + 60, "jti": base64url(os.urandom(18))})

    def proof(self, method, url, token):
        public = json.loads(self.session_key.export_public())
        header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": {name: public[name] for name in ("kty", "crv", "x", "y")}}
        claims = {"htm": method, "htu": url.split("?")[0], "iat": int(time.time()), "jti": base64url(os.urandom(18))}
        nonce = self.nonces.get(origin_of(url))
        if nonce is not None:
            claims["nonce"] = nonce
        if token is not None:
            claims["ath"] = sha256(token)
        return sign(self.session_key, header, claims)

    def send(self, method, url, body=None, content_type=None, token=None):
        for _ in range(3):
            headers = {"DPoP": self.proof(method, url, token)}
            if content_type is not None:
                headers["Content-Type"] = content_type
            if token is not None:
                headers["Authorization"] = f"DPoP {token}"
            request = urllib.request.Request(url, body, headers, method=method)
            try:
                answer = self.opener.open(request)
            except urllib.error.HTTPError as error:
                answer = error
            text = answer.read().decode()
            if answer.headers.get("DPoP-Nonce") is not None:
                self.nonces[origin_of(url)] = answer.headers["DPoP-Nonce"]
            asks = "use_dpop_nonce" in (text if token is None else answer.headers.get("WWW-Authenticate", ""))
            if not asks:
                break
        return answer.status, answer.headers, text

    def ask(self, **fields):
        credentials = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion()}
        form = urllib.parse.urlencode({"grant_type": "client_credentials", **credentials, **fields}).encode()
        status, _, text = self.send("POST", self.token_endpoint, form, "application/x-www-form-urlencoded")
        answer = json.loads(text)
        if status != 200:
            raise PermissionError(f"{answer['code']}: {answer.get('hint')}")
        return answer

    def get(self, url):
        """Asks the resource what it wants, gets a token for that, and calls it."""
        try:
            self.opener.open(url)
            raise AssertionError("nobody was asked for a token")
        except urllib.error.HTTPError as error:
            challenge = error.headers["WWW-Authenticate"]
        wanted = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        assert origin_of(wanted["resource_metadata"]) == origin_of(url)
        resource = self.read(wanted["resource_metadata"])
        assert self.issuer in resource["authorization_servers"] and url.startswith(resource["resource"])
        token = self.ask(scope=wanted["scope"], resource=resource["resource"])["access_token"]
        return self.send("GET", url, token=token)

    def call(self, action, url, arguments):
        """Once, with a token for this call alone. RFC 8785, as far as these arguments need it."""
        text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        named = {"type": "mayfly_call", "action": action, "method": "POST", "url": url}
        details = json.dumps([{**named, "arguments_digest": sha256(text)}])
        token = self.ask(authorization_details=details)["access_token"]
        once = self.send("POST", url, text.encode(), "application/json", token)[0]
        return once, self.send("POST", url, text.encode(), "application/json", token)[0]

    def end(self):
        credentials = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion()}
        url = f"{self.issuer}/v1/sessions/current/revoke"
        return self.send("POST", url, json.dumps(credentials).encode(), "application/json")[0]


def origin_of(url):
    return "://".join(urllib.parse.urlsplit(url)[:2])


def main(issuer, key_file, server):
    with open(key_file, encoding="utf-8") as file:
        agent = Agent(issuer, "report-writer", jwk.JWK.from_json(file.read()))
    status, _, text = agent.get(f"{server}/customers")
    called = agent.call("storage:write:exports", f"{server}/exports", {"name": "weekly", "format": "csv", "rows": 3})
    try:
        agent.ask(scope="db:update:customers")
        refused = None
    except PermissionError as error:
        refused = str(error)
    ended = agent.end()
    try:
        agent.ask(scope="db:read:customers")
        after = None
    except PermissionError as error:
        after = str(error).split(":", maxsplit=1)[0]
    print(json.dumps([status, len(json.loads(text)["data"]) > 0, called, refused, ended in (200, 202), after]))


main(*sys.argv[1:])
