# SPDX-License-Identifier: Apache-2.0
import gc
from weakref import ref

from mtperception.recording.assembly import Assembly


def joined(assembly, *messages):
    """(image, partners) of all frames, in order."""
    frames = [frame for topic, item in messages for frame in assembly.add(topic, item)]
    return [(frame.index, frame.image, dict(frame.partners)) for frame in (*frames, *assembly.rest())]


def test_an_image_waits_for_what_belongs_to_it_and_keeps_the_order():
    assembly = Assembly('image', {'depth': {0: 1, 2: 0}})
    assert list(assembly.add('image', 'a')) == []  # its depth is the second one
    assert list(assembly.add('image', 'b')) == []  # has none, but comes after a
    assert list(assembly.add('depth', 'first')) == []
    assert [frame.image for frame in assembly.add('depth', 'second')] == ['a', 'b']
    (frame,) = assembly.add('image', 'c')
    assert (frame.index, frame.partners) == (2, {'depth': 'first'})


def test_images_without_partners_do_not_wait():
    assembly = Assembly('image', {'depth': {}})
    assert joined(assembly, ('image', 'a'), ('depth', 'x'), ('image', 'b')) == [(0, 'a', {}), (1, 'b', {})]


def test_several_topics():
    assembly = Assembly('image', {'depth': {0: 0}, 'labels': {0: 0}})
    messages = [('labels', 'l'), ('image', 'a'), ('depth', 'd')]
    assert joined(assembly, *messages) == [(0, 'a', {'depth': 'd', 'labels': 'l'})]


def test_what_never_comes_is_missing_at_the_end():
    assembly = Assembly('image', {'depth': {0: 0, 1: 1}})
    assert joined(assembly, ('image', 'a'), ('image', 'b'), ('depth', 'x')) == [(0, 'a', {'depth': 'x'}), (1, 'b', {})]


def test_what_nobody_waits_for_is_let_go():
    class Message:
        pass

    assembly = Assembly('image', {'depth': {0: 1}})
    assert list(assembly.add('image', Message())) == []
    messages = [Message() for _ in range(3)]
    held = [ref(message) for message in messages]
    while messages:
        list(assembly.add('depth', messages.pop(0)))
    gc.collect()
    assert [reference() for reference in held] == [None, None, None]
