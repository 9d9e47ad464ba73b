"""A broker that knows only MQTT 3.1.1: amqtt, at the HOST:PORT that is its one argument.

Says `running` when it can be reached. Needs a Python that has amqtt.
"""

import asyncio
import sys

from amqtt.broker import Broker


async def main():
    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    config = {
        "listeners": {"default": {"type": "tcp", "bind": sys.argv[1]}},
        "plugins": {anonymous: {"allow_anonymous": True}},
    }
    await Broker(config).start()
    print("running", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
