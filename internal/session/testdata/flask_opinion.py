"""Flask's own opinion of cookies, for opinion_test.go.

Each line of standard input is a question, and each line of standard output its
answer. Both are JSON. SECRET_KEY, in the environment, is the secret.

    {"hash", "now", "sign": VALUES}   signs a session; the answer is {"cookie"}
    {"hash", "now", "open": HEADER}   opens the session of a Cookie header

The answer to the second one has "verdict": "accepted" and the session's "values",
or "refused", or "failed" if Flask raises an exception, which is a 500.
"""

import hashlib
import json
import os
import sys
import traceback

import itsdangerous
from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface


class Session(SecureCookieSession):
    """A session that knows whether it came out of a cookie."""

    def __init__(self, *values):
        super().__init__(*values)
        self.accepted = bool(values)


class Interface(SecureCookieSessionInterface):
    session_class = Session


class SHA256(Interface):
    digest_method = staticmethod(hashlib.sha256)


app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
interfaces = {"sha1": Interface(), "sha256": SHA256()}
clock = 0
itsdangerous.TimestampSigner.get_timestamp = lambda signer: clock


def answer(interface, question):
    if "sign" in question:
        return {"cookie": interface.get_signing_serializer(app).dumps(question["sign"])}
    request = Request({"HTTP_COOKIE": question["open"]})
    try:
        session = interface.open_session(app, request)
    except Exception:
        return {"verdict": "failed", "why": traceback.format_exc(limit=-1)}
    if not session.accepted:
        return {"verdict": "refused"}
    result = {"verdict": "accepted", "permanent": bool(session.permanent)}
    session.pop("_permanent", None)
    try:
        json.dumps(session, allow_nan=False)
    except (TypeError, ValueError) as error:  # a value that JSON does not have
        return result | {"why": str(error)}
    return result | {"values": session}


for line in sys.stdin:
    question = json.loads(line)
    clock = question["now"]
    print(json.dumps(answer(interfaces[question["hash"]], question)), flush=True)
