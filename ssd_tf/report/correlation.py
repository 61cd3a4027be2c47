"""How one figure of the classes goes with another: line and coefficients."""

import dataclasses

import numpy as np
from scipy import stats

MIN_POINTS = 3
_MAX_EXACT = 8  # So many points have 40,320 orders.


@dataclasses.dataclass(frozen=True)
class Correlation:
  """A line through points, and how well it fits.

  Attributes:
    num_points: n.
    slope: of the least-squares line.
    intercept: of the same.
    pearson: r, of the values.
    pearson_p: probability of an |r| as great among normal values that do not go together.
    spearman: rho, of the ranks; ties share their mean rank.
    spearman_p: probability of a |rho| as great among all orders of the values; for more than 8
      points by Student's t.
  """

  num_points: int
  slope: float
  intercept: float
  pearson: float
  pearson_p: float
  spearman: float
  spearman_p: float

  def __str__(self):
    return (
      f'Pearson r = {self.pearson:.2f} ({_shown(self.pearson_p)}), '
      f'Spearman \u03c1 = {self.spearman:.2f} ({_shown(self.spearman_p)}), '
      f'n = {self.num_points}'
    )


def correlate(x: np.ndarray, y: np.ndarray) -> Correlation | str:
  """Fits a line and measures both coefficients.

  Args:
    x: f64[n], finite.
    y: f64[n], finite.

  Returns:
    The correlation, or a sentence that says why there is none: fewer than 3 points, or equal values
    on one side.
  """
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  if len(x) < MIN_POINTS:
    classes = f'{len(x)} class' + 'es' * (len(x) != 1)
    return f'{classes}: with fewer than {MIN_POINTS} a correlation coefficient has no meaning'
  for values, what in ((x, 'value on the horizontal axis'), (y, 'AP')):
    if np.ptp(values) == 0:
      return f'all {len(x)} classes have the same {what}: there is no correlation coefficient'
  line = stats.linregress(x, y)
  pearson = stats.pearsonr(x, y)
  spearman, spearman_p = _spearman(x, y)
  return Correlation(
    num_points=len(x),
    slope=float(line.slope),
    intercept=float(line.intercept),
    pearson=float(pearson.statistic),
    pearson_p=float(pearson.pvalue),
    spearman=spearman,
    spearman_p=spearman_p,
  )


def _spearman(x, y):
  """(rho, p): of few points over all orders, since Student's t would call 3 in a row certain."""
  found = stats.spearmanr(x, y)
  if len(x) > _MAX_EXACT:
    return float(found.statistic), float(found.pvalue)
  x_ranks, y_ranks = (stats.rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
  exact = stats.permutation_test(
    (x_ranks,),
    lambda ranks, axis: np.sum(ranks * y_ranks, axis=axis),  # All that an order changes of rho.
    permutation_type='pairings',
    n_resamples=np.inf,
    vectorized=True,
  )
  return float(found.statistic), float(exact.pvalue)


def _shown(probability):
  return 'p < 0.001' if probability < 0.001 else f'p = {probability:.3f}'
