"""Packaging of ssd_tf."""

import re

import setuptools

with open('ssd_tf/__init__.py', encoding='utf-8') as init_file:
  version = re.search(r"__version__ = '([^']+)'", init_file.read()).group(1)
with open('README.md', encoding='utf-8') as readme_file:
  long_description = readme_file.read()

setuptools.setup(
  name='ssd_tf',
  version=version,
  description='SSD detectors in TensorFlow 2 and Keras 3',
  long_description=long_description,
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  packages=setuptools.find_packages(include=['ssd_tf', 'ssd_tf.*']),
  entry_points={'console_scripts': ['ssd-tf = ssd_tf.commands.dispatch:main']},
  package_data={
    'ssd_tf': ['py.typed', 'configs/*', 'configs/anchors/*'],
    'ssd_tf.pretrained': ['starters/*/*'],
  },
  python_requires='>=3.10,<3.13',
  install_requires=[
    'tensorflow>=2.20,<2.21',
    'keras>=3.10,<4',
    'tf-models-official>=2.20,<2.21',
    'pycocotools>=2.0.8,<3',
    'absl-py>=1.4,<3',
    'protobuf>=5.28,<8',
    'tensorboard>=2.20,<2.21',
    'numpy>=1.26,<3',
    'matplotlib>=3.8,<4',
    # They come with tf-models-official anyway; here because ssd_tf imports them itself.
    'pillow>=10',
    'pyyaml>=6',
    'scipy>=1.10',
    'tqdm>=4.66,<5',
  ],
  extras_require={
    'dev': [
      'pytest>=8,<10',
      # The tests on all processors: half the time on two.
      'pytest-xdist>=3.6,<4',
      'ruff>=0.9,<1',
      # The web service of the README, which a test runs.
      'fastapi>=0.115',
      'httpx>=0.27,<1',
      'python-multipart>=0.0.12',
      # Ships the protoc that made ssd_tf/protos (see tools/compile_protos.py): pinned, since a
      # test regenerates and compares.
      'grpcio-tools==1.66.2',
    ],
  },
)
