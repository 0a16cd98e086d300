"""The fleet server's REST API, as a program with a token uses it."""

from pathlib import Path
from typing import Any

import requests

from .bundles import Bundle

# An answer that takes longer than this is none; an upload of a bundle is given more.
DEADLINE_S = 20
UPLOAD_S = 300


class Refused(RuntimeError):
    """An answer that is not a success."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:500]}")
        self.status = answer.status_code
        self.text = answer.text


class Fleet:
    """A client with an administrator's token."""

    def __init__(self, base: str, name: str, password: str) -> None:
        self.base = base
        self._http = requests.Session()
        self._bundles: dict[Path, dict[str, Any]] = {}
        self._http.trust_env = False
        login = self._http.post(f"{base}/api/v1/login", json={"name": name, "password": password}, timeout=DEADLINE_S)
        person = self._read(login)
        made = self._http.post(
            f"{base}/api/v1/tokens",
            json={"name": "hwtests", "scopes": ["read", "operate", "administer"]},
            headers={"X-CSRF-Token": person["csrf_token"]},
            timeout=DEADLINE_S,
        )
        token = self._read(made)["token"]
        self._http.cookies.clear()
        self._http.headers["Authorization"] = f"Bearer {token}"

    @staticmethod
    def _read(answer: requests.Response) -> Any:
        if not answer.ok:
            raise Refused(answer)
        return answer.json() if answer.content else None

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """`path` is below `/api/v1`. An answer without a body is None."""
        return self._read(self._http.request(method, f"{self.base}/api/v1{path}", json=body, timeout=DEADLINE_S))

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, {} if body is None else body)

    def put(self, path: str, body: Any) -> Any:
        return self.call("PUT", path, body)

    def upload_bundle(self, bundle: Bundle) -> dict[str, Any]:
        """The bundle as the server describes it; sent once."""
        if bundle.path not in self._bundles:
            told = {"version": bundle.version, "compatible": bundle.compatible} if bundle.compatible else {}
            with bundle.path.open("rb") as content:
                answer = self._http.post(
                    f"{self.base}/api/v1/bundles",
                    params=told,
                    data=content,
                    headers={"Content-Type": "application/octet-stream"},
                    timeout=UPLOAD_S,
                )
            self._bundles[bundle.path] = dict(self._read(answer))
        return self._bundles[bundle.path]

    def order(self, box: str, bundle: str, **more: Any) -> dict[str, Any]:
        """Tells one box to become what is in the bundle with this hash."""
        return dict(self.put(f"/boxes/{box}/update", {"bundle": bundle, **more}))

    def update(self, box: str) -> dict[str, Any]:
        """What the server says of the newest order to the box."""
        return dict(self.get(f"/boxes/{box}/update"))

    def summary(self, box: str) -> dict[str, Any]:
        """The box as one row of the list."""
        seen = self.get(f"/boxes/{box}")
        return dict(seen)

    def settled(self, box: str) -> bool:
        """Whether the box is connected, and everything that was set for it is in force."""
        seen = self.summary(box)
        return seen["state"] == "online" and seen["applied_version"] == seen["desired_version"]
