"""Finds the stock config that a checkpoint fits, by its description."""

from ssd_tf.pretrained.checkpoint_description import Description

# Network -> its config of `ssd_tf/configs/`.
_CONFIGS = {
  'mobilenet_v1': 'ssd_mobilenet_v1_300x300_coco',
  'mobilenet_v1 shared': 'ssd_mobilenet_v1_ppn_300x300_coco',
  'mobilenet_v1 fpn shared': 'ssd_mobilenet_v1_fpn_640x640_coco',
  'mobilenet_v2': 'ssd_mobilenet_v2_300x300_coco',
  'mobilenet_v2 lite': 'ssdlite_mobilenet_v2_300x300_coco',
  'mobilenet_v2 fpn shared lite': 'ssd_mobilenet_v2_fpnlite_320x320_coco',
  'mobilenet_v3_large lite': 'ssdlite_mobilenet_v3_large_320x320_coco',
  'mobilenet_v3_small lite': 'ssdlite_mobilenet_v3_small_320x320_coco',
  'vgg_16': 'ssd300_vgg_voc0712',
}
# Configs of a depth_multiplier of their own; the others have 1.
_BY_DEPTH = {('mobilenet_v1', 0.75): 'ssd_mobilenet_v1_0.75_300x300_coco'}
_SSD512 = 'ssd512_vgg_voc0712'
_NUM_MAPS_OF_SSD512 = 7


def fitting_config(description: Description) -> str | None:
  """Names the stock config of a checkpoint's network.

  Args:
    description: of the checkpoint. Where it has no heads (a classifier), the config is one with its
      backbone.

  Returns:
    Such as 'ssd_tf/configs/ssd_mobilenet_v2_300x300_coco.config', with the depth_multiplier to set
    where that differs; None where there is none.
  """
  flags = {
    'fpn': description.has_fpn,
    'shared': description.is_weight_shared,
    'lite': description.is_depthwise,
  }
  network = ' '.join(
    [str(description.backbone), *(name for name, is_set in flags.items() if is_set)]
  )
  if description.num_classes is None:
    network = next((n for n in _CONFIGS if n.split(' ')[0] == description.backbone), network)
  name = _CONFIGS.get(network)
  if name is None:
    return None
  if description.num_feature_maps == _NUM_MAPS_OF_SSD512 and description.backbone == 'vgg_16':
    return f'ssd_tf/configs/{_SSD512}.config'
  multiplier = description.depth_multiplier
  if (network, multiplier) in _BY_DEPTH:
    return f'ssd_tf/configs/{_BY_DEPTH[network, multiplier]}.config'
  differs = multiplier not in (None, 1.0)
  field = f' with model.ssd.feature_extractor.depth_multiplier: {multiplier:g}' if differs else ''
  return f'ssd_tf/configs/{name}.config{field}'
