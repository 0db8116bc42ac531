# SPDX-License-Identifier: Apache-2.0
"""What the perception node has from configure to cleanup: the model, the cameras, and the worker between them."""

import gc
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtperception.mapping.scale import FloorScale, floor_class
from mtperception.messages.parameters import Settings
from mtperception.messages.presentation import Presentation
from mtperception.messages.stamps import stamp_of
from mtperception.predictor import Predictor
from mtperception.ros.camera import Camera
from mtperception.ros.diagnostics import Stream, diagnostic_array
from mtperception.ros.frames import FrameProcessor, ReceivedImage
from mtperception.ros.node import ManagedNode
from mtperception.ros.worker import LatestWorker

OpenModel = Callable[[Settings], Predictor]


def open_predictor(settings: Settings) -> Predictor:
    """The model of the settings, as they say that it is to run.

    Raises:
        MTPerceptionError, OSError: if the model cannot be used, or not in this way.
    """
    return Predictor(
        settings.model,
        settings.backend,
        settings.device,
        settings.precision,
        network_size=settings.network_size,
        output_size=settings.output_size,
        max_batch=len(settings.cameras),
        memory_budget=settings.memory_budget * 10**6 or None,
    )


class PerceptionComponent:
    """What does the work of the perception node.

    Args:
        node: the node.
        settings: of its parameters.
        open_model: opens the model that the settings name; raises what `open_predictor` raises.

    Raises:
        MTPerceptionError, OSError: if the settings or the model cannot be used.
    """

    def __init__(self, node: ManagedNode, settings: Settings, open_model: OpenModel) -> None:
        self._node = node
        with ExitStack() as undo:  # what fails half-way leaves nothing on the graph
            self.predictor = open_model(settings)
            undo.callback(self.predictor.close)
            self.cameras: list[Camera] = []
            self._present(settings)
            self.predictor.warm_up(settings.warm_up_iterations)
            for name in settings.cameras:
                self.cameras.append(Camera(node, name, self.predictor.card.tasks, node.qos_warnings))
                undo.callback(self.cameras[-1].destroy)
            self._know_height(settings.camera_height)
            undo.pop_all()
        self.processor = FrameProcessor(self.predictor, lambda: self._presentation, node.get_logger())
        # One from configure to cleanup: nobody waits for what it has in hand when the node is deactivated, and what
        # comes once it is active again waits for that.
        self._worker = LatestWorker(
            self.processor.handle, lambda frame: frame.camera.monitor.drop(), self._release_memory
        )
        self.processor.submit = self._worker.submit
        self.processor.resume = self._worker.put_back

    @property
    def settings(self) -> Settings:
        """Those that it follows."""
        return self._presentation.settings

    @property
    def description(self) -> str:
        """The model and what runs it."""
        return self.predictor.description

    def check(self, settings: Settings) -> None:
        """Raise InputError if the model cannot follow these settings."""
        Presentation.build(settings, self.predictor.card, self.predictor.label_space)
        if settings.camera_height:
            floor_class(self.predictor.label_space)

    def apply(self, settings: Settings) -> None:
        """Follow these settings, from the next frame on."""
        if _scale_of(settings) != _scale_of(self.settings):
            self._know_height(settings.camera_height)
        self._present(settings)

    def activate(self) -> None:
        """Subscribe, and say what the ids mean."""
        try:
            for camera in self.cameras:
                camera.listen(self.settings.image_transport, partial(self._on_image, camera))
        except BaseException:
            self.deactivate()
            raise
        self._announce(self._presentation)

    def deactivate(self) -> None:
        """Take the subscriptions off the graph and forget what waits; a frame or preparation in hand goes on."""
        for camera in self.cameras:
            camera.stop_listening()
        self.processor.forget()
        self._worker.clear()
        for camera in self.cameras:
            camera.monitor.forget()

    def release(self) -> None:
        """Take the cameras off the graph; the memory follows when the worker has finished what it has in hand."""
        for camera in self.cameras:
            camera.destroy()
        self._worker.end()

    def diagnostics(self) -> DiagnosticArray:
        """How the cameras and the model are now."""
        return diagnostic_array(
            self._node.get_fully_qualified_name(),
            [self._stream(camera) for camera in self.cameras],
            self.predictor,
            self._node.get_clock().now().nanoseconds,
            min_output_rate=self.settings.min_output_rate,
        )

    def _stream(self, camera: Camera) -> Stream:
        has_subscribers = camera.publishers.has_subscribers()
        factor = camera.floor_scale and camera.floor_scale.factor
        is_preparing = self.processor.is_preparing(camera)
        return Stream(camera.name, camera.monitor, has_subscribers, is_preparing, factor, camera.is_listening)

    def _on_image(self, camera: Camera, message: Image | CompressedImage, camera_info: CameraInfo | None) -> None:
        """Decide in the executor's thread whether an image goes to the worker."""
        frame = ReceivedImage(camera, message, camera_info, time.monotonic())
        if not camera.accept(stamp_of(message), frame.received, self.settings.max_rate):
            return
        if isinstance(message, CompressedImage):
            self.processor.decode_aside(frame)
        else:
            self._worker.submit(camera, frame)

    def _present(self, settings: Settings) -> None:
        """Take over live settings; raises ValueError, and changes nothing, if the model cannot follow them."""
        presentation = Presentation.build(settings, self.predictor.card, self.predictor.label_space)
        self._announce(presentation)  # first: no frame may come with ids whose meaning is not known yet
        self._presentation = presentation
        self.predictor.depth_scale = settings.depth_scale
        self.predictor.depth_scale_mode = settings.depth_scale_mode
        self.predictor.invalid_depth_classes = settings.invalid_depth_classes

    def _know_height(self, metres: float) -> None:
        """Let the floor's plane set the scale of each camera's depth; 0: leave it as it is."""
        for camera in self.cameras:
            camera.floor_scale = FloorScale(self.predictor.label_space, metres) if metres else None

    def _announce(self, presentation: Presentation) -> None:
        for camera in self.cameras:
            camera.publishers.publish_classes(presentation)

    def _release_memory(self) -> None:
        """In the worker's thread, the last thing that it does; it may wait, for a preparation in hand."""
        self.processor.close()
        self.predictor.close()
        gc.collect()


def _scale_of(settings: Settings) -> tuple[float, float, str]:
    """What a scale that was measured by the floor holds for."""
    return settings.camera_height, settings.depth_scale, settings.depth_scale_mode
