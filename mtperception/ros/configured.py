"""What the perception node has while it is configured."""

from contextlib import ExitStack

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode

from mtperception.messages.parameters import Settings
from mtperception.messages.presentation import Presentation
from mtperception.predictor import Predictor
from mtperception.ros.camera import Camera
from mtperception.ros.diagnostics import Stream, diagnostic_array
from mtperception.ros.frames import FrameProcessor
from mtperception.ros.qos import QosWarnings

DIAGNOSTICS_PERIOD_S = 1.0


class Configured:
    """What the node has from configure to cleanup: the model, and the cameras with their publishers.

    Raises:
        ValueError, OSError, RuntimeError, ImportError: if the settings or the model cannot be used.
    """

    def __init__(self, node: LifecycleNode, settings: Settings, qos_warnings: QosWarnings) -> None:
        self._node = node
        with ExitStack() as self._undo:  # what fails half-way leaves nothing on the graph
            self._build(node, settings, qos_warnings)
            self._undo = self._undo.pop_all()

    def _build(self, node: LifecycleNode, settings: Settings, qos_warnings: QosWarnings) -> None:
        self.predictor = Predictor(
            settings.model,
            settings.backend,
            settings.device,
            settings.precision,
            network_size=settings.network_size,
            output_size=settings.output_size,
            max_batch=len(settings.cameras),
            memory_budget=settings.memory_budget * 10**6 or None,
        )
        self._undo.callback(self.predictor.close)
        self.present(settings)
        self.predictor.warm_up(settings.warm_up_iterations)
        self.cameras: list[Camera] = []
        for name in settings.cameras:
            self.cameras.append(Camera(node, name, self.predictor.card.tasks, qos_warnings))
            self._undo.callback(self.cameras[-1].destroy)
        self.processor = FrameProcessor(self.predictor, lambda: self.presentation, node.get_logger())
        self._diagnostics = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._undo.callback(node.destroy_publisher, self._diagnostics)
        # By the steady clock: diagnostics go on while simulated time stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = node.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics, clock=steady)
        self._undo.callback(node.destroy_timer, timer)

    def present(self, settings: Settings) -> None:
        """Take over live settings; raises ValueError, and changes nothing, if the model cannot follow them."""
        self.presentation = Presentation.build(settings, self.predictor.card, self.predictor.label_space)
        self.predictor.depth_scale = settings.depth_scale
        self.predictor.depth_scale_mode = settings.depth_scale_mode
        self.predictor.invalid_depth_classes = settings.invalid_depth_classes

    def publish_classes(self) -> None:
        """Publish what the ids mean, with each camera."""
        for camera in self.cameras:
            camera.publishers.publish_classes(self.presentation)

    def release(self) -> None:
        """Undo all of it."""
        self._undo.close()

    def _publish_diagnostics(self) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        streams = [
            Stream(camera.name, camera.monitor, camera.publishers.wanted(), self.processor.is_preparing(camera))
            for camera in self.cameras
        ]
        message = diagnostic_array(
            self._node.get_fully_qualified_name(),
            streams,
            self.predictor,
            now_ns,
            min_output_rate=self.presentation.settings.min_output_rate,
        )
        self._diagnostics.publish(message)
