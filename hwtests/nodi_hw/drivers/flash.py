"""Flashing a Jetson in recovery mode: NVIDIA's `initrd-flash` out of the archive that the Yocto build leaves."""

import subprocess
import tempfile
from pathlib import Path

import attr
from labgrid.driver import Driver
from labgrid.driver.exception import ExecutionError
from labgrid.factory import target_factory
from labgrid.protocol import DigitalOutputProtocol, PowerProtocol
from labgrid.step import step

from ..wait import until

NVIDIA = "0955"
# USB product ids of modules in recovery mode: AGX Orin, Orin NX and Orin Nano in their sizes.
RECOVERY = ("7023", "7223", "7323", "7423", "7523", "7623")
APPEAR_S = 30
# A gigabyte over USB 2, written and verified twice.
FLASH_S = 1800


@target_factory.reg_driver
@attr.s(eq=False)
class InitrdFlashDriver(Driver):
    """`recovery` is the wire that holds the recovery button, such as a relay; without one a person has to hold it."""

    bindings = {  # noqa: RUF012 (labgrid's way)
        "power": PowerProtocol,
        "recovery": {DigitalOutputProtocol, None},
    }
    # Key below `images` in the environment file: IMAGE-MACHINE.tegraflash-tar.zst.
    image = attr.ib(validator=attr.validators.instance_of(str))
    arguments = attr.ib(default=attr.Factory(list), validator=attr.validators.instance_of(list))

    @Driver.check_active
    @step()
    def flash(self) -> None:
        """From any state to one that was never switched on before."""
        archive = Path(self.target.env.config.get_image_path(self.image))
        self.enter_recovery()
        with tempfile.TemporaryDirectory(prefix="nodi-flash-") as place:
            subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", place], check=True)
            done = subprocess.run(
                ["./initrd-flash", *self.arguments],
                cwd=place, timeout=FLASH_S, check=False, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode != 0:
                raise ExecutionError(f"initrd-flash ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr}")

    @Driver.check_active
    @step()
    def enter_recovery(self) -> None:
        """Power off, button down, power on, button up."""
        self.power.off()
        if self.recovery is None:
            self.target.interact(f"Hold the recovery button of {self.target.name}, then press enter")
        else:
            self.recovery.set(True)
        self.power.on()
        try:
            until("the module in recovery mode on USB", in_recovery, APPEAR_S)
        finally:
            if self.recovery is not None:
                self.recovery.set(False)


def in_recovery() -> bool:
    """Whether a module waits to be flashed."""
    for device in Path("/sys/bus/usb/devices").glob("*/idVendor"):
        if device.read_text().strip() == NVIDIA:
            product = (device.parent / "idProduct").read_text().strip()
            if product in RECOVERY:
                return True
    return False
