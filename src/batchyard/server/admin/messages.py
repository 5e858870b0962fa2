"""The lines that `batchyard up` prints: its address, what it offers, and how to point clients at it."""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.api.services import SERVICES
from batchyard.core.model.fact_kinds import Fact
from batchyard.core.model.facts import JobQueueBlocked
from batchyard.core.model.resources import format_vcpus
from batchyard.server.access.access import Rules
from batchyard.server.admin.stop import count
from batchyard.server.admin.terminal import complain, say
from batchyard.server.settings.config import Settings
from batchyard.server.settings.host import Detected
from batchyard.server.settings.offered_gpus import described
from batchyard.server.settings.paths import Paths
from batchyard.server.settings.table import DOCUMENTATION
from batchyard.version import VERSION


def starting(paths: Paths, engines: Sequence[tuple[str, str]], found: Detected) -> None:
    """Returns the lines at the start. `engines`: lines about them, each with a heading."""
    amounts = found.resources
    say(f"Batchyard {VERSION}")
    say(f"  Data       {paths.data_dir}")
    for head, text in engines:
        say(f"  {head:<10} {text}")
    offered = f"{format_vcpus(amounts.milli_vcpus)} vCPUs, {amounts.memory_mib} MiB, {amounts.gpus} GPUs"
    say(f"  Capacity   {offered}")
    if models := described(found.gpus.gpus):
        say(f"  GPUs       {models}")
    if found.gpus.found.problem:
        say(f"  WARNING    The GPUs of this machine can't be found: {found.gpus.found.problem}.")
    if found.gpus.lacks:
        say(f"  WARNING    The settings name {found.gpus.asked} GPUs, and this machine has {amounts.gpus}.")


def serving(address: str, settings: Settings, rules: Rules, has_keys: bool) -> None:
    """Returns the lines once requests are answered."""
    say(f"  Address    {address}")
    say(f"  Console    {address}/console/")
    if not rules.bound_to_loopback and not has_keys:
        say("  WARNING    --insecure: whoever reaches this address may run programs here.")
    say()
    say("Point AWS clients here, with the queue `default`:")
    variables = [service.endpoint_variable for service in SERVICES.values() if service.is_announced]
    say("  export " + " ".join(f"{variable}={address}" for variable in variables))
    # boto3 and the AWS CLI's version 1 read the second name alone, other SDKs the first alone.
    region = f"AWS_REGION={settings.region} AWS_DEFAULT_REGION={settings.region}"
    if has_keys:
        say(f"  export {region}   # and credentials: a key of `batchyard keys add`")
    else:
        say(f"  export {region} AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any")
    if settings.tls_cert is not None:
        say(f"  export AWS_CA_BUNDLE={settings.tls_cert}   # unless its issuer is trusted already")
    say(f"  boto3.client('batch', endpoint_url='{address}')")
    say(f"Documentation: {DOCUMENTATION}. Ctrl-C ends the service; jobs run on.")


def blocked(fact: Fact) -> None:
    """Returns the line about the head of a queue that cannot start, or a job that never can: once for each such job
    and reason."""
    assert isinstance(fact, JobQueueBlocked), f"{fact!r} blocks no queue"
    complain(f"The job queue {fact.queue} is blocked by {fact.job_id}: {fact.reason}")


def ended(jobs_running: int, killed: bool) -> None:
    if killed:
        say("Stopped, with the running jobs.")
    elif jobs_running:
        verb = "runs" if jobs_running == 1 else "run"
        say(f"Stopped. {count(jobs_running)} {verb} on; `batchyard up` takes care of them again.")
    else:
        say("Stopped. No job was running.")
