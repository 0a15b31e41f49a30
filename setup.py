"""Packaging of sdnapp: two packages, two commands, and each dependency with its reason."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

RUNTIME = [
    "os-ken>=4.2,<5",  # OpenFlow: connections, handshake, messages, events
    "eventlet>=0.39,<1",  # the default hub of os-ken
    "pyroute2>=0.9,<0.10",  # netlink: namespaces, veths, addresses, routes
    "ovs>=3.3,<5",  # OVSDB: the IDL and its transactions
    "PyYAML>=6,<7",  # YAML with a line and a column for every node
    "pydantic>=2.10,<3",  # validation of the file, JSON Schema
    "click>=8.1,<9",  # the command line
    "rich>=13,<16",  # tables and progress on a terminal
    "falcon>=4,<5",  # REST resources
    "cryptography>=42,<60",  # X.509: `sdnapp pki` alone imports it
    "h11>=0.16,<1",  # HTTP/1.1 for our server, on either hub, with bounds for slow clients
]

DEVELOPMENT = [
    "pytest>=8,<10",
    "pytest-xdist>=3.8,<4",  # two tests at a time, where time is not what they are about
    "hypothesis>=6.100,<7",  # property tests
    "build>=1.2,<2",  # sdist and wheel as pip builds them
    "mypy>=1.13,<3",
    "ruff>=0.8,<1",
    "types-PyYAML>=6,<7",
    "jsonschema>=4.20,<5",  # the examples against our JSON Schema
    "openapi-spec-validator>=0.7,<1",  # the OpenAPI document is one
    # coverage-guided fuzzing; it has wheels for these
    "atheris>=2.3,<4; platform_machine == 'x86_64' and sys_platform == 'linux' and python_version < '3.14'",
    "matplotlib>=3.8,<4",  # charts of the benchmarks; the first with type hints
]

RECIPES = ["ansible-core>=2.15,<2.20"]  # the playbook of docs/recipes.md
DOCS = ["mkdocs-material>=9.5,<10"]  # the documents as a site, with search (./run docs)

setup(
    name="sdnapp",
    version="0.1.0",
    description="Multi-tenant layer-2 overlays on plain Open vSwitch, from one YAML file",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["sdnapp", "sdnapp.*", "flows", "flows.*"]), "sdnapp.examples"],
    package_dir={"sdnapp.examples": "configs"},
    package_data={
        "sdnapp": ["py.typed", "systemd/*.service"],
        "sdnapp.examples": ["*.yaml"],
        "flows": ["py.typed"],
    },
    install_requires=RUNTIME,
    extras_require={"dev": DEVELOPMENT, "recipes": RECIPES, "docs": DOCS},
    entry_points={
        "console_scripts": [
            "sdnapp = sdnapp.cli.main:main",
            "osken-manager = sdnapp.manager:main",
        ]
    },
)
