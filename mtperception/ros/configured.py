"""What the perception node has while it is configured."""

from contextlib import ExitStack

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode

from mtperception.interface.parameters import Settings
from mtperception.interface.presentation import Presentation
from mtperception.predictor import Predictor
from mtperception.ros.diagnostics import diagnostic_array
from mtperception.ros.frames import FrameProcessor
from mtperception.ros.monitor import Monitor
from mtperception.ros.publishers import OutputPublishers
from mtperception.ros.qos import QosWarnings

DIAGNOSTICS_PERIOD_S = 1.0


class Configured:
    """What the node has from configure to cleanup: the model, the publishers, and what is counted.

    Raises:
        ValueError, OSError, RuntimeError, ImportError: if the settings or the model cannot be used.
    """

    def __init__(self, node: LifecycleNode, settings: Settings, qos_warnings: QosWarnings) -> None:
        self._node = node
        with ExitStack() as self._undo:  # what fails half-way leaves nothing on the graph
            self._build(node, settings, qos_warnings)
            self._undo = self._undo.pop_all()

    def _build(self, node: LifecycleNode, settings: Settings, qos_warnings: QosWarnings) -> None:
        self.monitor = Monitor()
        self.predictor = Predictor(
            settings.model,
            settings.backend,
            settings.device,
            settings.precision,
            network_size=settings.network_size,
            output_size=settings.output_size,
        )
        self._undo.callback(self.predictor.close)
        self.present(settings)
        self.predictor.warm_up(settings.warm_up_iterations)
        self.publishers = OutputPublishers(node, self.predictor.card.tasks, qos_warnings)
        self._undo.callback(self.publishers.destroy)
        self.processor = FrameProcessor(
            self.predictor, self.publishers.publish, lambda: self.presentation, self.monitor, node.get_logger()
        )
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

    def release(self) -> None:
        """Undo all of it."""
        self._undo.close()

    def _publish_diagnostics(self) -> None:
        wanted = self.publishers.wanted()
        now_ns = self._node.get_clock().now().nanoseconds
        minimum = self.presentation.settings.min_output_rate
        name = self._node.get_fully_qualified_name()
        self._diagnostics.publish(diagnostic_array(name, self.monitor, self.predictor, now_ns, wanted, minimum))
