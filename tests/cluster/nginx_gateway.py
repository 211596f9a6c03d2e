"""A small Gateway for tests: Debian's nginx, configured from the HTTPRoutes of a namespace, which it tells that it took them.

It does what the standard says of weights, header matches and RequestMirror, and gives each request an id in X-Request-Id that its
mirrored copy has too, as Envoy does. Nothing else of the standard; and it sends no request twice, so that one which a server drops is lost.
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import kubernetes
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

GROUP, VERSION, ROUTES = "gateway.networking.k8s.io", "v1", "httproutes"
CONFIGURATION = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {parts}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    client_max_body_size 8m;
    client_body_buffer_size 8m;
    location = /-/generation {{ return 200 "{generation}"; }}
    {locations}
  }}
}}
"""
LOCATIONS = """
    location / {{
      {mirror}
      proxy_pass http://$backend;
      proxy_set_header X-Request-Id $request_id;
      proxy_connect_timeout 2s;
      proxy_next_upstream off;
    }}
    location = /-/mirror {{
      internal;
      if ($mirrored = "") {{ return 204; }}
      proxy_pass http://$mirrored$request_uri;
      proxy_set_header X-Request-Id $request_id;
    }}
"""


def configuration(folder: Path, port: int, route: dict[str, Any] | None, addresses: dict[str, str]) -> str:
    """nginx's words for a route; without one nothing is served."""
    if route is None:
        return CONFIGURATION.format(folder=folder, port=port, generation="none", parts="", locations="")
    *named, shared = route["spec"]["rules"]
    backends = [one for rule in [*named, shared] for one in rule["backendRefs"]]
    names = sorted({one["name"] for one in backends} | {one["name"] for one in _mirrors(shared)})
    parts = [f"upstream {name} {{ server {addresses[name]}:80; }}" for name in names]
    parts.append(_split("$request_id", "$weighted", {one["name"]: one["weight"] for one in shared["backendRefs"]}))
    cohorts = {match["headers"][0]["value"]: rule["backendRefs"][0]["name"] for rule in named for match in rule["matches"]}
    chosen = "".join(f" {value} {name};" for value, name in cohorts.items())
    parts.append(f"map $http_x_headgate_cohort $backend {{ default $weighted; ~.+ none;{chosen} }}")
    parts.append("upstream none { server 127.0.0.1:1; }")
    mirrors = _mirrors(shared)
    if mirrors:
        parts.append(_split("mirror$request_id", "$sampled", {mirrors[0]["name"]: mirrors[0]["percent"]}))
        parts.append('map $http_x_headgate_cohort $mirrored { "" $sampled; default ""; }')
    else:
        parts.append('map $request_id $mirrored { default ""; }')
    locations = LOCATIONS.format(mirror="mirror /-/mirror; mirror_request_body on;" if mirrors else "")
    told = route["metadata"]["generation"]
    return CONFIGURATION.format(folder=folder, port=port, generation=told, parts="\n  ".join(parts), locations=locations)


def _mirrors(rule: dict[str, Any]) -> list[dict[str, Any]]:
    found = [one["requestMirror"] for one in rule.get("filters") or []]
    return [{"name": one["backendRef"]["name"], "percent": one.get("percent", 100)} for one in found]


def _split(key: str, variable: str, shares: dict[str, int]) -> str:
    """Exact weights; what is left over is nobody's."""
    named = [(name, share) for name, share in shares.items() if share]
    if named and named[0][1] == 100:
        return f'map "" {variable} {{ default {named[0][0]}; }}'
    lines = "".join(f" {share}% {name};" for name, share in named[:-1])
    name, share = named[-1]
    whole = sum(share for _, share in named) == 100
    return (
        f'split_clients "{key}" {variable} {{{lines} {"*" if whole else f"{share}%"} {name};{"" if whole else " * " + chr(34) * 2 + ";"} }}'
    )


def accepted(route: dict[str, Any]) -> dict[str, Any]:
    """The status of a route that is in force."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    same = {"observedGeneration": route["metadata"]["generation"], "lastTransitionTime": now, "message": "", "status": "True"}
    conditions = [{"type": "Accepted", "reason": "Accepted"} | same, {"type": "ResolvedRefs", "reason": "ResolvedRefs"} | same]
    parent = {"parentRef": route["spec"]["parentRefs"][0], "controllerName": "headgate.io/test-gateway", "conditions": conditions}
    return {"status": {"parents": [parent]}}


def main(folder: Path, port: int, namespace: str) -> None:
    """Follow the namespace's route until killed; the API server may be away for a while."""
    kubernetes.config.load_kube_config()
    routes, core, done = kubernetes.client.CustomObjectsApi(), kubernetes.client.CoreV1Api(), ""
    _put(folder, configuration(folder, port, None, {}))
    with subprocess.Popen(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf", "-g", "daemon off;"]) as nginx:
        while not (folder / "nginx.pid").exists() and nginx.poll() is None:
            time.sleep(0.05)  # until then it cannot be told of a route
        _say("ready")
        while nginx.poll() is None:
            try:
                found = routes.list_namespaced_custom_object(GROUP, VERSION, namespace, ROUTES, _request_timeout=5)["items"]
                route = found[0] if found else None
                if (told := json.dumps([route["spec"], route["metadata"]["generation"]] if route else None)) != done:
                    services = core.list_namespaced_service(namespace, _request_timeout=5).items
                    addresses = {one.metadata.name: one.spec.cluster_ip for one in services}
                    _put(folder, configuration(folder, port, route, addresses))
                    subprocess.run(["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf", "-s", "reload"], check=True)
                    _wait(port, str(route["metadata"]["generation"]) if route else "none")
                    if route:
                        name = route["metadata"]["name"]
                        routes.patch_namespaced_custom_object_status(GROUP, VERSION, namespace, ROUTES, name, accepted(route))
                    done = told
            except (ApiException, HTTPError, OSError, KeyError, subprocess.CalledProcessError) as fault:
                _say(f"again: {fault!r}"[:500])
            time.sleep(0.1)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _put(folder: Path, text: str) -> None:
    (folder / "nginx.conf").write_text(text)


def _wait(port: int, generation: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/generation", timeout=5) as answer:
            if answer.read().decode() == generation:
                return
        time.sleep(0.05)
    raise OSError(f"nginx does not serve generation {generation}; see {port}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
