"""Will messages (5.0 sections 3.1.2.5 and 3.1.3.2)."""

import time

import checks
import mqtt_packet as mqtt
from case import case

VERSIONS = {"version": (3, 4, 5)}


def will(qos=1, **fields):
    return {"topic": "will", "payload": b"gone", "qos": qos, **fields}


def watcher_of(t, version=5):
    watcher = t.client("watcher", version)
    watcher.subscribe("will", qos=2)
    return watcher


@case("MQTT-3.1.2-8", "MQTT-3.1.2-14",
      over=[{"version": 3, "qos": 0, "how": "reset"}, {"version": 4, "qos": 1, "how": "close"},
            {"version": 5, "qos": 2, "how": "reset"}, {"version": 5, "qos": 0, "how": "close"}],
      long_over={"version": (3, 4, 5), "qos": (0, 1, 2), "how": ("close", "reset")})
def a_dropped_connection_publishes_its_will(t, version, qos, how):
    t.start()
    watcher = watcher_of(t, version)
    mortal = t.client("mortal", version, will=will(qos))
    watcher.expect_nothing()
    getattr(mortal, how)()
    watcher.message(topic="will", payload=b"gone", qos=qos, retain=False)
    watcher.expect_nothing()


@case("MQTT-3.14.4-3", "MQTT-3.1.2-10", over=VERSIONS)
def a_disconnect_deletes_the_will(t, version):
    t.start()
    watcher = watcher_of(t, version)
    t.client("mortal", version, will=will()).disconnect()
    t.silence(watcher, t.client("publisher", version), "will")


@case("MQTT-3.1.2-8", "MQTT-3.14.2-1")
def disconnect_with_will_message_publishes_it(t):
    t.start()
    watcher = watcher_of(t)
    t.client("mortal", will=will()).disconnect(0x04)
    watcher.message(payload=b"gone")


@case("MQTT-3.1.2-8", "MQTT-4.13.1-1", over=VERSIONS)
def a_protocol_error_publishes_the_will(t, version):
    t.start()
    watcher = watcher_of(t, version)
    mortal = t.client("mortal", version, will=will())
    mortal.send(mqtt.connect(version, "mortal"))
    mortal.expect_disconnect(0x82)
    watcher.message(payload=b"gone")


@case("MQTT-3.1.4-3", "MQTT-3.1.2-8", over=VERSIONS)
def a_takeover_publishes_the_will_of_the_connection_that_ends(t, version):
    t.start()
    watcher = watcher_of(t, version)
    t.client("mortal", version, stored=True, will=will())
    t.client("mortal", version, stored=True)
    watcher.message(payload=b"gone")


@case("MQTT-3.1.2-15", "MQTT-3.1.2-8", over=VERSIONS)
def a_retained_will_is_retained(t, version):
    t.start()
    watcher = watcher_of(t, version)
    t.client("mortal", version, will=will(retain=True)).close()
    watcher.message(payload=b"gone", retain=False)
    late = t.client("late", version)
    late.subscribe("will", qos=1)
    late.message(payload=b"gone", retain=True)


@case("MQTT-3.3.2-4", "MQTT-3.1.3-10", "MQTT-3.3.2-17")
def a_will_carries_its_properties(t):
    t.start()
    watcher = watcher_of(t)
    props = {"payload_format_indicator": 1, "content_type": "text", "response_topic": "r",
             "correlation_data": b"\0\1", "user_property": [("b", "1"), ("a", "2"), ("b", "3")],
             "message_expiry_interval": 100}
    t.client("mortal", will=will(**props, will_delay_interval=0)).close()
    checks.equal("properties", watcher.message(payload=b"gone").props, props)


@case("MQTT-3.1.2-8", "MQTT-3.1.3-9")
def a_will_delay_is_waited_for(t):
    t.start()
    watcher = watcher_of(t)
    mortal = t.client("mortal", clean=False, expiry=300, will=will(will_delay_interval=2))
    started = time.monotonic()
    mortal.close()
    t.silence(watcher, t.client("publisher"), "will")
    watcher.message(payload=b"gone")
    elapsed = time.monotonic() - started
    checks.that(1.9 < elapsed < 6, f"it came after {elapsed:.1f} s, not 2 s")


@case("MQTT-3.1.3-9", over={"stop_at": (0, 0.6)})
def a_client_that_returns_within_the_delay_keeps_its_will_back(t, stop_at):
    t.start()
    watcher = watcher_of(t)
    t.client("mortal", clean=False, expiry=300, will=will(will_delay_interval=2)).close()
    if stop_at:
        t.pass_time(stop_at)
    mortal = t.client("mortal", clean=False, expiry=300)
    checks.equal("Session Present", mortal.connack.session_present, True)
    t.pass_time(2.5)
    t.silence(watcher, t.client("publisher"), "will")


@case("MQTT-3.1.2-8", "MQTT-4.1.0-2", over={"how": ("expiry", "disconnect", "clean start")})
def the_end_of_a_session_cuts_the_delay_short(t, how):
    t.start()
    watcher = watcher_of(t)
    expiry = 1 if how == "expiry" else 300
    mortal = t.client("mortal", clean=False, expiry=expiry, will=will(will_delay_interval=100))
    if how == "disconnect":
        mortal.disconnect(0x04, {"session_expiry_interval": 0})
    else:
        mortal.close()
    if how == "clean start":
        t.client("mortal", clean=True)
    watcher.message(payload=b"gone")


@case("MQTT-3.1.2-8", "MQTT-3.1.3-9", over={"taken_over": (False, True)})
def a_takeover_with_clean_start_publishes_a_delayed_will(t, taken_over):
    """5.0 section 3.1.3.2.2: the session ends, so the will is due; resumed, it is not."""
    t.start()
    watcher = watcher_of(t)
    t.client("mortal", clean=False, expiry=300, will=will(will_delay_interval=100))
    t.client("mortal", clean=taken_over, expiry=300)
    if taken_over:
        watcher.message(payload=b"gone")
    else:
        t.silence(watcher, t.client("publisher"), "will")


@case("MQTT-3.1.2-7", "MQTT-3.1.2-8", over={"workers": (1, 4)})
def a_new_connection_brings_its_own_will(t, workers):
    t.start(workers=workers)
    watcher = watcher_of(t)
    t.client("mortal", stored=True, will=will(payload=b"old", will_delay_interval=2)).close()
    t.client("mortal", stored=True, will=will(payload=b"new")).close()
    watcher.message(payload=b"new")
    t.pass_time(2.5)
    t.silence(watcher, t.client("publisher"), "will")


@case("MQTT-3.1.2-8", "rule 1", over={"version": (4, 5)})
def a_will_reaches_a_stored_session_that_is_away(t, version):
    t.start()
    t.away("away", "will", version=version, qos=2)
    t.client("mortal", version, will=will(2)).close()
    t.client("other", version).expect_nothing()
    t.pass_time(0.5)
    t.broker.kill_and_restart()
    t.back("away", version).message(payload=b"gone", qos=2)


@case("MQTT-3.1.2-8", timeout=40)
def hundreds_of_wills_at_once_all_come(t):
    t.start()
    watcher = watcher_of(t)
    mortals = [t.client(f"mortal-{number}", will=will(payload=b"%d" % number))
               for number in range(500)]
    for mortal in mortals:
        mortal.close()
    came = watcher.messages(500)
    checks.equal("wills", sorted(int(packet.payload) for packet in came), list(range(500)))
