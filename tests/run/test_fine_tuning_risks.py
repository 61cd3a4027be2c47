"""What fine-tuning risks is told where it does, and only there."""

import types

import keras
import pytest
from google.protobuf import text_format

from ssd_tf.config.pipeline import PipelineConfig
from ssd_tf.models.normalization import FusedBatchNormalization
from ssd_tf.run import fine_tuning_risks, known_rates

BACKBONE = 'mobilenet_v1_conv_0/kernel'
HEAD = 'class_head_0/kernel'
FEATURE_MAP = 'feature_map_2_expand/kernel'


def config_of(rate, num_steps=100):
  """Of batches of 8; a training from scratch has .8 * 8 / 512 = .0125."""
  return text_format.Parse(
    f"""
    model {{ssd {{feature_extractor {{type: "ssd_mobilenet_v2_keras"}}}}}}
    train_config {{batch_size: 8 num_steps: {num_steps} optimizer {{momentum_optimizer {{
      momentum_optimizer_value: 0.9 learning_rate {{cosine_decay_learning_rate {{
        learning_rate_base: {rate} total_steps: {num_steps} warmup_steps: 10 }}}}}}}}}}
    """,
    PipelineConfig(),
  )


def network(frozen):
  image = keras.Input([4, 4, 3])
  norm = FusedBatchNormalization(name='mobilenet_v1_conv_0_batch_norm', frozen=frozen)
  return keras.Model(image, norm(image))


def found(rate=0.001, *, loaded=(BACKBONE, FEATURE_MAP), trained=(BACKBONE, HEAD), frozen=False,
          num_images=5000):  # fmt: skip
  report = types.SimpleNamespace(loaded=list(loaded))
  risks = fine_tuning_risks.find_risks(
    config_of(rate), network(frozen), report, set(trained), num_images
  )
  return [dict(risk.numbers) for risk in risks]


@pytest.mark.parametrize('num_images', [156, 999])
def test_few_images_for_loaded_statistics(num_images):
  assert found(num_images=num_images) == [{'images': num_images}]
  assert found(num_images=1000) == []
  assert found(num_images=num_images, frozen=True) == []
  assert found(num_images=num_images, trained=[HEAD]) == []
  assert found(num_images=num_images, loaded=[HEAD]) == []


def test_a_rate_from_scratch_for_a_loaded_detector():
  (numbers,) = found(0.02)
  assert numbers == {'rate': pytest.approx(0.02, rel=1e-2), 'reference': pytest.approx(0.0125)}
  assert found(0.002) == []  # A tenth.
  assert found(0.02, loaded=[BACKBONE]) == []  # A classifier alone, as the API's configs have it.
  assert found(0.02, trained=[HEAD]) == []


def test_a_rate_in_proportion_to_batch_and_momentum():
  reference = known_rates.nearest('ssd_mobilenet_v2_keras', 'momentum_optimizer', 500)
  assert (reference.batch_size, reference.rate) == (512, 0.8)
  assert reference.in_proportion(64) == pytest.approx(0.1)
  assert reference.in_proportion(64, momentum=0.8) == pytest.approx(0.2)
  assert known_rates.nearest('unknown', 'momentum_optimizer', 8) is None
