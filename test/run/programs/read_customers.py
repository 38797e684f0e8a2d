"""What a program in Python does that mayfly run starts, with the standard library alone; also over a Unix socket."""
import http.client
import json
import os
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(name, secret=None, **body):
    path = os.environ.get("MAYFLY_TOKEN_SOCKET")
    if path is not None:
        connection, prefix = UnixConnection(path), ""
    else:
        endpoint = urllib.parse.urlsplit(os.environ["MAYFLY_TOKEN_ENDPOINT"])
        connection, prefix = http.client.HTTPConnection(endpoint.hostname, endpoint.port), endpoint.path
    headers = {"Content-Type": "application/json"}
    if secret is not None:
        headers["Authorization"] = "Bearer " + secret
    connection.request("POST", f"{prefix}/{name}", json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if response.status != 200:
        raise SystemExit(f"{answer['code']}: {answer.get('hint')}")
    return answer


def read(url, secret, **nonce):
    shown = ask("credentials", secret, method="GET", url=url, **nonce)
    headers = {"Authorization": shown["authorization"], "DPoP": shown["dpop"]}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers))
    except urllib.error.HTTPError as error:
        if error.code == 401 and not nonce and error.headers["DPoP-Nonce"]:
            return read(url, secret, nonce=error.headers["DPoP-Nonce"])
        raise


code = os.environ.get("MAYFLY_BOOTSTRAP")
secret = None if code is None else ask("bootstrap", code)["secret"]
session = ask("token", secret)["session_id"]
response = read(sys.argv[1], secret)
answer = json.load(response)
print(json.dumps({"status": response.status, "rows": len(answer["data"]), "readBy": answer["read_by"], "sessionId": session}))
