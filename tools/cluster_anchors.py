"""Finds anchors for the boxes of a config's training records, and compares them with its own."""

from ssd_tf.commands import cluster_anchors
from ssd_tf.commands.command_line import run

if __name__ == '__main__':
  run(cluster_anchors.main)
