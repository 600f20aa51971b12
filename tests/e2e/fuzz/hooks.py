"""Whose token goes with which request.

Most requests are Minji's, whose town the document's examples speak of. What ends a session or an account is asked in the name of
somebody new each time, so that the rest goes on. A stream is asked for with a session of its own, which ends a moment later, and the
stream with it: it would go on for as long as anybody listens."""

import itertools
import json
import os
import threading
import urllib.request

import schemathesis

URL = os.environ["PLAZA_FUZZ_URL"]
TOKEN = os.environ["PLAZA_FUZZ_TOKEN"]
EVENTS_KEY = os.environ["PLAZA_FUZZ_EVENTS_KEY"]
NAME = os.environ["PLAZA_FUZZ_NAME"]

# What would end the one who asks.
ENDING = {"logOut", "changePassword", "deleteAccount"}

PASSWORD = "correct horse battery"
numbers = itertools.count()


# The longest Idempotency-Key.
KEY_LENGTH_MAX = 255

# How long a stream is listened to.
STREAM_SECONDS = 0.2


def post(path, body, token=None):
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(URL + path, data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
        return json.loads(text) if text else None


def log_in(name):
    return post("/api/auth/login/json", {"username": name, "password": PASSWORD})["access_token"]


def somebody_new():
    name = f"fuzz-{os.getpid()}-{next(numbers)}"
    post("/api/auth/register", {"username": name, "email": f"{name}@example.com", "password": PASSWORD})
    return log_in(name)


def for_a_moment():
    token = log_in(NAME)
    threading.Timer(STREAM_SECONDS, post, ("/api/auth/logout", {}, token)).start()
    return token


@schemathesis.auth(refresh_interval=None)
class Tokens:
    def get(self, case, context):
        operation = case.operation.definition.raw
        if any("events_key" in scheme for scheme in operation.get("security", [])):
            return EVENTS_KEY
        if operation.get("operationId") in ENDING:
            return somebody_new()
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
            return for_a_moment()
        return TOKEN if operation.get("security") else None

    def set(self, case, data, context):
        if data is not None:
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key for each request: one that comes again with another body is refused, as it must be."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) <= KEY_LENGTH_MAX and key.isascii() and key.isprintable() and " " not in key:
        unique = f"-{os.getpid()}-{next(numbers)}"
        case.headers["Idempotency-Key"] = key[: KEY_LENGTH_MAX - len(unique)] + unique


def is_nothing(value):
    if isinstance(value, dict):
        # Of an object in a query the names are sent.
        value = list(value)
    if isinstance(value, list):
        return all(is_nothing(part) for part in value)
    return value is None or value == ""


@schemathesis.hook
def filter_query(context, query):
    """What has nothing in it is sent as nothing: an empty parameter, which counts as absent."""
    return not any(is_nothing(value) for value in (query or {}).values())


@schemathesis.hook
def map_query(context, query):
    """A cursor is opaque: one that is made up is refused, as it must be. Links bring real ones."""
    if query and "cursor" in query:
        del query["cursor"]
    return query
