# SPDX-License-Identifier: Apache-2.0
"""What tests of recordings share: a bag in each storage, and the choice of its topics. They skip without rosbags."""

from contextlib import closing

import pytest


@pytest.fixture(params=['SQLITE3', 'MCAP'])
def plugin(request):
    """The storage of a bag."""
    from rosbags.rosbag2 import StoragePlugin

    return StoragePlugin[request.param]


@pytest.fixture
def bag(plugin, tmp_path):
    """A bag of noise."""
    from bags import write_bag
    from noise_bags import images

    return write_bag(tmp_path / 'walk', images(), plugin)


@pytest.fixture
def chosen(tmp_path):
    """Chooses the topics of a bag with some messages."""
    from recordings import write_recording

    from mtperception.recording.bag_reader import BagReader
    from mtperception.recording.topics import TopicRequest, choose_topics

    def choose(*messages, **request):
        with closing(BagReader(write_recording(tmp_path / 'bag', messages))) as reader:
            return choose_topics(reader, TopicRequest(**request))

    return choose
