"""A broker's configuration as text.

A configuration is a dict of sections: {"listener": {name: options}, "mqtt": options, ...} in
Holdfast's own names. Mosquitto is spoken too, as far as it has the same thing: it is the control
that shows which checks are fair.
"""

import os
import signal


class NotSupported(Exception):
    """This broker has no such option, so the case has nothing to check."""


def _value(value):
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, bytes):  # a word that is not to be quoted
        return value.decode()
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Holdfast:
    name = "holdfast"
    kill_signal = signal.SIGKILL

    @staticmethod
    def command(binary, config_file):
        return [binary, "-c", config_file]

    @staticmethod
    def _block(title, options, indent="  "):
        lines = [f"{indent}{key} = {_value(value)}" for key, value in options.items()]
        return "\n".join((title + " {", *lines, "}", ""))

    def render(self, config):
        out = [self._block(f'listener "{name}"', options)
               for name, options in config.get("listener", {}).items()]
        out += [self._block(section, options) for section, options in config.items()
                if section != "listener" and options]
        return "".join(out)


class Mosquitto:
    name = "mosquitto"
    kill_signal = signal.SIGTERM  # it cannot survive the other, and would hide what else is wrong

    # Holdfast's option -> mosquitto's; None: the control may do without it.
    OPTIONS = {
        ("mqtt", "max_packet_size"): "max_packet_size",
        ("mqtt", "max_inflight_messages"): "max_inflight_messages",
        ("mqtt", "max_queued_messages"): "max_queued_messages",
        ("mqtt", "max_keepalive"): "max_keepalive",
        ("mqtt", "retain_available"): "retain_available",
        ("mqtt", "max_topic_alias"): "max_topic_alias",
        ("log", "level"): None,
    }

    @staticmethod
    def command(binary, config_file):
        return [binary, "-c", config_file]

    def _listener(self, options):
        address, port = options["bind"].rsplit(":", 1)
        lines = [f"listener {port} {address.strip('[]')}"]
        for key, value in options.items():
            if key in ("certificate", "key", "ca"):
                names = {"certificate": "certfile", "key": "keyfile", "ca": "cafile"}
                lines.append(f"{names[key]} {value}")
            elif key == "client_certificate":
                lines += ["require_certificate true"]
            elif key == "allow_anonymous":
                lines.append(f"allow_anonymous {_value(value)}")
            elif key not in ("bind", "transport"):
                raise NotSupported(f"mosquitto has no listener option {key}")
        return lines

    def render(self, config):
        lines = ["per_listener_settings true", "log_dest stderr", "user root", "set_tcp_nodelay true"]
        for section, options in config.items():
            if section in ("listener", "sqlite"):
                continue
            for key, value in options.items():
                if (section, key) not in self.OPTIONS:
                    raise NotSupported(f"mosquitto has no {section} option {key}")
                name = self.OPTIONS[section, key]
                lines += [f"{name} {_value(value)}"] if name else []
        directory = config["sqlite"]["mounted_file_path"]
        if set(config["sqlite"]) - {"mounted_file_path"}:
            raise NotSupported("mosquitto has no sqlite options")
        lines += ["max_queued_messages 0"] if ("max_queued_messages" not in
                                               config.get("mqtt", {})) else []
        lines += [f"persistence_location {directory}"]
        for options in config["listener"].values():
            lines += self._listener(options) + ["persistence true"]
        return "\n".join(lines) + "\n"


def of(binary):
    return Mosquitto() if os.path.basename(binary) == "mosquitto" else Holdfast()
