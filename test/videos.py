"""For tests: what is in a video file, by OpenCV alone."""

import cv2


def read_video(path):
    """All RGB images, and how many are shown per second."""
    capture = cv2.VideoCapture(str(path))
    images = []
    found, image = capture.read()
    while found:
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        found, image = capture.read()
    return images, capture.get(cv2.CAP_PROP_FPS)
