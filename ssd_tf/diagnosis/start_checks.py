"""Checks the start of a training: what is loaded, what trains, and what the heads predict."""

import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from ssd_tf.diagnosis.finding import Finding, Severity
from ssd_tf.diagnosis.project import Project
from ssd_tf.errors import InputError
from ssd_tf.ops.masked_loss import ClassificationLoss, SigmoidLoss, SoftmaxLoss
from ssd_tf.pretrained.checkpoint_kind import may_lack
from ssd_tf.pretrained.layer_groups import BACKBONE, CLASS_HEADS, GROUPS, group_of
from ssd_tf.pretrained.load_report import LoadReport

# Lin et al., section 4.1: every anchor starts at a score of 0.01.
PRIOR_SCORE = 0.01
_LOW_SCORE = 1e-5
_MIN_TRAINABLE = 0.01
_SCALE_LIMIT = 20.0
# Negatives to a positive; hard example mining leaves 3.
_MANY_NEGATIVES, _DROWNING_NEGATIVES = 10, 100


def check(project: Project) -> Iterator[Finding]:
  """Everything about the start."""
  settings, ssd = project.config.train_config, project.config.model.ssd
  start = project.start
  if start.refusal:
    if any(start.refusal in refusal for refusal in project.refusals):
      raise InputError(start.refusal)  # The checks of the config tell of it.
    yield Finding.error(
      'checkpoint' if settings.fine_tune_checkpoint and start.report is None else 'trainable',
      f'A training would not start: {start.refusal}.',
      'Correct train_config.fine_tune_checkpoint, or what it is to be loaded into.'
      if start.report is None and settings.fine_tune_checkpoint
      else 'Correct train_config.freeze, freeze_variables and update_trainable_variables.',
    )
    return
  if start.report is None:
    yield from check_from_scratch(sum(start.sizes.values()), settings.num_steps)
  else:
    yield from check_loaded(start.report)
  loaded = frozenset() if start.report is None else frozenset(start.report.loaded)
  yield from check_trainable(start.sizes, start.trainable, loaded, start.ever_trainable)
  if ssd.freeze_batchnorm and not start.has_backbone:
    yield Finding.error(
      'frozen batch norm',
      'model.ssd.freeze_batchnorm is true and no checkpoint brings the statistics of the backbone: '
      'they stay at mean 0 and variance 1 for all of the training.',
      'Set model.ssd.freeze_batchnorm to false, or give train_config.fine_tune_checkpoint.',
    )
  if start.report is not None:
    num_images = sum(project.table(field).num_records for field in project.training_fields)
    for risk in start.risks(num_images):
      yield Finding.warning(risk.check, risk.what, risk.remedy, risk.numbers)
  if not start.has_class_heads:
    yield from check_prior(
      start.detector.objective.classification_loss,
      float(np.median(start.class_logits[..., 1:])),
      has_miner=ssd.loss.HasField('hard_example_miner'),
    )
    counted = start.targets.class_targets.numpy()[start.targets.class_weights.numpy() > 0]
    yield from check_background(
      start.detector.objective.classification_loss,
      int((counted > 0).sum()),
      int((counted == 0).sum()),
      has_miner=ssd.loss.HasField('hard_example_miner'),
    )
  if start.has_backbone and (statistics := start.first_normalized) is not None:
    yield from check_input_scale(*statistics)


def check_from_scratch(num_parameters: int, num_steps: int) -> Iterator[Finding]:
  """Tells what to expect of a start without a checkpoint."""
  length = f'{num_steps} steps are' if num_steps else 'expect tens of thousands of steps, this is'
  yield Finding.note(
    'checkpoint',
    f'No checkpoint: all {num_parameters:,} parameters start random; {length} a training from '
    'scratch, which needs many times the images and steps of one from COCO or ImageNet weights.',
    'Set train_config.fine_tune_checkpoint, "imagenet" for what Keras has of the backbone.',
    {'parameters': num_parameters},
  )


