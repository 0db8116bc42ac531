# SPDX-License-Identifier: Apache-2.0
"""Teachers: networks that annotate what a data set has no ground truth for."""

from pathlib import Path

from mtperception.teachers.teacher import Teacher, TeacherError, TeacherLoader, TeacherOptions

__all__ = ['TEACHERS', 'Teacher', 'TeacherError', 'TeacherOptions', 'open_teacher']


def _model(model: str, options: TeacherOptions) -> Teacher:
    from mtperception.teachers.ground_plane import GroundPlaneTeacher
    from mtperception.teachers.model_teacher import ModelTeacher

    return GroundPlaneTeacher(model, options) if options.camera_height else ModelTeacher(model, options)


def _litert(model: str, options: TeacherOptions) -> Teacher:
    from mtperception.teachers.litert_teacher import LiteRTTeacher

    return LiteRTTeacher(model, options)


TEACHERS: dict[str, TeacherLoader] = {'': _model, '.tflite': _litert}
"""By the suffix of the file; what has none of the others is a model directory or the name of one."""


def open_teacher(model: str, options: TeacherOptions | None = None) -> Teacher:
    """Load a teacher.

    Args:
        model: a model directory, the name of an installed one, or a `.tflite` file.
        options: how to run it.

    Raises:
        TeacherError: if it is not a network that can be used, or not with these options.
        ImportError: if what runs it is not installed.
        ResourceNotFoundError, ModelError, BackendUnavailableError, SelfTestError: as for any model.
    """
    options = options or TeacherOptions()
    if options.horizon is not None and not options.camera_height:
        raise TeacherError(f'horizon {options.horizon:g} given: expected a camera height too')
    load = TEACHERS.get(Path(model).suffix.lower(), TEACHERS[''])
    return load(model, options)
