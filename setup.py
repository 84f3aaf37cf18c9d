"""Puts the zoo's checkpoints and data, which are kept in `suites/`, into a built package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("checkpoints", "data")


class BuildWithAssets(build_py):
    """Copies `suites/checkpoints` and `suites/data` to `harness/zoo/shipped`; an editable install needs no copy."""

    def run(self) -> None:
        super().run()
        for name in () if self.editable_mode else SHIPPED:
            place = Path(self.build_lib) / "harness" / "zoo" / "shipped" / name
            shutil.copytree(Path("suites") / name, place, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithAssets})
