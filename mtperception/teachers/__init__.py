# SPDX-License-Identifier: Apache-2.0
"""Teachers: networks that annotate what a data set has no ground truth for."""

from contextlib import ExitStack, closing
from dataclasses import replace
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


def _corrected(model: str, options: TeacherOptions) -> Teacher:
    """A teacher and its second opinions, all closed again if they do not go together."""
    from mtperception.data.folder import Folder
    from mtperception.teachers.second_opinion import CorrectedTeacher

    alone = replace(options, second_opinions=(), judged_on='')
    with ExitStack() as opened:
        teacher = opened.enter_context(closing(open_teacher(model, alone)))
        others = []
        for other in options.second_opinions:
            has_card = TEACHERS.get(Path(other).suffix.lower(), _model) is _model
            how = replace(alone, label_space='') if has_card else TeacherOptions(raw_indices=True)
            others.append(opened.enter_context(closing(open_teacher(other, how))))
        corrected = CorrectedTeacher(teacher, others, Folder(Path(options.judged_on).expanduser(), 'train'))
        opened.pop_all()
    return corrected


def _with_depth_opinions(model: str, options: TeacherOptions) -> Teacher:
    """A teacher whose depth other networks correct, closed again on failure."""
    from mtperception.teachers.depth_network import DepthNetwork
    from mtperception.teachers.fused_depth import FusedDepthTeacher

    depth = [DepthNetwork(other) for other in options.depth_opinions]
    disparity = [DepthNetwork(other) for other in options.disparity_opinions]
    with ExitStack() as opened:
        alone = replace(options, depth_opinions=(), disparity_opinions=())
        teacher = opened.enter_context(closing(open_teacher(model, alone)))
        fused = FusedDepthTeacher(teacher, depth, disparity)
        opened.pop_all()
    return fused


TEACHERS: dict[str, TeacherLoader] = {'': _model, '.tflite': _litert}
"""By the suffix of the file; what has none of the others is a model directory or the name of one."""


def open_teacher(model: str, options: TeacherOptions | None = None) -> Teacher:
    """Load a teacher.

    Args:
        model: a model directory, the name of an installed one, or a `.tflite` file.
        options: how to run it.

    Raises:
        TeacherError: if it is not a network that can be used, or not with these options.
        DatasetError: if what second opinions are judged on cannot be read.
        ImportError: if what runs it is not installed.
        ResourceNotFoundError, ModelError, BackendUnavailableError, SelfTestError: as for any model.
    """
    options = options or TeacherOptions()
    if bool(options.second_opinions) != bool(options.judged_on):
        raise TeacherError(
            'second opinions need a labelled data set to be judged on, and nothing else needs one: expected both or '
            'neither (--second-opinion, --judged-on)'
        )
    if options.second_opinions and options.camera_height:
        raise TeacherError('camera height and second opinions: depth follows the labels of one network: expected one')
    if options.depth_opinions or options.disparity_opinions:
        if options.camera_height:
            raise TeacherError(
                'camera height gives depth by geometry, depth opinions correct that of a model: expected one'
            )
        return _with_depth_opinions(model, options)
    if options.second_opinions:
        return _corrected(model, options)
    if options.horizon is not None and not options.camera_height:
        raise TeacherError(f'horizon {options.horizon:g} given: expected a camera height too')
    load = TEACHERS.get(Path(model).suffix.lower(), TEACHERS[''])
    return load(model, options)
