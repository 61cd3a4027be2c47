"""The table of what loaded, line for line."""

import small_checkpoints

from ssd_tf.pretrained import checkpoint_kind
from ssd_tf.pretrained.layer_groups import BACKBONE, FEATURE_MAPS
from ssd_tf.pretrained.loading import load_pretrained


def test_other_number_of_classes(tmp_path):
  # MobileNet v1: 27 kernels + 4 * 27 of batch norms; one added feature map: 2 kernels + 8; 3 heads.
  small_checkpoints.write_model(
    tmp_path / 'ckpt-0',
    small_checkpoints.tiny_model(3),
    checkpoint_kind.TF1,
    extra={'global_step': 7, 'MobilenetV1/Logits/weights': [1.0], 'x/y/Momentum': [1.0]},
  )
  report = load_pretrained(small_checkpoints.tiny_model(5), str(tmp_path / 'ckpt-0'))
  assert report.table().splitlines() == [
    '151 variables loaded, 6 skipped, 0 missing in the checkpoint, 1 unused of it; 100.0% of the'
    ' backbone loaded',
    '  part                  loaded  skipped  missing  left as it is',
    '  backbone                 135        0        0     0',
    '  feature maps              10        0        0     0',
    '  box heads and towers       6        0        0     0',
    '  class heads                0        6        0     0',
    '  skipped  class_head_0/kernel: [1, 1, 128, 12] in the checkpoint, [1, 1, 128, 18] here, and'
    ' 5 like it',
    '  unused   MobilenetV1/Logits/weights',
  ]


def test_a_part_and_missing_variables(tmp_path):
  small_checkpoints.write_model(
    tmp_path / 'ckpt-0',
    small_checkpoints.tiny_model(3),
    checkpoint_kind.TF2,
    groups=(BACKBONE,),
  )
  report = load_pretrained(
    small_checkpoints.tiny_model(3), str(tmp_path / 'ckpt-0'), groups=(BACKBONE, FEATURE_MAPS)
  )
  generator = 'model/_feature_extractor/_feature_map_generator/convolutions'
  assert report.table().splitlines() == [
    '135 variables loaded, 0 skipped, 10 missing in the checkpoint, 0 unused of it; 100.0% of the'
    ' backbone loaded',
    '  part                  loaded  skipped  missing  left as it is',
    '  backbone                 135        0        0     0',
    '  feature maps               0        0       10     0',
    '  box heads and towers       0        0        0     6',
    '  class heads                0        0        0     6',
    f'  missing  feature_map_2_expand/kernel ({generator}/2/3/kernel/.ATTRIBUTES/VARIABLE_VALUE)',
    f'  missing  feature_map_2_squeeze/kernel ({generator}/2/0/kernel/.ATTRIBUTES/VARIABLE_VALUE)',
    '  missing  feature_map_2_expand_batch_norm/beta '
    f'({generator}/2/4/beta/.ATTRIBUTES/VARIABLE_VALUE), and 3 like it; 4 others',
  ]


def test_many_kinds_of_faults_stay_within_15_lines(tmp_path):
  small_checkpoints.write_model(
    tmp_path / 'ckpt-0',
    small_checkpoints.tiny_model(3, 'weight_shared'),
    checkpoint_kind.TF2,
    extra={f'{scope}/weights': [1.0] for scope in 'abcdefgh'},
  )
  report = load_pretrained(small_checkpoints.tiny_model(5), str(tmp_path / 'ckpt-0'))
  lines = report.table().splitlines()
  assert len(lines) <= 15
  assert len(list(report.lines())) == sum(
    map(len, (report.loaded, report.skipped, report.missing, report.left, report.unused))
  )
