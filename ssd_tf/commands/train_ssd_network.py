r"""Trains an SSD by the flags of SSD-Tensorflow's train_ssd_network.py.

python tools/train_ssd_network.py --train_dir=logs --dataset_dir=tfrecords \
    --dataset_name=pascalvoc_2007 --dataset_split_name=train --model_name=ssd_300_vgg \
    --checkpoint_path=vgg_16.ckpt --checkpoint_model_scope=vgg_16 \
    --checkpoint_exclude_scopes=ssd_300_vgg/conv6,ssd_300_vgg/conv7,ssd_300_vgg/block \
    --learning_rate=0.001 --optimizer=momentum --weight_decay=0.0005 --batch_size=32

The flags become a pipeline.config in train_dir, from which model_main_tf2.py resumes, evaluates and
exports. Started again with the same train_dir, the training resumes.
"""

from absl import flags

FLAGS = flags.FLAGS
# The objective.
flags.DEFINE_float('loss_alpha', 1.0, 'Weight of the localization loss.')
flags.DEFINE_float('negative_ratio', 3.0, 'Hard negatives for each positive anchor.')
flags.DEFINE_float('match_threshold', 0.5, 'IoU above which anchors are positive.')
flags.DEFINE_bool(
  'original_objective',
  False,
  "SSD-Tensorflow's objective: no anchor for a box that overlaps none enough, negatives mined in "
  "the whole batch, losses divided by its images. False: Caffe's.",
)
# General.
flags.DEFINE_string('train_dir', '/tmp/tfmodel/', 'Folder to write checkpoints and event files to.')
flags.DEFINE_integer(
  'num_clones', 1, 'Number of replicas: one per GPU, or logical CPUs without GPUs.', lower_bound=1
)
flags.DEFINE_bool('clone_on_cpu', False, 'Put the clones on logical CPUs.')
flags.DEFINE_integer('num_readers', 4, 'Files read at a time.', lower_bound=1)
flags.DEFINE_integer('num_preprocessing_threads', 4, 'Accepted, without effect.')
flags.DEFINE_integer('log_every_n_steps', 10, 'Steps between lines of the log.', lower_bound=1)
flags.DEFINE_integer('save_summaries_secs', 600, 'Accepted, without effect.')
flags.DEFINE_integer(
  'save_interval_secs', 600, 'Seconds between checkpoints, at a line of the log.', lower_bound=1
)
flags.DEFINE_integer('max_to_keep', 5, 'Older checkpoints are deleted.', lower_bound=1)
flags.DEFINE_float('gpu_memory_fraction', 0.8, 'Accepted, without effect.')
# Optimizers.
flags.DEFINE_float(
  'weight_decay',
  0.00004,
  'Weight of the L2 regularization: weight_decay / 2 * sum(kernel^2) is added to the loss.',
)
flags.DEFINE_enum(
  'optimizer',
  'rmsprop',
  ['adadelta', 'adagrad', 'adam', 'ftrl', 'momentum', 'sgd', 'rmsprop'],
  'How the weights are updated.',
)
flags.DEFINE_float('adadelta_rho', 0.95, 'Decay of Adadelta.')
flags.DEFINE_float(
  'adagrad_initial_accumulator_value', 0.1, "Initial value of Adagrad's accumulator."
)
flags.DEFINE_float('adam_beta1', 0.9, 'Decay of the first moment.')
flags.DEFINE_float('adam_beta2', 0.999, 'Decay of the second moment.')
flags.DEFINE_float(
  'opt_epsilon', 1.0, 'Epsilon of adadelta, adam (which needs it small) and rmsprop.'
)
flags.DEFINE_float('ftrl_learning_rate_power', -0.5, 'Learning rate power of FTRL.')
flags.DEFINE_float('ftrl_initial_accumulator_value', 0.1, "Initial value of FTRL's accumulator.")
flags.DEFINE_float('ftrl_l1', 0.0, 'L1 strength of FTRL.')
flags.DEFINE_float('ftrl_l2', 0.0, 'L2 strength of FTRL.')
flags.DEFINE_float('momentum', 0.9, 'Momentum of the optimizer of that name.')
flags.DEFINE_float('rmsprop_momentum', 0.9, 'Momentum of RMSProp.')
flags.DEFINE_float('rmsprop_decay', 0.9, 'Decay of RMSProp.')
# Learning rate.
flags.DEFINE_enum(
  'learning_rate_decay_type',
  'exponential',
  ['fixed', 'exponential', 'polynomial'],
  'How the learning rate decays.',
)
flags.DEFINE_float('learning_rate', 0.01, 'Initial learning rate.')
flags.DEFINE_float('end_learning_rate', 0.0001, 'Final learning rate of polynomial decay.')
flags.DEFINE_float('label_smoothing', 0.0, 'Accepted, without effect.')
flags.DEFINE_float('learning_rate_decay_factor', 0.94, 'Factor of each exponential decay.')
flags.DEFINE_float(
  'num_epochs_per_decay', 2.0, 'Epochs between decays, counted by the batches of one clone.'
)
flags.DEFINE_float(
  'moving_average_decay', None, 'Decay of the moving average of the weights; None: no average.'
)
# Data.
flags.DEFINE_string(
  'dataset_name', 'imagenet', 'pascalvoc_2007, or any <name> of <name>_<split>_*.tfrecord.'
)
flags.DEFINE_integer('num_classes', 21, 'Number of classes, including background.', lower_bound=2)
flags.DEFINE_string('dataset_split_name', 'train', 'Name of the split, as in the file names.')
flags.DEFINE_string('dataset_dir', None, 'Folder of the TFRecords and, maybe, label_map.pbtxt.')
flags.DEFINE_string('label_map_path', None, 'Label map of the records, if it lies elsewhere.')
flags.DEFINE_string(
  'classes', None, 'Names to train, which become the classes 1, 2, ...; None: all, as they are.'
)
flags.DEFINE_integer('labels_offset', 0, 'Accepted, without effect.')
flags.DEFINE_enum(
  'model_name',
  'ssd_300_vgg',
  ['ssd_300_vgg', 'ssd_512_vgg', 'ssd_300_mobilenet_v1', 'ssd_300_mobilenet_v2'],
  'The network.',
)
flags.DEFINE_string('preprocessing_name', None, "Accepted if it is a network's.")
flags.DEFINE_integer('batch_size', 32, 'Images per clone.', lower_bound=1)
flags.DEFINE_integer('train_image_size', None, 'Accepted, without effect.')
flags.DEFINE_integer('max_number_of_steps', None, 'Number of steps; None: no limit.', lower_bound=1)
# What to start from.
flags.DEFINE_string(
  'checkpoint_path', None, 'File, or folder of which the newest is taken; also .h5 of ssd_keras.'
)
flags.DEFINE_string('checkpoint_model_scope', None, 'Scope of the network in the checkpoint.')
flags.DEFINE_string('checkpoint_exclude_scopes', None, 'Prefixes of variables not to load.')
flags.DEFINE_string('trainable_scopes', None, 'Prefixes of variables to train; None: all.')
flags.DEFINE_bool(
  'ignore_missing_vars', False, 'Ignore variables that are missing from the checkpoint.'
)
flags.DEFINE_bool(
  'decimate_fc',
  False,
  'Not of the original: with vgg_16.ckpt, start conv6 and conv7 from a part of its fully connected '
  'layers, as Caffe does; exclude neither then.',
)
# Misspelled in notes of trainings, and of a fork.
flags.DEFINE_string('dataset_splict_name', 'train', 'Taken for --dataset_split_name.')
flags.DEFINE_float('gpu_momory_fraction', 0.8, 'Taken for --gpu_memory_fraction.')
flags.DEFINE_string('feature_extractor', None, "A fork's; not supported.")
flags.DEFINE_string('model', None, "A fork's; not supported.")
flags.mark_flag_as_required('dataset_dir')


def main():
  """Translates the flags, then trains."""
  from ssd_tf.evaluation import log_format
  from ssd_tf.run.train import train
  from ssd_tf.ssd_tensorflow import clones, train_flags

  log_format.setup_logging()
  # Before anything is read, after which the CPU can no longer be split.
  strategy = clones.make_clones(FLAGS.num_clones, FLAGS.clone_on_cpu)
  given = {name for name in FLAGS if FLAGS[name].present}
  pipeline, load_options = train_flags.prepare(FLAGS.flag_values_dict(), given)
  train(
    pipeline,
    FLAGS.train_dir,
    strategy=strategy,
    checkpoint_every_n=None,
    checkpoint_every_secs=FLAGS.save_interval_secs,
    checkpoint_max_to_keep=FLAGS.max_to_keep,
    log_every_n=FLAGS.log_every_n_steps,
    evaluate=False,
    load_options=load_options,
  )
