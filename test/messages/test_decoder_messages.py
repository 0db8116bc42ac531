# SPDX-License-Identifier: Apache-2.0
"""Damaged images do not flood stderr, and nobody else's words are lost for it."""

import logging
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mtperception.messages import decoder_messages
from mtperception.messages.compressed import compressed_to_rgb
from mtperception.messages.decoder_messages import logged_decoder_messages

DECODE = """
import sys
from pathlib import Path
from types import SimpleNamespace
from mtperception.messages.compressed import compressed_to_rgb
from mtperception.messages.errors import RefusedImageError
for path in Path(sys.argv[1]).iterdir():
    try:
        compressed_to_rgb(SimpleNamespace(data=path.read_bytes(), format=''))
    except RefusedImageError:
        continue
"""


def damaged(extension, count):
    """Images of which a few bytes in the middle are others."""
    rng = np.random.default_rng(0)
    data = cv2.imencode(extension, rng.integers(0, 256, (48, 64, 3), np.uint8))[1]
    for _ in range(count):
        other = data.copy()
        other[rng.integers(len(data) // 2, len(data) - 20, 3)] = rng.integers(1, 255, 3)
        yield SimpleNamespace(data=other.tobytes(), format='')


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_many_damaged_images_are_a_few_lines_of_log(extension, tmp_path):
    """In a process of its own, which has said nothing yet."""
    for number, message in enumerate(damaged(extension, 100)):
        (tmp_path / str(number)).write_bytes(message.data)
    command = [sys.executable, '-c', DECODE, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 6
    assert all(line.startswith('damaged image: ') for line in lines)


def test_a_kind_is_said_again_after_a_while(monkeypatch, caplog):
    def warn(number):
        with logged_decoder_messages():
            os.write(2, b'Corrupt JPEG data: %d bytes that only this test writes, before marker 0xd9\n' % number)

    with caplog.at_level(logging.WARNING):
        warn(1)
        warn(2)
        assert len(caplog.records) == 1
        monkeypatch.setattr(decoder_messages, 'PERIOD_S', 0.0)
        warn(3)
    assert '3 bytes that only this test writes' in caplog.records[-1].getMessage()


def test_what_others_write_meanwhile_is_not_lost(capfd, caplog):
    with logged_decoder_messages(), logged_decoder_messages():
        os.write(2, b'[WARN] [123.4] [camera]: from another thread\nlibpng error: IDAT: CRC error\nno end')
    os.write(2, b' of the line\n')
    assert capfd.readouterr().err == '[WARN] [123.4] [camera]: from another thread\nno end of the line\n'


def test_where_stderr_takes_nothing_any_more_images_are_decoded_and_it_stays_stderr():
    saved = os.dup(2)
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 2)
    try:
        with logged_decoder_messages():
            os.write(2, b'from another thread\n')
        assert os.path.samestat(os.fstat(2), os.fstat(writer))
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(writer)


def test_decoders_of_several_threads(capfd, caplog):
    def decode():
        for message in damaged('.jpg', 50):
            compressed_to_rgb(message)

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err == ''
    os.write(2, b'still there\n')
    assert capfd.readouterr().err == 'still there\n'


def test_a_process_without_stderr_decodes(monkeypatch):
    saved = os.dup(2)
    os.close(2)
    try:
        image = np.zeros((8, 8, 3), np.uint8)
        message = SimpleNamespace(data=cv2.imencode('.png', image)[1].tobytes(), format='')
        assert np.array_equal(compressed_to_rgb(message), image)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
