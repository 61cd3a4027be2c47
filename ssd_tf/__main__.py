"""`python -m ssd_tf` is the command `ssd-tf`."""

from ssd_tf.commands.dispatch import main

if __name__ == '__main__':
  main()