def check_loaded(report: LoadReport) -> Iterator[Finding]:
  """Counts what a checkpoint gave to each part of the network; the backbone has to be whole."""
  kinds = {name: getattr(report, name) for name in ('loaded', 'skipped', 'missing', 'left')}
  counts = {
    group: {name: sum(group_of(path) == group for path in kind) for name, kind in kinds.items()}
    for group in GROUPS
  }
  told = '; '.join(
    f'{group} {parts["loaded"]} of {sum(parts.values())}'
    for group, parts in counts.items()
    if any(parts.values())
  )
  yield Finding.note(
    'checkpoint',
    f'{report.path} ({report.kind}) gives {len(report.loaded)} variables: {told}.',
    numbers=counts,
  )
  faults = {**report.skipped, **dict.fromkeys(report.missing, 'is missing in the checkpoint')}
  faults = {path: why for path, why in faults.items() if group_of(path) == BACKBONE}
  kept_back = [path for path in faults if may_lack(report.kind, path)]
  numbers = {'variables': len(faults), 'share': report.backbone_share, **counts[BACKBONE]}
  if not counts[BACKBONE]['loaded']:
    yield Finding.error(
      'backbone',
      f'Nothing of the backbone loaded from {report.path}: it starts random.',
      'Take a checkpoint of the same model.ssd.feature_extractor.',
      numbers,
    )
  elif faults:
    first = min(faults, key=lambda path: ('kernel' not in path, path))
    is_usual = len(kept_back) == len(faults)
    yield Finding(
      'backbone',
      Severity.NOTE if is_usual else Severity.ERROR,
      f'{len(faults)} variables of the backbone did not load from {report.path}, '
      f'{report.backbone_share:.1%} of its values did; the first: {first}: {faults[first]}.',
      ''
      if is_usual
      else 'Set model.ssd.feature_extractor (type, depth_multiplier) to that of the checkpoint, or '
      'take another one.',
      numbers,
    )


def check_trainable(
  sizes: Mapping[str, int],
  trainable: Collection[str],
  loaded: Collection[str],
  ever_trainable: Collection[str],
) -> Iterator[Finding]:
  """Whether enough trains, and nothing is frozen that is random.

  Args:
    sizes: path -> number of values, of what would train if nothing were frozen.
    trainable: paths of what trains at first.
    loaded: paths of what a checkpoint brought.
    ever_trainable: paths of what trains in any stage of the training.
  """
  total, training = sum(sizes.values()), sum(sizes[path] for path in trainable)
  frozen = [path for path in sizes if path not in trainable]
  field = 'train_config.freeze, freeze_variables and update_trainable_variables'
  numbers = {'trainable': training, 'parameters': total, 'share': training / max(total, 1)}
  if training < _MIN_TRAINABLE * total:
    yield Finding(
      'trainable',
      Severity.ERROR if not training else Severity.WARNING,
      f'{len(trainable)} of {len(sizes)} variables train, {training:,} of {total:,} parameters.',
      f'Look at {field}.',
      numbers,
    )
  elif frozen and not any(group_of(path) == CLASS_HEADS for path in trainable):
    yield Finding.warning(
      'trainable',
      f'No class head trains ({training:,} of {total:,} parameters do): the scores hardly change.',
      f'Remove the class heads from {field}.',
      numbers,
    )
  random = [path for path in frozen if path not in loaded]
  if random:
    is_for_ever = any(path not in ever_trainable for path in random)
    first = min(random, key=lambda path: ('kernel' not in path, path))
    others = f' and {len(random) - 1} others' if random[1:] else ''
    yield Finding(
      'frozen weights',
      Severity.ERROR if is_for_ever else Severity.WARNING,
      f'{len(random)} variables are frozen {"" if is_for_ever else "at first "}and nothing is '
      f'loaded into them, so they stay random: {first}{others}.',
      f'Give train_config.fine_tune_checkpoint, or remove them from {field}.',
      {'variables': len(random), 'parameters': sum(sizes[path] for path in random)},
    )


