import numpy as np
import pytest
from scipy import stats

from ssd_tf.report.correlation import correlate


def test_by_hand():
  # x: mean 3, deviations -2 -1 0 1 2, squares 10; y: mean 4, deviations -2 0 1 0 1, squares 6.
  # Products 4 + 0 + 0 + 0 + 2 = 6: slope 6/10, intercept 4 - .6 * 3 = 2.2, r = 6 / sqrt(60).
  found = correlate(np.array([1, 2, 3, 4, 5]), np.array([2, 4, 5, 4, 5]))
  assert (found.num_points, found.slope, found.intercept) == (
    5,
    pytest.approx(0.6),
    pytest.approx(2.2),
  )
  assert found.pearson == pytest.approx(6 / 60**0.5)
  # t = r sqrt(3 / (1 - r^2)) = .7746 * sqrt(3 / .4) = 2.1213, 3 degrees of freedom.
  assert found.pearson_p == pytest.approx(2 * stats.t.sf(2.1213203, 3))
  # Ranks of y: 1, 2.5, 4.5, 2.5, 4.5: deviations -2 -.5 1.5 -.5 1.5, squares 9.
  # Products 4 + .5 + 0 - .5 + 3 = 7; rho = 7 / sqrt(10 * 9).
  assert found.spearman == pytest.approx(7 / 90**0.5)


def test_many_points_as_scipy():
  x, y = np.random.default_rng(0).normal(size=(2, 30))
  y += x
  found = correlate(x, y)
  pearson, ranks, line = stats.pearsonr(x, y), stats.spearmanr(x, y), stats.linregress(x, y)
  assert (found.pearson, found.pearson_p) == pytest.approx((pearson.statistic, pearson.pvalue))
  assert found.spearman == pytest.approx(ranks.statistic)
  assert (found.slope, found.intercept) == pytest.approx((line.slope, line.intercept))


@pytest.mark.parametrize(
  ('x', 'y', 'message'),
  [
    ([], [], '0 classes: with fewer than 3 a correlation coefficient has no meaning'),
    ([1], [1], '1 class: with fewer than 3 a correlation coefficient has no meaning'),
    ([1, 2], [1, 2], '2 classes: with fewer than 3 a correlation coefficient has no meaning'),
    (
      [4, 4, 4],
      [1, 2, 3],
      'all 3 classes have the same value on the horizontal axis: there is no correlation '
      'coefficient',
    ),
    ([1, 2, 3], [0, 0, 0], 'all 3 classes have the same AP: there is no correlation coefficient'),
  ],
)
def test_no_coefficient(x, y, message):
  assert correlate(np.array(x), np.array(y)) == message


def test_text():
  text = str(correlate(np.array([1, 2, 3, 4, 5]), np.array([2, 4, 5, 4, 5])))
  assert text == 'Pearson r = 0.77 (p = 0.124), Spearman \u03c1 = 0.74, n = 5'
