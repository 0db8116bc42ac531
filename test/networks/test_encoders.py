# SPDX-License-Identifier: Apache-2.0
"""The encoders compute what torchvision's networks compute, and take their weights."""

import pytest
import torch
from torch.nn import functional
from torchvision.models import resnet50, vgg16

from mtperception.networks.resnet50 import ResNet50Encoder
from mtperception.networks.vgg16 import VGG16Encoder


@pytest.fixture(scope='module')
def image():
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_vgg16_with_torchvisions_weights(image):
    theirs, ours = vgg16().eval(), VGG16Encoder().eval()
    ours.load_torchvision(theirs.state_dict())
    x = image
    with torch.inference_mode():
        for stage in ours.stages:
            x = functional.max_pool2d(stage(x), 2)
        torch.testing.assert_close(x, theirs.features(image))


def test_vgg16_batch_norms_stay_fresh():
    encoder = VGG16Encoder(batch_norm=True)
    encoder.load_torchvision(vgg16().state_dict())
    assert torch.equal(encoder.stages[0][1].weight, torch.ones(64))


def test_resnet50_with_torchvisions_weights(image):
    theirs = resnet50(replace_stride_with_dilation=[False, True, True]).eval()
    ours = ResNet50Encoder().eval()
    ours.load_torchvision(theirs.state_dict())
    with torch.inference_mode():
        features = ours(image)
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        x = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
    assert torch.equal(features[-1], x)
    assert [tuple(x.shape[1:]) for x in features] == [(256, 16, 24), (512, 8, 12), (1024, 8, 12), (2048, 8, 12)]


@pytest.mark.parametrize(('encoder', 'name'), [(VGG16Encoder, 'VGG-16'), (ResNet50Encoder, 'ResNet-50')])
def test_other_weights_are_refused(encoder, name):
    with pytest.raises(ValueError, match=f"not {name} in torchvision's layout"):
        encoder().load_torchvision({'features.0.weight': torch.zeros(64, 3, 7, 7)})
