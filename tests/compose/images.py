"""Makes the images that docker-compose.yml names, where no registry can be asked.

    python -m tests.compose.images      # a minute, seconds the next time

Ours are built from their Dockerfiles. What those and the composition take from others is made under
the pinned names where podman does not have it: Debian with debootstrap, Prometheus and Alertmanager
from Debian's packages (older than the pinned ones), Grafana from tests/fakes/grafana.py.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.compose.engine import CannotBeHad, prepare, run, temporary
from tests.fakes.programs import ROOT
from tests.versions import source

LIMITS = {"dpl-exporter": 120, "dpl-router": 200}
"""Millions of bytes, unpacked."""
SUITE = "bookworm"
LEFT_OUT = ("doc/*", "info/*", "lintian/*", "locale/*", "man/*")
"""Of /usr/share, in Debian's slim images: now, and of packages that come later."""
STAND_INS = {
    "prom/prometheus": """\
RUN apt-get update && apt-get install -y --no-install-recommends busybox prometheus
RUN ln -s /bin/busybox /usr/bin/wget && install -d -o 65534 -g 65534 /prometheus
USER 65534
ENTRYPOINT ["/usr/bin/prometheus"]
""",
    "prom/alertmanager": """\
RUN apt-get update && apt-get install -y --no-install-recommends busybox prometheus-alertmanager
RUN ln -s /bin/busybox /usr/bin/wget && install -d -o 65534 -g 65534 /alertmanager
USER 65534
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]
""",
    "grafana/grafana": """\
RUN apt-get update && apt-get install -y --no-install-recommends busybox python3-yaml
RUN ln -s /bin/busybox /usr/bin/wget && install -d -o 472 -g 0 /var/lib/grafana
COPY grafana.py grafana_files.py /app/tests/fakes/
WORKDIR /app
USER 472
ENTRYPOINT ["/usr/bin/python3", "-B", "-m", "tests.fakes.grafana"]
""",
}


def make() -> dict[str, int]:
    """Name of each of our images -> its size in bytes. Raises: CannotBeHad."""
    podman = prepare()
    base = base_image()
    if not has(podman, base):
        print(f"making {base} with debootstrap", flush=True)
        make_base(podman, base)
    for service in composition()["services"].values():
        name = service["image"]
        print(f"making {name}", flush=True)
        if "build" in service:
            build(podman, name, service["build"])
        elif not has(podman, name):
            stand_in(podman, name, base)
    names = [service["image"] for service in composition()["services"].values()]
    sizes = {name: int(run([podman, "inspect", "-f", "{{.Size}}", name])) for name in names}
    return {name: size for name, size in sizes.items() if name.startswith("dpl-")}


def composition() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def base_image() -> str:
    """The one that all our Dockerfiles begin from."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(ROOT.glob("*/Dockerfile"))]
    [base] = {name for text in texts for name in re.findall(r"^FROM (\S+:\S+)", text, re.M)}
    return str(base)


def has(podman: str, name: str) -> bool:
    command = [podman, "image", "exists", name]
    return subprocess.run(command, timeout=60, check=False).returncode == 0


def make_base(podman: str, name: str) -> None:
    """As Debian's slim image: no documents, no translations, no package lists."""
    mirror = source(SUITE).split()[-3]
    with temporary() as folder:
        root = Path(folder) / "root"
        run(["debootstrap", "--variant=minbase", SUITE, str(root), mirror])
        rules = "".join(f"path-exclude /usr/share/{name}\n" for name in LEFT_OUT)
        (root / "etc/dpkg/dpkg.cfg.d/slim").write_text(rules, encoding="ascii")
        for cleared in (*LEFT_OUT, "../../var/cache/apt/*", "../../var/lib/apt/lists/*"):
            clear((root / "usr/share").glob(cleared))
        archive = Path(folder) / "root.tar"
        run(["tar", "-C", str(root), "-cf", str(archive), "."])
        run([podman, "import", str(archive), name])


def clear(found: Iterable[Path]) -> None:
    for each in list(found):
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def build(podman: str, name: str, how: dict[str, str]) -> None:
    """With this machine's way to the package index, which no layer keeps."""
    target = ["--target", how["target"]] if "target" in how else []
    with temporary() as folder:
        settings = Path(folder) / "pip.conf"
        mounts = write_pip_settings(settings)
        command = [podman, "build", "--network", "host", "-t", name, "-f", how["dockerfile"]]
        secret = ["--secret", f"id=pip,src={settings}"]
        run([*command, *target, *mounts, *secret, str(ROOT)])


def write_pip_settings(file: Path) -> list[str]:
    """What pip is told here but for folders of this machine. Returns flags for the build.

    An authority's file lies elsewhere there: the usual place is about to be written by a package.
    """
    said = run([sys.executable, "-m", "pip", "config", "list"])
    found = dict(re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", said, re.M))
    kept = {name: text for name, text in found.items() if not re.search("(^|file:/)/", text)}
    mounts = []
    if "cert" in found:
        kept["cert"] = "/run/pip.crt"
        mounts = ["-v", f"{found['cert']}:/run/pip.crt:ro"]
    file.touch(mode=0o600)
    lines = [f"{name} = {text}\n" for name, text in kept.items()]
    file.write_text("[global]\n" + "".join(lines), encoding="utf-8")
    return mounts


def stand_in(podman: str, name: str, base: str) -> None:
    text = f"FROM {base}\n" + STAND_INS[name.partition(":")[0]]
    context = ROOT / "tests/fakes"
    run([podman, "build", "--network", "host", "-t", name, "-f", "-", str(context)], given=text)


def main() -> int:
    try:
        sizes = make()
    except CannotBeHad as error:
        print(f"the images cannot be made: {error}", file=sys.stderr)
        return 1
    for name, size in sizes.items():
        print(f"{name}: {size / 1e6:.0f} MB")
    too_large = [name for name, size in sizes.items() if size > 1e6 * limit(name)]
    if too_large:
        print(f"larger than they may be: {', '.join(too_large)}", file=sys.stderr)
    return 1 if too_large else 0


def limit(name: str) -> float:
    return LIMITS.get(name.partition(":")[0], float("inf"))


if __name__ == "__main__":
    sys.exit(main())
