"""Commands around service jobs: the machine knows each."""

from batchyard.core.machine import HANDLERS
from batchyard.core.model import service_commands
from batchyard.core.model.commands import Command


def test_the_machine_carries_out_each_command() -> None:
    found = [each for each in vars(service_commands).values() if isinstance(each, type) and issubclass(each, Command)]
    commands = [each for each in found if each is not Command]
    assert commands, "none is found"
    assert [each for each in commands if each not in HANDLERS] == []
