"""Checks a trained model: whether it detects anything, and where it errs."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import listed
from ssd_tf.evaluation import error_analysis
from ssd_tf.evaluation.image_results import ImageResult
from ssd_tf.run.evaluated_images import evaluate_images

LOW_SCORE, USUAL_SCORE = 0.05, 0.5
_BLIND = 0.05
_FEW = 5
_REMEDIES = {
  error_analysis.LOCALIZATION: 'Look at the anchors (their sizes and aspect ratios), and at the '
  'boxes of the groundtruth; model.ssd.loss.localization_weight may be raised.',
  error_analysis.CLASS: 'Look at the classes that are confused, at their labels and numbers.',
  error_analysis.DUPLICATE: 'Lower model.ssd.post_processing.batch_non_max_suppression.'
  'iou_threshold.',
  error_analysis.BACKGROUND: 'Look at the pictures: objects that nobody annotated count as such; '
  'more images, also ones without objects, help.',
}


def check(project: Project) -> Iterator[Finding]:
  """Everything about the trained checkpoint, on the evaluation's images; nothing without one."""
  if not project.trained_checkpoint or not project.evaluation_fields:
    return
  evaluated = evaluate_images(
    project.pipeline, project.trained_checkpoint, max_images=project.max_images
  )
  yield from check_images(evaluated.images, evaluated.names)


def check_images(images: Sequence[ImageResult], names: Mapping[int, str]) -> Iterator[Finding]:
  """Everything about what was detected, at any score, beside the groundtruth."""
  found = [error_analysis.judge(image, score_threshold=LOW_SCORE) for image in images]
  if not any(image.counted.any() for image in found):
    yield Finding.warning(
      'recall',
      f'The {len(images)} images have no object to be found: nothing can be said of the model.',
      'Look at eval_input_reader.',
      {'images': len(images)},
    )
    return
  yield from check_recall(images)
  yield from check_predicted_classes(found, names)
  has_usual = any((image.result.scores >= USUAL_SCORE).any() for image in found)
  threshold = USUAL_SCORE if has_usual else LOW_SCORE
  num_classes = _num_classes(images[0], names)
  matrix = error_analysis.confusion_matrix(images, num_classes, score_threshold=threshold)
  yield from check_confusion(matrix, names, threshold)
  yield from check_false_positives(
    [error_analysis.judge(image, score_threshold=threshold) for image in images], threshold
  )


def _num_classes(image, names):
  # A label map may name fewer classes than the model has, or more.
  return max(image.labeled.size, *names)


def check_recall(images: Sequence[ImageResult]) -> Iterator[Finding]:
  """Whether the detector is blind, or finds objects at scores too low to be seen."""
  every, at_low, at_usual = (
    [error_analysis.judge(image, score_threshold=score) for image in images]
    for score in (0.0, LOW_SCORE, USUAL_SCORE)
  )
  recall, low, usual = map(error_analysis.recall, (every, at_low, at_usual))
  histogram = error_analysis.score_histogram(every)
  matrix = error_analysis.confusion_matrix(images, images[0].labeled.size, score_threshold=0.0)
  of_any_class = float(matrix[1:, 1:].sum() / max(matrix[1:].sum(), 1))
  highest = max((float(image.scores.max(initial=0)) for image in images), default=0.0)
  numbers = {
    'recall_of_all': recall,
    'recall_of_any_class': of_any_class,
    f'recall_at_{LOW_SCORE}': low,
    f'recall_at_{USUAL_SCORE}': usual,
    'highest_score': highest,
    'edges': histogram.edges.tolist(),
    'right': histogram.right.tolist(),
    'wrong': histogram.wrong.tolist(),
  }
  bins = ', '.join(
    f'{edge:.1f}: {right}/{right + wrong}'
    for edge, right, wrong in zip(histogram.edges, histogram.right, histogram.wrong, strict=False)
    if right + wrong
  )
  yield Finding.note(
    'scores',
    f'Of the objects {low:.1%} are found at a score of {LOW_SCORE}, {usual:.1%} at '
    f'{USUAL_SCORE}; right detections of all from each score on: {bins or "none"}.',
    numbers=numbers,
  )
  if recall < _BLIND <= of_any_class:
    yield Finding.error(
      'recall',
      f'{of_any_class:.1%} of the objects are found, but as other classes: {recall:.1%} are as '
      'what they are.',
      'Look whether the label maps of training and evaluation are the same.',
      numbers,
    )
  elif recall < _BLIND:
    yield Finding.error(
      'recall',
      f'The model detects hardly anything: at any score it finds {recall:.1%} of the '
      f'objects (IoU 0.5); its highest score is {highest:.2g}.',
      'Look at the findings of start, anchors and schedule; try --overfit; train longer.',
      numbers,
    )
  elif usual < 0.1 and recall > 5 * max(usual, 0.01):
    yield Finding.warning(
      'recall',
      f'The scores are low: {recall:.1%} of the objects are found at any score, {usual:.1%} at '
      f'{USUAL_SCORE}; the highest score is {highest:.2g}.',
      'Train longer or with a higher learning rate, or show detections from a lower score on.',
      numbers,
    )


