# SPDX-License-Identifier: Apache-2.0
"""Damaged images do not flood stderr, and nobody else's words are lost for it."""

import logging
import os
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mtperception.messages import decoder_messages
from mtperception.messages.compressed import compressed_to_rgb
from mtperception.messages.decoder_messages import logged_decoder_messages
from mtperception.messages.errors import RefusedImageError


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(decoder_messages, '_capture', decoder_messages._Capture())


def damaged(extension, count):
    """Images of which a few bytes in the middle are others."""
    rng = np.random.default_rng(0)
    data = cv2.imencode(extension, rng.integers(0, 256, (48, 64, 3), np.uint8))[1]
    for _ in range(count):
        other = data.copy()
        other[rng.integers(len(data) // 2, len(data) - 20, 3)] = rng.integers(1, 255, 3)
        yield SimpleNamespace(data=other.tobytes(), format='')


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_many_damaged_images_are_a_few_lines_of_log(extension, capfd, caplog):
    with caplog.at_level(logging.WARNING):
        for message in damaged(extension, 100):
            try:
                compressed_to_rgb(message)
            except RefusedImageError:
                continue
    assert capfd.readouterr().err == ''
    assert 1 <= len(caplog.records) <= 6
    assert all(record.getMessage().startswith('damaged image: ') for record in caplog.records)


def test_a_kind_is_said_again_after_a_while(monkeypatch, caplog):
    def warn(number):
        with logged_decoder_messages():
            os.write(2, b'Corrupt JPEG data: %d extraneous bytes before marker 0xd9\n' % number)

    with caplog.at_level(logging.WARNING):
        warn(1)
        warn(2)
        assert len(caplog.records) == 1
        monkeypatch.setattr(decoder_messages, 'PERIOD_S', 0.0)
        warn(3)
    assert '3 extraneous bytes' in caplog.records[-1].getMessage()


def test_what_others_write_meanwhile_is_not_lost(capfd, caplog):
    with logged_decoder_messages(), logged_decoder_messages():
        os.write(2, b'[WARN] [123.4] [camera]: from another thread\nlibpng error: IDAT: CRC error\nno end')
    os.write(2, b' of the line\n')
    assert capfd.readouterr().err == '[WARN] [123.4] [camera]: from another thread\nno end of the line\n'


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
