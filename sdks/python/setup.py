"""Puts the C library of CES into the package: built with cargo, or taken from PROPELLER_CES_LIBRARY."""

import os
import pathlib
import shutil
import subprocess
import sys

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
CRATE = HERE.parent.parent / "crates" / "ces-ffi"
SUFFIX = "dylib" if sys.platform == "darwin" else "so"


def built() -> pathlib.Path:
    """The shared library, built with cargo from the checkout that this is in."""
    if not CRATE.is_dir():
        raise SystemExit(
            "propeller-ces is built from a checkout of its repository: there is no crates/ces-ffi "
            "beside sdks/python. Install from the checkout, or name a built library in "
            "PROPELLER_CES_LIBRARY."
        )
    cargo = os.environ.get("CARGO", "cargo")
    command = [cargo, "build", "--release", "--message-format=json-render-diagnostics"]
    output = subprocess.run(command, cwd=CRATE, check=True, stdout=subprocess.PIPE, text=True).stdout
    # cargo says where it put it, whatever the target folder is.
    names = [word for word in output.split('"') if word.endswith(f"/libpropeller_ces_ffi.{SUFFIX}")]
    return pathlib.Path(names[-1])


class WithLibrary(build_py):
    """Copies the library beside the modules."""

    def run(self):
        super().run()
        named = os.environ.get("PROPELLER_CES_LIBRARY")
        library = pathlib.Path(named) if named else built()
        folder = pathlib.Path(self.get_package_dir("propeller_ces"))
        if not self.editable_mode:
            folder = pathlib.Path(self.build_lib) / "propeller_ces"
        shutil.copyfile(library, folder / f"libpropeller_ces.{SUFFIX}")


class ForThisPlatform(bdist_wheel):
    """The library is for one platform, and for every Python on it."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


setup(cmdclass={"build_py": WithLibrary, "bdist_wheel": ForThisPlatform})