def check_prior(
  loss: ClassificationLoss, class_logit: float, *, has_miner: bool
) -> Iterator[Finding]:
  """Whether the negatives start at a loss that drowns the objects.

  Without hard example mining every anchor is a negative of every class, a hundred thousand to each
  object; a score of 0.01 at the start keeps their sum small. The figure is what one of them costs,
  in proportion to what it costs at that score.

  Args:
    class_logit: median of the classes' logits at the start.

  Source: Lin et al., Focal Loss for Dense Object Detection, section 4.1.
  """
  if not isinstance(loss, SigmoidLoss):
    return
  score = 1 / (1 + math.exp(-class_logit))
  ratio = negative_loss(class_logit, loss.gamma) / negative_loss(
    math.log(PRIOR_SCORE / (1 - PRIOR_SCORE)), loss.gamma
  )
  numbers = {'score': score, 'ratio': ratio}
  field = 'class_prediction_bias_init of model.ssd.box_predictor'
  if not has_miner and ratio > 10:
    yield Finding(
      'heads at the start',
      Severity.ERROR if ratio > 100 else Severity.WARNING,
      f'All anchors start at a score of {score:.2g}, and each negative costs {ratio:.2g} times '
      f'it costs at {PRIOR_SCORE}: their sum outweighs that of the positives.',
      f'Set {field} to -4.6.',
      numbers,
    )
  elif score < _LOW_SCORE:
    yield Finding.warning(
      'heads at the start',
      f'All anchors start at a score of {score:.2g}: it takes long until an object has one that '
      'counts.',
      f'Set {field} to -4.6.',
      numbers,
    )


def check_background(
  loss: ClassificationLoss, num_positives: int, num_negatives: int, *, has_miner: bool
) -> Iterator[Finding]:
  """Whether a softmax, for which all anchors cost the same at the start, drowns in background.

  Source: Liu et al., SSD: Single Shot MultiBox Detector, section 2.2 (hard negative mining).
  """
  if not isinstance(loss, SoftmaxLoss) or loss.gamma or has_miner or not num_positives:
    return
  ratio = num_negatives / num_positives
  if ratio > _MANY_NEGATIVES:
    yield Finding(
      'background',
      Severity.ERROR if ratio > _DROWNING_NEGATIVES else Severity.WARNING,
      f'All {num_negatives} negative anchors of the first batch count in the softmax, '
      f'{ratio:.3g} to each of its {num_positives} positives: their sum outweighs that of the '
      'positives.',
      'Set model.ssd.loss.hard_example_miner, with max_negatives_per_positive 3, or take '
      'weighted_sigmoid_focal in model.ssd.loss.classification_loss.',
      {'positives': num_positives, 'negatives': num_negatives, 'ratio': ratio},
    )


def negative_loss(logit: float, gamma: float) -> float:
  """What a negative costs: sigmoid(logit)^gamma * log(1 + exp(logit)), without alpha."""
  softplus = max(logit, 0.0) + math.log1p(math.exp(-abs(logit)))
  return (1 / (1 + math.exp(-logit))) ** gamma * softplus


def check_input_scale(
  moving_mean: np.ndarray, moving_variance: np.ndarray, distance: np.ndarray
) -> Iterator[Finding]:
  """Whether a loaded backbone sees images of the scale that it was trained on.

  Args:
    moving_mean: f32[C], of the first batch norm, as loaded.
    distance: f32[C], mean square of the distance from moving_mean in a real batch; it is near
      moving_variance for images like those that the backbone was trained on.
  """
  alive = moving_variance > 1e-3 * moving_variance.max()
  ratio = float(np.median(distance[alive] / moving_variance[alive]))
  if not 1 / _SCALE_LIMIT <= ratio <= _SCALE_LIMIT:
    yield Finding.warning(
      'input scale',
      f'Behind the first convolution the images of the first batch spread {math.sqrt(ratio):.2g} '
      'times as far as those that the checkpoint was trained on.',
      'Look at the images (train_input_images), at the augmentation, and whether the checkpoint '
      'wants another preprocessing.',
      {'ratio': ratio, 'moving_mean': float(moving_mean.mean())},
    )
