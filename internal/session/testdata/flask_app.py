"""Flask applications with sessions, for flask_test.go.

Each argument is DIGEST:COOKIE_NAME, of an application of its own. Their ports
are printed on one line. They end when standard input does. SECRET_KEY, in the
environment, is the secret of all.
"""

import hashlib
import logging
import os
import sys
import threading

from flask import Flask, jsonify, request, session
from flask.sessions import SecureCookieSessionInterface
from werkzeug.serving import make_server


def new_app(digest, cookie_name):
    app = Flask(__name__)
    app.secret_key = os.environ["SECRET_KEY"]
    app.config["SESSION_COOKIE_NAME"] = cookie_name
    app.session_interface = SecureCookieSessionInterface()  # else all applications share one
    if digest == "sha256":
        app.session_interface.digest_method = hashlib.sha256

    @app.post("/login")
    def login():
        session.clear()
        session["username"] = request.form["username"]
        session.permanent = "remember" in request.form
        return ""

    @app.get("/")
    def index():
        username = session.get("username", "no one")
        return f"{username}, permanent: {str(session.permanent).lower()}"

    @app.post("/logout")
    def logout():
        session.clear()
        return ""

    @app.post("/sign")
    def sign():
        """Makes sessions into the values of cookies."""
        serializer = app.session_interface.get_signing_serializer(app)
        return jsonify([serializer.dumps(values) for values in request.get_json()])

    @app.post("/open")
    def open_():
        """Makes the values of cookies into sessions."""
        serializer = app.session_interface.get_signing_serializer(app)
        return jsonify([serializer.loads(value, max_age=60) for value in request.get_json()])

    return app


logging.getLogger("werkzeug").setLevel(logging.ERROR)
servers = [
    make_server("127.0.0.1", 0, new_app(*argument.split(":")), threaded=True)
    for argument in sys.argv[1:]
]
for server in servers:
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(*(server.port for server in servers), flush=True)
sys.stdin.read()
