"""`dpl up` from its options to its end."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpl_router.control import Control
from dpl_router.errors import ConfigError, DplError
from dpl_router.settings import Address, Mail, Settings
from dpl_router.stack import render
from dpl_router.stack.child import Child, environment_of_children
from dpl_router.stack.door import open_door, sole_use
from dpl_router.stack.logs import LogFile, Speak, to_stderr
from dpl_router.stack.plan import Plan, Setting, make_plan
from dpl_router.stack.ports import Ports, is_free
from dpl_router.stack.programs import PartMissing, Programs, Say, fetch_programs, find_programs
from dpl_router.stack.sources import Consent, choose_sources
from dpl_router.stack.supervisor import Supervisor
from dpl_router.stack.tokens import ready_tokens

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
FIRST_MODEL = 15.0
"""Seconds that we wait for the router to know a model before the table is printed."""


@dataclass(frozen=True, slots=True)
class Options:
    """`listen` None = the usual port or the next; `demo_nodes` 0 = look for servers first."""

    data_dir: Path
    parts_dir: Path
    nodes: Path | None = None
    demo_nodes: int = 0
    keys_file: Path | None = None
    listen: Address | None = None
    insecure_open: bool = False
    mail: Mail | None = None
    alarm_webhook_file: Path | None = None


def up(options: Options, say: Say, consent: Consent) -> int:
    """Until a signal ends it; the exit code. Raises: DplError where it cannot start."""
    with usable(options.data_dir), sole_use(options.data_dir):
        setting = prepare(options, say, consent)
        return asyncio.run(live(setting, make_plan(setting)))


@contextlib.contextmanager
def usable(data_dir: Path) -> Iterator[None]:
    """The folder is there; what the system refuses in it is told as such, anything else is not.

    Raises: ConfigError.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        file = error.filename
        inside = isinstance(file, str | os.PathLike) and Path(file).is_relative_to(data_dir)
        if not inside and error.errno not in DISK_FULL:  # a full disk is told without a file
            raise
        raise ConfigError(f"--data-dir {data_dir} cannot be used: {error}") from error


def prepare(options: Options, say: Say, consent: Consent) -> Setting:
    """Everything but the parts themselves: ports, programs, model, keys, rendered files."""
    ports = Ports()
    listen = options.listen or Address("127.0.0.1", ports.take("router"))
    Settings(
        nodes_file=options.data_dir,
        data_dir=options.data_dir,
        listen=listen,
        keys_file=options.keys_file,
        insecure_open=options.insecure_open,
    ).check()
    if options.listen and not is_free(listen.port, listen.host):
        raise ConfigError(f"--listen {listen}: that port is taken, or not of this machine")
    programs = have_programs(options.parts_dir, say)
    sources = choose_sources(
        options.nodes,
        options.demo_nodes,
        options.data_dir,
        options.parts_dir,
        ports,
        say,
        consent,
    )
    addresses = render.Addresses(
        router=reachable(listen),
        prometheus=f"127.0.0.1:{ports.take('prometheus')}",
        alertmanager=f"127.0.0.1:{ports.take('alertmanager')}",
    )
    for moved in ports.moved:
        say(moved)
    tokens = ready_tokens(options.keys_file, options.data_dir, say) if options.keys_file else None
    write_configurations(options.data_dir, addresses, tokens, options.mail)
    return Setting(
        data_dir=options.data_dir,
        listen=listen,
        addresses=addresses,
        sources=sources,
        programs=programs,
        keys_file=options.keys_file,
        tokens=tokens,
        insecure_open=options.insecure_open,
        mail=options.mail,
        alarm_webhook_file=options.alarm_webhook_file,
    )


def have_programs(parts_dir: Path, say: Say) -> Programs:
    try:
        return fetch_programs(parts_dir, say)
    except PartMissing as missing:
        say(f"{missing.message}. Going on without: the router asks the exporters itself")
        return find_programs(parts_dir)


def reachable(listen: Address) -> str:
    """How the other parts on this machine call the router."""
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    return str(Address(anywhere.get(listen.host, listen.host), listen.port))


def write_configurations(
    data_dir: Path, addresses: render.Addresses, tokens: render.Tokens | None, mail: Mail | None
) -> None:
    originals = render.find_originals()
    header = f"Written by `dpl up` at every start from {originals}: change it there."
    render.write(
        data_dir / "prometheus/prometheus.yml",
        render.render_prometheus(originals, addresses, tokens),
        header,
    )
    render.write(
        data_dir / "alertmanager/alertmanager.yml",
        render.render_alertmanager(originals, addresses, tokens, render.local_zone(), mail),
        header,
    )


async def live(setting: Setting, plan: Plan) -> int:
    talk = to_stderr([part.name for part in plan.parts])
    supervisor, logs = hire(setting.data_dir, plan, talk)
    stopping = Stopping()
    stopping.listen()
    begun = asyncio.create_task(begin(setting, supervisor, talk))
    try:
        async with open_door(setting.data_dir, supervisor):
            either: set[asyncio.Future[Any]] = {begun, stopping.asked}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                begun.result()
            await stopping.asked
    finally:
        begun.cancel()
        await asyncio.wait({begun})
        await end(supervisor, stopping, talk)
        for log in logs:
            log.close()
    return 0


