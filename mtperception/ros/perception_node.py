"""The perception node: camera streams in; depth, labels and overlay out. A managed (lifecycle) node."""

import gc
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial, wraps

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtperception.messages.presentation import Presentation
from mtperception.ros import parameters
from mtperception.ros.camera import Camera
from mtperception.ros.configured import Configured
from mtperception.ros.frames import Frame
from mtperception.ros.logs import forward_logs
from mtperception.ros.process import ros_process, spinning
from mtperception.ros.qos import QosWarnings
from mtperception.ros.worker import LatestWorker

AUTOSTART_DELAY_S = 0.01
FAILURES = (ValueError, OSError, RuntimeError, ImportError, ParameterException)
"""What settings and models that cannot be used raise."""
Transition = Callable[['PerceptionNode', LifecycleState], TransitionCallbackReturn]


def _reported(transition: Transition) -> Transition:
    """A transition that says what it raises: rclpy, which then calls it failed, does not."""

    @wraps(transition)
    def run(node: 'PerceptionNode', state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().debug(traceback.format_exc())
            node.get_logger().error(f'{transition.__name__}: {type(error).__name__}: {error}')
            raise

    return run


class PerceptionNode(LifecycleNode):
    """Subscribes to `image` and `camera_info`, publishes `interface.OUTPUTS`; parameters: `interface.PARAMETERS`."""

    def __init__(self) -> None:
        super().__init__('perception')
        forward_logs(self.get_logger())
        self._bad_overrides = parameters.declare(self)
        self.add_on_set_parameters_callback(self._check_change)
        self.add_post_set_parameters_callback(self._take_over_change)
        self._qos_warnings = QosWarnings(self.get_logger())
        self._configured: Configured | None = None
        self._worker: LatestWorker[Frame] | None = None
        if self.get_parameter('autostart').value:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._autostart = self.create_timer(AUTOSTART_DELAY_S, self._start, clock=steady)

    # Transitions

    @_reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, load the model, self-test and warm it up; FAILURE with one line if that cannot be."""
        try:
            if self._bad_overrides:
                raise ValueError('; '.join(self._bad_overrides.values()))
            self._configured = Configured(self, parameters.read(self), self._qos_warnings)
        except FAILURES as error:
            self._report(f'cannot configure: {error}')
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(f'configured: {self._configured.predictor.description}')
        return super().on_configure(state)

    @_reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen and to answer; FAILURE with one line if the subscriptions cannot be made."""
        configured = self._configured
        self._worker = LatestWorker(configured.processor.handle, lambda frame: frame.camera.monitor.drop())
        configured.processor.resume = self._worker.put_back
        transport = configured.presentation.settings.image_transport
        try:
            for camera in configured.cameras:
                camera.listen(transport, partial(self._on_image, camera))
        except FAILURES as error:
            self._report(f'cannot activate: {error}')
            self._stop()
            return TransitionCallbackReturn.FAILURE
        result = super().on_activate(state)
        configured.publish_classes()
        return result

    @_reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; the frame in hand is still answered."""
        self._stop()
        return super().on_deactivate(state)

    @_reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model and its memory, and the publishers."""
        self._release()
        return super().on_cleanup(state)

    @_reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release."""
        self._stop()
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        self.get_logger().error(f'a transition from {state.label} failed: back to unconfigured')
        self._stop()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def _start(self) -> None:
        """Configure and activate: the autostart, once the executor runs."""
        self.destroy_timer(self._autostart)
        if self._configured is None and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _report(self, problem: str) -> None:
        """Log an error as one line."""
        self.get_logger().error(' '.join(problem.split()))

    def _stop(self) -> None:
        if self._worker is None:
            return
        for camera in self._configured.cameras:
            camera.stop_listening()
        self._configured.processor.forget()
        self._worker.stop()
        self._worker = None
        for camera in self._configured.cameras:
            camera.monitor.forget()

    def _release(self) -> None:
        if self._configured is not None:
            self._configured.release()
            self._configured = None
            gc.collect()  # its parts know each other: without this their memory stays until Python thinks of it

    def destroy_node(self) -> None:
        """Stop, release and leave the graph."""
        self._stop()
        self._release()
        super().destroy_node()

    # Frames

    def _on_image(self, camera: Camera, message: Image | CompressedImage, camera_info: CameraInfo | None) -> None:
        """Decide in the executor's thread whether an image goes to the worker."""
        frame = Frame(camera, message, camera_info, time.monotonic())
        max_rate = self._configured.presentation.settings.max_rate
        if camera.takes(frame.stamp_ns, frame.received, max_rate):
            self._worker.submit(camera, frame)

    # Parameters

    def _check_change(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            if self._configured is None:
                parameters.check(changes)
            else:
                predictor = self._configured.predictor
                changed = parameters.with_changes(self._configured.presentation.settings, changes)
                Presentation.build(changed, predictor.card, predictor.label_space)
        except (ValueError, OSError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take_over_change(self, changes: list[Parameter]) -> None:
        for change in changes:
            self._bad_overrides.pop(change.name, None)
        if self._configured is not None:
            self._configured.present(parameters.read(self))
            self._configured.publish_classes()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM comes."""
    with ros_process(arguments) as stop, spinning(PerceptionNode(), stop):
        stop.wait()


if __name__ == '__main__':
    main()
