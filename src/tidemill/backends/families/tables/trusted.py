"""The types that a saved scikit-learn model may hold, beyond those that skops itself trusts.

A list, and never a flag that trusts them all. Each holds numbers and options of scikit-learn's own; building one runs
no code that came with the file.
"""

from __future__ import annotations

_LOSSES = (
    "AbsoluteError", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss", "HalfPoissonLoss", "HalfSquaredError",
    "HalfTweedieLoss", "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss", "ExponentialLoss",
)  # fmt: skip
_KERNELS = ("CompoundKernel", "ConstantKernel", "DotProduct", "Exponentiation", "ExpSineSquared", "Matern", "Product",
            "RBF", "RationalQuadratic", "Sum", "WhiteKernel")  # fmt: skip
_DISTANCES = ("Chebyshev", "Euclidean", "Manhattan", "Minkowski")

TRUSTED = (
    "numpy.dtype",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    *(f"sklearn._loss.loss.{name}" for name in _LOSSES),
    *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
    *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in _DISTANCES for bits in ("", "32", "64")),
)
