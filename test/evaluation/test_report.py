# SPDX-License-Identifier: Apache-2.0
"""A report is a folder that can be read anywhere: every link leads to a file in it."""

from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from full_disk import largest_file
from perfect_network import Wall, perfect_predictor
from rooms import Samples, rooms

from mtperception.errors import WriteError
from mtperception.evaluation.evaluate import evaluate
from mtperception.geometry import normals_from_depth
from mtperception.predictor import Predictor
from mtperception.visualization import colorize_labels, colorize_normals

pytest.importorskip('matplotlib')
pytest.importorskip('jinja2')
from mtperception.evaluation import report, report_folder
from mtperception.evaluation.page import format_metric


class Page(HTMLParser):
    """What a page links to, its elements and its text."""

    def __init__(self, path):
        super().__init__()
        self.links, self.tags, self.text = [], set(), ''
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ('src', 'href')]

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


@pytest.fixture(scope='module')
def samples():
    return rooms(3)


@pytest.fixture(scope='module')
def written(predictor, samples, tmp_path_factory):
    """The folder, of images with an id that is no HTML, and the evaluation."""
    out = tmp_path_factory.mktemp('report')
    dataset = Samples(samples, ids=['hall/1', '<script>', 'c & d'])
    evaluation = evaluate(predictor, dataset, selection={'dataset': 'rooms', 'split': 'test'})
    report.write_report(evaluation, predictor, dataset, out)
    return out, evaluation


def read(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def test_every_link_leads_to_a_picture_in_the_folder(written):
    out, _ = written
    links = Page(out / 'index.html').links
    assert len(links) > 10
    for link in links:
        assert not link.startswith(('/', 'http', '..'))
        assert read(out / link).size
    assert {str(path.relative_to(out)) for path in out.rglob('*.*')} == {*links, 'index.html'}


def test_the_page_needs_no_script_and_names_are_escaped(written):
    page = Page(written[0] / 'index.html')
    assert not page.tags & {'script', 'link', 'iframe'}
    for name in ('hall/1', '<script>', 'c & d'):
        assert f'{name}: miou ' in page.text


def test_the_page_has_the_figures_and_the_protocol(written):
    out, evaluation = written
    text = Page(out / 'index.html').text
    summary = evaluation.summary()
    for expected in (
        f'{100 * summary["miou"]:.2f} %',
        f'{summary["rmse"]:.4f} m',
        f'{evaluation.iou["wall"]:.3f}',
        evaluation.hardware,
        'onnxruntime on cpu, fp32',
    ):
        assert expected in text


def test_the_worst_image_comes_first(written):
    out, evaluation = written
    text = Page(out / 'index.html').text
    names = [image.id for image in evaluation.worst('rmse', 3, largest=True)]
    places = [text.index(f'{name}: rmse') for name in names]
    assert places == sorted(places)


def test_pictures_show_image_prediction_and_truth(written, predictor, samples):
    """Labels in exact colours."""
    images = written[0] / 'images'
    np.testing.assert_allclose(read(images / '0_image.jpg').astype(int), samples[0].image, atol=90)
    labels = predictor(samples[0].image).labels
    np.testing.assert_array_equal(read(images / '0_segmentation.png'), colorize_labels(labels, predictor.label_space))
    np.testing.assert_array_equal(
        read(images / '0_segmentation_truth.png'), colorize_labels(samples[0].labels, predictor.label_space)
    )


def test_on_a_full_disk_there_is_no_half_of_a_report(predictor, samples, tmp_path):
    dataset = Samples(samples[:1])
    evaluation = evaluate(predictor, dataset)
    for before in ([], ['index.html']):
        out = tmp_path / 'report'
        for name in before:
            out.mkdir()
            (out / name).write_text(report_folder.GENERATOR)
        with largest_file(30_000), pytest.raises(WriteError, match=f'^{out}: cannot be written'):
            report.write_report(evaluation, predictor, dataset, out)
        assert [path.name for path in tmp_path.rglob('*')] == ['report', *before] * bool(before)


def test_a_report_without_labels_has_no_classes(predictor, samples, tmp_path):
    depths = Samples([type(s)(s.image, depth=s.depth, intrinsics=s.intrinsics) for s in samples], '')
    report.write_report(evaluate(predictor, depths), predictor, depths, tmp_path)
    page = Page(tmp_path / 'index.html')
    assert 'IoU' not in page.text
    assert 'plots/error_by_distance.png' in page.links


def test_true_normals_are_drawn_as_they_were_scored(tmp_path, samples):
    """Fitted over the window of the evaluation, not the usual one."""
    predictor = perfect_predictor(Wall(3.0), samples[0].intrinsics)
    dataset = Samples(samples[:1])
    report.write_report(evaluate(predictor, dataset, normals_window=21), predictor, dataset, tmp_path / 'report', 21)
    shown = read(tmp_path / 'report' / 'images' / '0_normals_truth.png')
    wide, usual = (colorize_normals(normals_from_depth(samples[0].depth, samples[0].intrinsics, n)) for n in (21, 9))
    np.testing.assert_array_equal(shown, wide)
    assert (wide != usual).mean() > 0.1


@pytest.mark.parametrize(
    ('name', 'value', 'text'),
    [
        ('miou', 0.32481, '32.48 %'),
        ('delta1', 1.0, '100.00 %'),
        ('within_11_25', 0.5, '50.00 %'),
        ('rmse', 0.63281, '0.6328 m'),
        ('angle_mean', 23.954, '23.95°'),
        ('silog', 12.5, '12.5000'),
        ('dbe_acc', 1.25, '1.2500 px'),
        ('rmse_surest_70', 0.5, '0.5000 m'),
        ('label_flicker_compensated', 0.012, '1.20 %'),
        ('scale', 1.125, '1.1250'),
        ('miou', float('nan'), '–'),
    ],
)
def test_metrics_are_written_with_their_units(name, value, text):
    assert format_metric(value, name) == text
