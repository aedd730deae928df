# SPDX-License-Identifier: MIT
"""Configurations in libconfig's syntax."""
import pathlib

DEFAULTS = {}  # settings that config() adds unless the caller gives them; the backend fixture sets workers


def value(v):
    """A Python value in libconfig's syntax."""
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, str):
        return '"%s"' % v
    if isinstance(v, (list, tuple)):
        return "( %s )" % ", ".join(map(value, v))
    if isinstance(v, dict):
        return "{ %s }" % " ".join(f"{name} = {value(one)};" for name, one in v.items())
    return str(v)


def settings(pairs, indent=""):
    return "".join(f"{indent}{k} = {value(v)};\n" for k, v in pairs.items())


def service(name="echo", listen="127.0.0.1:0", **pairs):
    """One entry of "services". listen=None leaves out that key."""
    if listen is not None:
        pairs = {"listen": listen, **pairs}
    return f"  {name} = {{\n{settings(pairs, '    ')}  }};\n"


def relay(upstream, name="relay", **pairs):
    """A service that relays to upstream, which is an address or a list of addresses."""
    return service(name, mode="relay", upstream=upstream, **pairs)


def hub(name="hub", **pairs):
    return service(name, mode="hub", **pairs)


def accepting(name="echo", proxy_from="127.0.0.1", **pairs):
    """A service that expects a PROXY header from each client."""
    return service(name, proxy_protocol="accept", proxy_from=proxy_from, **pairs)


def config(*services, **pairs):
    """A configuration of these services, or of one echo on a free port. pairs: keys of the top level."""
    rest = {k: v for k, v in DEFAULTS.items() if k not in pairs}
    return (settings(pairs) + "services = {\n" + "".join(services or (service(),)) + "};\n"
            + settings(rest))  # at the end, so that the line numbers of the rest stay the same


def workers():
    """The number of workers that config() asks for, as a number and in the words of the log."""
    n = DEFAULTS.get("workers", 1)
    return n, f"{n} worker{'' if n == 1 else 's'}"


def config_in(directory, text):
    """Writes the configuration to a directory by rename(2), so that a reload reads either the old or the new
    one.
    """
    path, new = pathlib.Path(directory, "selectd.conf"), pathlib.Path(directory, "new")
    new.write_bytes(text if isinstance(text, bytes) else text.encode())
    return new.replace(path)