def hire(data_dir: Path, plan: Plan, talk: Speak) -> tuple[Supervisor, list[LogFile]]:
    logs = {part.name: LogFile(data_dir / "logs" / f"{part.name}.log") for part in plan.parts}
    environment = environment_of_children()
    children = {part.name: Child(part, logs[part.name], talk, environment) for part in plan.parts}
    supervisor = Supervisor(children, plan.stages, plan.stopping, plan.optional, talk)
    return supervisor, list(logs.values())


class Stopping:
    """The first signal says how; another one, or Ctrl-C while we drain, makes it quick."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.asked: asyncio.Future[signal.Signals] = loop.create_future()
        self.hurried: asyncio.Future[None] = loop.create_future()

    def listen(self) -> None:
        loop = asyncio.get_running_loop()
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(one, self.hear, one)

    def hear(self, one: signal.Signals) -> None:
        if not self.asked.done():
            self.asked.set_result(one)
        elif not self.hurried.done():
            self.hurried.set_result(None)


async def end(supervisor: Supervisor, stopping: Stopping, talk: Speak) -> None:
    drained = stopping.asked.done() and stopping.asked.result() is signal.SIGTERM
    if drained:
        talk("up", "draining: running answers finish (Ctrl-C: at once)")
        calm = asyncio.create_task(supervisor.stop(signal.SIGTERM))
        either: set[asyncio.Future[None]] = {calm, stopping.hurried}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if calm.done():
            return calm.result()
        calm.cancel()
        await asyncio.wait({calm})
    await supervisor.stop(signal.SIGINT)
    return None


async def begin(setting: Setting, supervisor: Supervisor, talk: Speak) -> None:
    """Raises: PartFailed."""
    await supervisor.start()
    key = setting.tokens.operator.read_text().strip() if setting.tokens else None
    control = Control(f"http://{setting.addresses.router}", key=key, verify=False)
    try:
        model = await first_model(control)
        for name in await silent_nodes(control):
            talk("up", f"node {name} of {setting.sources.nodes_file} does not answer")
    finally:
        await control.close()
    print("\n".join(table(setting, model, supervisor.failed())), flush=True)


async def first_model(control: Control) -> str | None:
    """None where no node serves one within the time."""
    end = asyncio.get_running_loop().time() + FIRST_MODEL
    while asyncio.get_running_loop().time() < end:
        listed = await ask(control, "/v1/models")
        for entry in listed.get("data", ()) if isinstance(listed, dict) else ():
            return str(entry["id"])
        await asyncio.sleep(0.1)
    return None


async def silent_nodes(control: Control) -> Sequence[str]:
    nodes = await ask(control, "/api/status/all")
    return [node["name"] for node in nodes or () if not node.get("online")]


async def ask(control: Control, path: str) -> Any:
    """None where the router does not answer, or not with JSON."""
    with contextlib.suppress(DplError, ValueError):
        answer = await control.get(path, seconds=2.0)
        return json.loads(answer.body) if answer.status == 200 else None
    return None


def table(setting: Setting, model: str | None, failed: Collection[str] = ()) -> list[str]:
    base = f"http://{setting.addresses.router}"
    needs = "  (needs a key)" if setting.keys_file else ""
    rows = [
        ("chat page", f"{base}/chat{needs}"),
        ("overview", f"{base}{needs}"),
        ("OpenAI API", f"{base}/v1"),
        ("Ollama, Anthropic", base),
    ]
    down = dict.fromkeys(failed, "  (does not run)")
    if setting.programs.prometheus:
        url = f"http://{setting.addresses.prometheus}"
        rows.append(("Prometheus", url + down.get("prometheus", "")))
    if setting.programs.alertmanager:
        url = f"http://{setting.addresses.alertmanager}"
        rows.append(("Alertmanager", url + down.get("alertmanager", "")))
    if setting.mail:
        rows.append(("mail", f"{', '.join(setting.mail.to)} by {setting.mail.server}"))
    rows += [
        ("nodes file", str(setting.sources.nodes_file)),
        ("logs", str(setting.data_dir / "logs")),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    return ["", *lines, "", *trying(setting, base, model), ""]


def trying(setting: Setting, base: str, model: str | None) -> list[str]:
    """Lines that work as pasted."""
    if model is None:
        return ["  no node serves a model yet; `dpl get nodes` shows what is known"]
    body = {
        "model": model,
        "stream": True,
        "max_tokens": 60,
        "messages": [{"role": "user", "content": "Say hello in one sentence."}],
    }
    key = ' -H "Authorization: Bearer $DPL_API_KEY"' if setting.keys_file else ""
    text = json.dumps(body).replace("'", "'\\''")
    command = os.path.relpath(sys.argv[0]) if os.sep in sys.argv[0] else sys.argv[0]
    url = f" --url {base}" if not base.endswith("127.0.0.1:8000") else ""
    return [
        f"  curl -iN{key} {base}/v1/chat/completions -d '{text}'",
        f'  {command} ask {model}{url} "Say hello in one sentence."',
    ]
