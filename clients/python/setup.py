"""Generates the messages and stubs of ``proto/`` whenever the package is built; nothing generated is kept in the repository.

A checkout has the definition two directories up. A source distribution has no directories above it, so it carries a copy.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
PACKAGE = "barista_client"
# What is generated. Who exports telemetry has the messages of OpenTelemetry from its own package.
PACKAGES = "barista"
# protoc writes imports as the definition's packages say, from the top: `barista.notification.v1`. Here they live inside this package,
# so that no other distribution's `barista` can stand in their way.
IMPORT = re.compile(r"^from barista\.", re.MULTILINE)


def definition() -> Path:
    """The directory of the definition."""
    for directory in (HERE / "proto", HERE.parent.parent / "proto"):
        if (directory / "barista").is_dir():
            return directory
    raise SystemExit("cannot build: there is no proto/ beside setup.py or two directories above it; build from a checkout of Barista")


def generate(package: Path) -> None:
    """Writes ``pb`` into the directory ``package``, in place of what was there."""
    from importlib.resources import files

    from grpc_tools import protoc

    proto = definition()
    target = package / "pb"
    shutil.rmtree(target, ignore_errors=True)
    staging = package / "pb.new"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    sources = sorted(str(path.relative_to(proto)) for path in (proto / PACKAGES).rglob("*.proto"))
    outputs = [f"--{kind}_out={staging}" for kind in ("python", "pyi", "grpc_python")]
    # The types of google.protobuf come with the generator.
    includes = [f"-I{proto}", f"-I{files('grpc_tools') / '_proto'}"]
    if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
        raise SystemExit("cannot build: protoc refused the definition, see above")
    for path in [*staging.rglob("*.py"), *staging.rglob("*.pyi")]:
        if path.name.endswith("_pb2_grpc.py") and not path.name.endswith("_service_pb2_grpc.py"):
            path.unlink()  # No service in it.
        else:
            path.write_text(IMPORT.sub(f"from {PACKAGE}.pb.", path.read_text("utf-8")), "utf-8")
    (staging / "barista").rename(target)
    shutil.rmtree(staging)


class BuildWithMessages(build_py):
    """Adds the generated package to what is built, or to the source where that is installed as editable."""

    def run(self) -> None:
        super().run()
        generate(HERE / "src" / PACKAGE if self.editable_mode else Path(self.build_lib) / PACKAGE)


class SourceWithDefinition(sdist):
    """Puts the definition into the source distribution."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        shutil.copytree(definition(), Path(base_dir) / "proto", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithMessages, "sdist": SourceWithDefinition})
