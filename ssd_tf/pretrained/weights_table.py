"""Defines the table of named weights: those in the package, and the SSDs of the API's zoos."""

import dataclasses

from ssd_tf.errors import InputError, closest

STARTER = 'starter:'
ZOO = 'zoo:'
# As the Object Detection API publishes it; the archives are below.
ZOO_URL = 'http://download.tensorflow.org/models/object_detection/'


@dataclasses.dataclass(frozen=True)
class Weights:
  """Weights with a name, which a config has in place of the path of a checkpoint.

  Attributes:
    name: such as zoo:ssd_mobilenet_v2_coco. All were trained on COCO, with its 90 class ids.
    config: of `ssd_tf/configs/`, that of this network.
    published_ap: COCO AP in percent, as published; None where it is not.
    archive: below ZOO_URL; '' for what is in the package.
    size: of the archive in bytes; None where it is not known.
    sha256: of the archive; None where it is not known.
  """

  name: str
  config: str
  published_ap: float | None
  archive: str = ''
  size: int | None = None
  sha256: str | None = None

  @property
  def url(self) -> str:
    """Where the archive is; '' for what is in the package."""
    return f'{ZOO_URL}{self.archive}' if self.archive else ''

  @property
  def file_name(self) -> str:
    """The name of the archive without folders and ending."""
    return self.archive.rsplit('/', 1)[-1].removesuffix('.tar.gz')


# Archives have dates; published AP as of the API's tf1_detection_zoo.md and tf2_detection_zoo.md;
# sizes and digests as other projects that fetch these files have pinned them. The zoos' SSDs with
# other networks (ResNet, Inception, MobileDet, MnasFPN, Edge TPU) have none here to be loaded into.
TABLE = (
  # From the archive coco_ssd_mobilenet_v1_1.0_quant_2018_06_29, 8 bits; no AP was published. On the
  # first 128 images of COCO train2017, which it was trained on: 24.3.
  Weights('starter:ssd_mobilenet_v1_0.75_coco', 'ssd_mobilenet_v1_0.75_300x300_coco.config', None),
  Weights(
    'zoo:ssd_mobilenet_v1_coco',
    'ssd_mobilenet_v1_300x300_coco.config',
    21,
    'ssd_mobilenet_v1_coco_2018_01_28.tar.gz',
    76541073,
    '8788f89108519fd1102b8a5c2ac861cf6d86603571b6ce5bbd1c245b7fe005e3',
  ),
  Weights(
    'zoo:ssd_mobilenet_v1_0.75_depth_coco',
    'ssd_mobilenet_v1_0.75_300x300_coco.config',
    18,
    'ssd_mobilenet_v1_0.75_depth_300x300_coco14_sync_2018_07_03.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v1_quantized_coco',
    'ssd_mobilenet_v1_300x300_coco.config',
    18,
    'ssd_mobilenet_v1_quantized_300x300_coco14_sync_2018_07_18.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v1_0.75_depth_quantized_coco',
    'ssd_mobilenet_v1_0.75_300x300_coco.config',
    16,
    'ssd_mobilenet_v1_0.75_depth_quantized_300x300_coco14_sync_2018_07_18.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v1_ppn_coco',
    'ssd_mobilenet_v1_ppn_300x300_coco.config',
    20,
    'ssd_mobilenet_v1_ppn_shared_box_predictor_300x300_coco14_sync_2018_07_03.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v1_fpn_coco',
    'ssd_mobilenet_v1_fpn_640x640_coco.config',
    32,
    'ssd_mobilenet_v1_fpn_shared_box_predictor_640x640_coco14_sync_2018_07_03.tar.gz',
    135664441,
    'e8886ece7f3a0993678440305a98f5be649a90b314c95ca94565c23ed20b1fb0',
  ),
  Weights(
    'zoo:ssd_mobilenet_v2_coco',
    'ssd_mobilenet_v2_300x300_coco.config',
    22,
    'ssd_mobilenet_v2_coco_2018_03_29.tar.gz',
    187925923,
    'b9380178b2e35333f1a735e39745928488bdabeb9ed20bc6fa07af8172cb5adc',
  ),
  Weights(
    'zoo:ssd_mobilenet_v2_quantized_coco',
    'ssd_mobilenet_v2_300x300_coco.config',
    22,
    'ssd_mobilenet_v2_quantized_300x300_coco_2019_01_03.tar.gz',
  ),
  Weights(
    'zoo:ssdlite_mobilenet_v2_coco',
    'ssdlite_mobilenet_v2_300x300_coco.config',
    22,
    'ssdlite_mobilenet_v2_coco_2018_05_09.tar.gz',
    None,
    '542445cce834dbfbb7df1991425d475e85a2d7ec68c60a4f262bb18aac10c8b2',
  ),
  Weights(
    'zoo:ssd_mobilenet_v3_large_coco',
    'ssdlite_mobilenet_v3_large_320x320_coco.config',
    22.6,
    'ssd_mobilenet_v3_large_coco_2020_01_14.tar.gz',
    None,
    '8dade970d957ae5cb8b47e9fcefbe124e40b38c8641e484d2ab15b81d9b5126f',
  ),
  Weights(
    'zoo:ssd_mobilenet_v3_small_coco',
    'ssdlite_mobilenet_v3_small_320x320_coco.config',
    15.4,
    'ssd_mobilenet_v3_small_coco_2020_01_14.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v2_320x320_coco17',
    'ssd_mobilenet_v2_300x300_coco.config',
    20.2,
    'tf2/20200711/ssd_mobilenet_v2_320x320_coco17_tpu-8.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v1_fpn_640x640_coco17',
    'ssd_mobilenet_v1_fpn_640x640_coco.config',
    29.1,
    'tf2/20200711/ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v2_fpnlite_320x320_coco17',
    'ssd_mobilenet_v2_fpnlite_320x320_coco.config',
    22.2,
    'tf2/20200711/ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8.tar.gz',
  ),
  Weights(
    'zoo:ssd_mobilenet_v2_fpnlite_640x640_coco17',
    'ssd_mobilenet_v2_fpnlite_320x320_coco.config',
    28.2,
    'tf2/20200711/ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8.tar.gz',
  ),
)


def is_name(path: str) -> bool:
  """Whether what a config calls a checkpoint is a name of this table, not a path."""
  return path.startswith((STARTER, ZOO))


def weights_of(name: str) -> Weights:
  """The row of a name.

  Args:
    name: starter:NAME, or zoo:NAME, also with the name of the archive, such as
      zoo:ssd_mobilenet_v2_coco_2018_03_29.

  Raises:
    InputError: there is none.
  """
  for weights in TABLE:
    if name in (weights.name, f'{ZOO}{weights.file_name}'):
      return weights
  raise InputError(
    f'{name}: there are no weights of this name; {closest(name, [w.name for w in TABLE])}'
  )
