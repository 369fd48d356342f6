"""Publishes one message at QoS 1 with Paho, as the environment describes it; ends when it is
acknowledged, or with status 1 when the broker refuses."""

import os
import sys
from urllib.parse import urlsplit

from paho.mqtt import client as paho

env = os.environ
url = urlsplit(env["MQTT_URL"])
version = int(env["MQTT_VERSION"])
acknowledged = []


def connected(client, _userdata, _flags, reason, *_properties):
    if reason != 0:
        print("refused:", reason)
        os._exit(1)
    client.publish(env["MQTT_TOPIC"], env["MQTT_PAYLOAD"], qos=1)


def published(client, *_):
    acknowledged.append(True)
    client.disconnect()


client = paho.Client(env["MQTT_CLIENT_ID"], protocol=version, reconnect_on_failure=False,
                     transport="websockets" if url.scheme == "wss" else "tcp")
client.on_connect = connected
client.on_publish = published
if url.scheme != "mqtt":
    client.tls_set(env["MQTT_CA"], env.get("MQTT_CERT"), env.get("MQTT_KEY"))
if "MQTT_USER" in env:
    client.username_pw_set(env["MQTT_USER"], env["MQTT_PASSWORD"])
client.connect(url.hostname, url.port)
client.loop_forever()
sys.exit(0 if acknowledged else 1)