def check_predicted_classes(
  found: Sequence[error_analysis.JudgedImage], names: Mapping[int, str]
) -> Iterator[Finding]:
  """Whether there are classes with objects that are never detected, right or wrong."""
  counts = error_analysis.count_by_class(found, _num_classes(found[0].result, names))
  if not counts.predicted.any():
    return  # Blind to all of them.
  missing = {
    name: int(counts.groundtruth[i - 1])
    for i, name in names.items()
    if counts.groundtruth[i - 1] and not counts.predicted[i - 1]
  }
  missing = dict(sorted(missing.items(), key=lambda item: -item[1]))
  if missing:
    told = listed([f'{name!r} ({count} objects)' for name, count in missing.items()], 10)
    is_sure = max(missing.values()) >= _FEW
    few = '' if is_sure else f'; fewer than {_FEW} objects of a class say little'
    yield Finding(
      'classes never predicted',
      Severity.ERROR if is_sure else Severity.WARNING,
      f'{len(missing)} of {len(names)} classes are never detected at a score of {LOW_SCORE} or '
      f'more: {told}{few}.',
      'Look whether the training data have them, under the same id as the evaluation data; give '
      'rare classes a reader with a higher sampling_weight.',
      {'classes': missing},
    )


def check_confusion(
  matrix: np.ndarray, names: Mapping[int, str], score_threshold: float
) -> Iterator[Finding]:
  """Whether classes are taken for others, above all for their neighbors.

  Args:
    matrix: i64[K+1,K+1], as `error_analysis.confusion_matrix` gives it.
  """
  objects, of_classes = matrix[1:].sum(axis=1), matrix[1:, 1:]
  right, detected = int(np.trace(of_classes)), int(of_classes.sum())
  numbers = {'matrix': matrix.tolist(), 'score_threshold': score_threshold}
  yield Finding.note(
    'confusion',
    f'At a score of {score_threshold}, of {objects.sum()} objects {right} are detected as what '
    f'they are, {detected - right} as another class, {matrix[1:, 0].sum()} not at all; '
    f'{matrix[0].sum()} detections are of no object.',
    numbers=numbers,
  )
  for offset in (1, -1):
    shifted = int(np.trace(of_classes, offset))
    if detected >= _FEW and shifted > max(right, detected / 2) and (objects > 0).sum() > 1:
      yield Finding.error(
        'label map',
        f'{shifted} of {detected} detected objects have the class id {offset:+d} of theirs: the '
        'label maps of training and evaluation are off by one.',
        'Number both label maps, and the records, from 1 in the same order.',
        {'shifted': shifted, 'detected': detected, 'offset': offset},
      )
      return
  for i, name in names.items():
    others = np.where(np.arange(len(objects)) == i - 1, 0, of_classes[i - 1])
    other = int(others.argmax())
    if objects[i - 1] >= _FEW and others[other] > 0.5 * objects[i - 1]:
      yield Finding.warning(
        'confusion',
        f'{others[other]} of {objects[i - 1]} objects of {name!r} are detected as '
        f'{names.get(other + 1, other + 1)!r}.',
        'Look whether the two have changed places in a label map, or are labeled alike.',
        {'class': i, 'taken_for': other + 1, 'count': int(others[other])},
      )


def check_false_positives(
  images: Sequence[error_analysis.JudgedImage], score_threshold: float
) -> Iterator[Finding]:
  """Tells of what kind the false positives are."""
  counts = error_analysis.count_false_positives(images)
  total = sum(counts.values())
  if not total:
    return
  right = sum(int((image.kinds == error_analysis.RIGHT).sum()) for image in images)
  worst = max(counts, key=counts.get)
  told = ', '.join(f'{kind} {count / total:.0%}' for kind, count in counts.items())
  yield Finding.note(
    'false positives',
    f'At a score of {score_threshold}, {total} of {total + right} detections are false: {told}.',
    _REMEDIES[worst],
    {**counts, 'right': right, 'score_threshold': score_threshold},
  )
