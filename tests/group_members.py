"""Members of consumer groups: a process that was killed is still one until its session ends, unless it is sent away."""

from aiokafka.protocol.group import LeaveGroupRequest

from shared.kafka_clients import admin_client
from shared.settings import PlatformSettings


async def send_away(settings: PlatformSettings, *groups: str) -> None:
    """Have every member leave ``groups`` (without prefix), as a session time-out would have it some seconds later."""
    admin = admin_client(settings.kafka)
    await admin.start()
    try:
        for group in groups:
            name = settings.topics.prefix + group
            node = await admin.find_coordinator(name)
            for answer in await admin.describe_consumer_groups([name], node):
                for member in answer.groups[0][5]:
                    await admin._send_request(LeaveGroupRequest(name, member[0]), node)
    finally:
        await admin.close()
