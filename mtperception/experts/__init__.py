"""Experts: networks that annotate what a data set has no ground truth for."""

from pathlib import Path

from mtperception.experts.expert import Expert, ExpertError, ExpertLoader, ExpertOptions

__all__ = ['EXPERTS', 'Expert', 'ExpertError', 'ExpertOptions', 'open_expert']


def _model(model: str, options: ExpertOptions) -> Expert:
    from mtperception.experts.model_expert import ModelExpert

    return ModelExpert(model, options)


def _litert(model: str, options: ExpertOptions) -> Expert:
    from mtperception.experts.litert_expert import LiteRTExpert

    return LiteRTExpert(model, options)


EXPERTS: dict[str, ExpertLoader] = {'': _model, '.tflite': _litert}
"""By the suffix of the file; what has none of the others is a model directory or the name of one."""


def open_expert(model: str, options: ExpertOptions | None = None) -> Expert:
    """Load an expert.

    Args:
        model: a model directory, the name of an installed one, or a `.tflite` file.
        options: how to run it.

    Raises:
        ExpertError: if it is not a network that can be used, or not with these options.
        ImportError: if what runs it is not installed.
        ResourceNotFoundError, ModelError, BackendUnavailableError, SelfTestError: as for any model.
    """
    load = EXPERTS.get(Path(model).suffix.lower(), EXPERTS[''])
    return load(model, options or ExpertOptions())
