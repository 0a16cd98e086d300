"""A cable between this machine and a box in a network namespace: a pair of virtual interfaces that can be cut."""

import ipaddress
import os
import subprocess

# Private addresses that nobody's office uses much; one /30 for each running suite.
POOL = ipaddress.ip_network("10.213.0.0/16")


def _ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Cable:
    """The namespace outlives the box's power: it is the socket in the wall."""

    def __init__(self, interface: str) -> None:
        """`interface` is its name inside the box."""
        number = os.getpid()
        self.namespace = f"nodi-hw-{number}"
        self.outer = f"nhw{number}"
        self.inner = interface
        subnet = self._unused(number)
        self.host, self.box = (str(address) for address in subnet.hosts())
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self.outer, "type", "veth", "peer", "name", interface, "netns", self.namespace)
        _ip("address", "add", f"{self.host}/30", "dev", self.outer)
        _ip("link", "set", self.outer, "up")
        _ip("-n", self.namespace, "link", "set", "lo", "up")

    @staticmethod
    def _unused(start: int) -> ipaddress.IPv4Network:
        used = _ip("-4", "-o", "address")
        subnets = list(POOL.subnets(new_prefix=30))
        for step in range(len(subnets)):
            subnet = subnets[(start + step) % len(subnets)]
            if f" {subnet[1]}/" not in used:
                return ipaddress.IPv4Network(subnet)
        raise RuntimeError(f"every network of {POOL} is in use")

    def configuration(self) -> str:
        """For the box's systemd-networkd, in place of what a DHCP server would tell it."""
        return (
            f"[Match]\nName={self.inner}\n[Network]\nAddress={self.box}/30\nGateway={self.host}\n"
            "LinkLocalAddressing=no\nIPv6AcceptRA=no\n"
        )

    def cut(self) -> None:
        """Somebody pulls the plug: the box sees that its carrier is gone."""
        _ip("link", "set", self.outer, "down")

    def mend(self) -> None:
        _ip("link", "set", self.outer, "up")

    def limit(self, bits_per_second: int | None) -> None:
        """What goes to the box; None: as fast as it can."""
        words = ["tc", "qdisc", "replace", "dev", self.outer, "root"]
        if bits_per_second is None:
            subprocess.run(["tc", "qdisc", "del", "dev", self.outer, "root"], capture_output=True, check=False)
            return
        shape = ["tbf", "rate", f"{bits_per_second}bit", "burst", "128kb", "latency", "50ms"]
        subprocess.run([*words, *shape], capture_output=True, check=True)

    def remove(self) -> None:
        _ip("link", "delete", self.outer, check=False)
        _ip("netns", "delete", self.namespace, check=False)
