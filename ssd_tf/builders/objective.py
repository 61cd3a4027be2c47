"""Builds the training objective from the config's `model.ssd.loss`."""

import functools

from ssd_tf.builders.message_fields import chosen
from ssd_tf.errors import InputError
from ssd_tf.ops import box_coder as box_coders
from ssd_tf.ops import losses, masked_loss
from ssd_tf.ops.hard_negatives import BatchHardExampleMiner, HardExampleMiner, Miner
from ssd_tf.ops.objective import Objective
from ssd_tf.protos import losses_pb2, ssd_pb2

_PATH = 'model.ssd.loss'
_FOCAL = ('weighted_sigmoid_focal', 'weighted_softmax_focal')
_SOFTMAX = ('weighted_softmax', 'weighted_softmax_focal')


def build_objective(ssd: ssd_pb2.Ssd, box_coder: box_coders.BoxCoder) -> Objective:
  """Builds the losses, without `layer_sizes`, which the network says."""
  loss = ssd.loss
  classification_loss = _classification_loss(ssd)
  partial_labels = losses_pb2.Loss.PartialLabels.Name(loss.partial_labels).lower()
  _check_fit(loss, partial_labels)
  miner = _hard_example_miner(loss) if loss.HasField('hard_example_miner') else None
  return Objective(
    box_coder=box_coder,
    classification_loss=classification_loss,
    partial_labels=partial_labels,
    **_localization_loss(loss),
    hard_example_miner=miner,
    classification_weight=loss.classification_weight,
    localization_weight=loss.localization_weight,
    normalized_by=_normalized_by(ssd, miner),
    normalize_loc_by_codesize=ssd.normalize_loc_loss_by_codesize,
  )


def _normalized_by(ssd, miner):
  by_images = 'model.ssd.normalize_loss_by_batch_size'
  by_matches = 'normalize_loss_by_num_matches'
  asks_for_matches = ssd.HasField(by_matches) and ssd.normalize_loss_by_num_matches
  if isinstance(miner, BatchHardExampleMiner) and miner.averages_layers:
    if ssd.normalize_loss_by_batch_size or asks_for_matches:
      name = by_images if ssd.normalize_loss_by_batch_size else f'model.ssd.{by_matches}'
      raise InputError(
        f'{name}: is true, but with {_PATH}.hard_example_miner.scope {miner.scope} the losses are '
        'means already; set it to false'
      )
    return 'REPLICAS'
  if ssd.normalize_loss_by_batch_size:
    if asks_for_matches:
      raise InputError(
        f'{by_images}: the losses are divided by the images or by the matches, and {by_matches} is '
        'true as well; set one of them to false'
      )
    return 'IMAGES'
  return 'MATCHES' if ssd.normalize_loss_by_num_matches else 'NOTHING'


def _check_fit(loss, mode):
  kind = loss.classification_loss.WhichOneof('classification_loss')
  if mode == 'masked_but_background' and kind in _SOFTMAX:
    raise InputError(
      f'{_PATH}.partial_labels: MASKED_BUT_BACKGROUND is for the sigmoid losses, whose background '
      f'column stands apart; take MASKED or NAIVE with {kind}'
    )
  if loss.HasField('hard_example_miner') and kind in _FOCAL:
    raise InputError(
      f'{_PATH}: hard_example_miner and {kind} both counter the excess of negatives; '
      'remove one of them'
    )


def _classification_loss(ssd):
  path = f'{_PATH}.classification_loss'
  kinds = (*_SOFTMAX, 'weighted_sigmoid', 'weighted_sigmoid_focal', 'bootstrapped_sigmoid')
  kind = chosen(ssd.loss.classification_loss, 'classification_loss', path, kinds)
  values = getattr(ssd.loss.classification_loss, kind)
  focal = {}
  if kind in _FOCAL:
    focal = {'gamma': values.gamma, 'alpha': values.alpha if values.HasField('alpha') else None}
  if kind in _SOFTMAX:
    if ssd.encode_background_as_zeros:
      raise InputError(
        f'model.ssd.encode_background_as_zeros: expected false with {path}.{kind}, received true: '
        'background would cost nothing and every anchor would become an object. Set it to false.'
      )
    return masked_loss.SoftmaxLoss(logit_scale=values.logit_scale, **focal)
  background_as_zeros = ssd.encode_background_as_zeros
  if kind == 'bootstrapped_sigmoid':
    if not values.HasField('alpha'):
      raise InputError(
        f'{path}.{kind}.alpha: is not set; expected the share of the label in the target, 0 to 1, '
        'such as 0.95'
      )
    return masked_loss.BootstrappedSigmoidLoss(
      alpha=values.alpha, hard=values.hard_bootstrap, background_as_zeros=background_as_zeros
    )
  return masked_loss.SigmoidLoss(background_as_zeros=background_as_zeros, **focal)


def _localization_loss(loss):
  """Arguments of `Objective`."""
  path = f'{_PATH}.localization_loss'
  of_encodings = {'weighted_smooth_l1', 'weighted_l2', 'l1_localization_loss'}
  of_boxes = {'weighted_iou': losses.iou, 'weighted_giou': losses.giou}
  kind = chosen(
    loss.localization_loss, 'localization_loss', path, (*sorted(of_encodings), *of_boxes)
  )
  if kind in of_boxes:
    return {'localization_loss': of_boxes[kind], 'localize_decoded': True}
  if kind == 'weighted_smooth_l1':
    delta = loss.localization_loss.weighted_smooth_l1.delta
    return {'localization_loss': functools.partial(losses.smooth_l1, delta=delta)}
  return {'localization_loss': losses.l2 if kind == 'weighted_l2' else losses.l1}


def _hard_example_miner(loss) -> Miner:
  values = loss.hard_example_miner
  scope = losses_pb2.HardExampleMiner.Scope.Name(values.scope)
  if scope != 'IMAGE':
    return _batch_hard_example_miner(values, scope)
  return HardExampleMiner(
    num_hard_examples=values.num_hard_examples or None,
    iou_threshold=values.iou_threshold,
    loss_type=losses_pb2.HardExampleMiner.LossType.Name(values.loss_type),
    classification_weight=loss.classification_weight,
    localization_weight=loss.localization_weight,
    max_negatives_per_positive=values.max_negatives_per_positive or None,
    min_negatives_per_image=values.min_negatives_per_image,
  )


def _batch_hard_example_miner(values, scope):
  path = f'{_PATH}.hard_example_miner'
  # The one value of each that says what is done.
  only = {'num_hard_examples': 0, 'iou_threshold': 1, 'loss_type': values.CLASSIFICATION}
  if scope != 'BATCH':
    only['min_negatives_per_image'] = 0
  for name, value in only.items():
    if values.HasField(name) and getattr(values, name) != value:
      told = 'CLASSIFICATION' if name == 'loss_type' else value
      raise InputError(
        f'{path}.{name}: has no effect with scope {scope}, which takes the negatives of greatest '
        f'classification loss, however they lie; expected {told}, or remove it'
      )
  if values.max_negatives_per_positive < 1:
    raise InputError(
      f'{path}.max_negatives_per_positive: is {values.max_negatives_per_positive}; expected at '
      f'least 1 with scope {scope}, such as 3'
    )
  return BatchHardExampleMiner(
    scope=scope,
    max_negatives_per_positive=values.max_negatives_per_positive,
    min_negatives=values.min_negatives_per_image,
  )
