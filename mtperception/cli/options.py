# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, each with one meaning."""

from pathlib import Path
from typing import Annotated

import typer

from mtperception.backends import BACKENDS, PRECISIONS

ModelOption = Annotated[str, typer.Option('--model', help='Model directory, or the name of an installed model.')]
BackendOption = Annotated[str, typer.Option('--backend', help=f'auto, {", ".join(BACKENDS)}.')]
DeviceOption = Annotated[str, typer.Option('--device', help='auto, cpu, cuda:N or tensorrt:N.')]
PrecisionOption = Annotated[str, typer.Option('--precision', help=f'auto, {", ".join(PRECISIONS)}.')]
ImageTopicOption = Annotated[
    str, typer.Option('--image-topic', help='Of a bag: raw or compressed images; default: the first in colour.')
]
JsonOption = Annotated[Path | None, typer.Option('--json', metavar='FILE', help='Write the result here.')]
