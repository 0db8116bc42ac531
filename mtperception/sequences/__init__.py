# SPDX-License-Identifier: Apache-2.0
"""What mapping systems read: recordings with the depth that a model sees in them, and tables of its classes."""

from mtperception.sequences.hydra import write_hydra
from mtperception.sequences.klg import KlgWriter
from mtperception.sequences.legend import write_legend
from mtperception.sequences.nav2 import write_nav2
from mtperception.sequences.semanticfusion import SemanticFusionWriter
from mtperception.sequences.tum import TumWriter
from mtperception.sequences.writer import LabelWriter, SequenceFrame, SequenceWriter, WriterOptions

__all__ = [
    'FORMATS',
    'LABEL_FORMATS',
    'SEQUENCE_FORMATS',
    'LabelWriter',
    'SequenceFrame',
    'SequenceWriter',
    'WriterOptions',
]

SEQUENCE_FORMATS: dict[str, type[SequenceWriter]] = {
    'klg': KlgWriter,
    'tum': TumWriter,
    'semanticfusion': SemanticFusionWriter,
}
"""Recordings, one class each."""

LABEL_FORMATS: dict[str, LabelWriter] = {
    'hydra': write_hydra,
    'nav2': write_nav2,
    'legend': write_legend,
}
"""Tables of classes, one function each."""

FORMATS = (*SEQUENCE_FORMATS, *LABEL_FORMATS)
