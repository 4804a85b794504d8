from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from numpy.typing import ArrayLike, NDArray

# float32 or float64, as the logits are; a scalar where they are one.
_Array: TypeAlias = NDArray[Any]
_Pair: TypeAlias = tuple[_Array | None, _Array | None]
_Triple: TypeAlias = tuple[_Array | None, _Array | None, _Array | None]

# Rows by columns, or the columns.
_Features: TypeAlias = _Array | Sequence[_Array]

__version__: str
COVARIANCES: list[str]

class LossSum:
    def __new__(cls, values: ArrayLike | None = None) -> LossSum: ...
    def add(self, value: float) -> None: ...
    def add_array(self, values: ArrayLike) -> None: ...
    def merge(self, other: LossSum) -> None: ...
    def divided_by(self, divisor: LossSum) -> float: ...
    def to_bytes(self) -> bytes: ...
    @classmethod
    def from_bytes(cls, state: bytes) -> LossSum: ...
    @property
    def value(self) -> float: ...
    @property
    def count(self) -> int: ...
    def __add__(self, other: LossSum) -> LossSum: ...
    def __radd__(self, other: Literal[0]) -> LossSum: ...
    def __iadd__(self, other: LossSum) -> LossSum: ...
    def __float__(self) -> float: ...
    def __eq__(self, other: object) -> bool: ...
    def __reduce__(self) -> tuple[Callable[[bytes], LossSum], tuple[bytes]]: ...

def backends() -> list[str]: ...
def loss(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Array | None = None,
) -> _Array: ...
def loss_gradient(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Pair | None = None,
) -> tuple[_Array, _Array]: ...
def loss_gradient_hessian(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Triple | None = None,
) -> tuple[_Array, _Array, _Array]: ...
def sum(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
) -> float: ...
def mean(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
) -> float: ...
def gradient(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Array | None = None,
) -> _Array: ...
def sum_gradient(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Array | None = None,
) -> tuple[float, _Array]: ...
def mean_gradient(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Array | None = None,
) -> tuple[float, _Array]: ...
def gradient_hessian(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Pair | None = None,
) -> tuple[_Array, _Array]: ...
def sum_gradient_hessian(
    z: ArrayLike,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Pair | None = None,
) -> tuple[float, _Array, _Array]: ...
def accumulate(
    z: ArrayLike,
    t: ArrayLike,
    total: LossSum,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
) -> None: ...
def accumulate_gradient(
    z: ArrayLike,
    t: ArrayLike,
    total: LossSum,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Array | None = None,
) -> _Array: ...
def accumulate_gradient_hessian(
    z: ArrayLike,
    t: ArrayLike,
    total: LossSum,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
    out: _Pair | None = None,
) -> tuple[_Array, _Array]: ...
def gradient_in_place(
    z: _Array,
    t: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    row_weights: ArrayLike | None = None,
    pos_weight: float = 1.0,
    pos_weights: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    target_tolerance: float = 0.0,
    temperature: float = 1.0,
    logit_targets: bool = False,
    squared_error: bool = False,
    focal: float | None = None,
    exact: bool = False,
    excess: bool = False,
    backend: str | None = None,
    threads: int = 1,
) -> None: ...
def sigmoid(z: ArrayLike, *, exact: bool = False, threads: int = 1, out: _Array | None = None) -> _Array: ...
def log_sigmoid(
    z: ArrayLike, *, exact: bool = False, threads: int = 1, out: _Array | None = None
) -> _Array: ...
def softplus(z: ArrayLike, *, exact: bool = False, threads: int = 1, out: _Array | None = None) -> _Array: ...
def logit(p: ArrayLike, *, threads: int = 1, out: _Array | None = None) -> _Array: ...
def probability_loss(y: ArrayLike, p: ArrayLike, *, out: _Array | None = None) -> _Array: ...
def probability_sum(y: ArrayLike, p: ArrayLike) -> float: ...
def probability_mean(y: ArrayLike, p: ArrayLike) -> float: ...
def probability_gradient(y: ArrayLike, p: ArrayLike, *, out: _Array | None = None) -> _Array: ...

class Model:
    def __new__(
        cls,
        *,
        intercept: bool = True,
        weight_kind: str = "sampling",
        penalty: str | None = None,
        alpha: float = 0.0,
        l1_ratio: float = 0.0,
        threads: int = 1,
    ) -> Model: ...
    def fit(
        self,
        features: _Features,
        targets: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        trials: ArrayLike | None = None,
        clusters: _Array | None = None,
    ) -> Fit: ...
    def solver(self, columns: int) -> Solver: ...

class Solver:
    def task(self) -> Task: ...
    def step(self, state: State) -> Fit | None: ...
    @property
    def steps(self) -> int: ...

class Task:
    def evaluate(
        self,
        features: _Features,
        targets: ArrayLike,
        *,
        weights: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        trials: ArrayLike | None = None,
        clusters: _Array | None = None,
        first_row: int = 0,
    ) -> State: ...
    def on(self, backend: str) -> Task: ...
    def start(self) -> State: ...
    def to_bytes(self) -> bytes: ...
    @classmethod
    def from_bytes(cls, state: bytes) -> Task: ...
    def __reduce__(self) -> tuple[Callable[[bytes], Task], tuple[bytes]]: ...

class State:
    def merge(self, other: State) -> State: ...
    def to_bytes(self) -> bytes: ...
    @classmethod
    def from_bytes(cls, state: bytes) -> State: ...
    def __eq__(self, other: object) -> bool: ...
    def __reduce__(self) -> tuple[Callable[[bytes], State], tuple[bytes]]: ...

class Fit:
    def covariance(self, name: str) -> _Array | None: ...
    def marginal_effects(self, name: str) -> tuple[_Array, _Array] | None: ...
    @property
    def coefficients(self) -> _Array: ...
    @property
    def rows(self) -> int: ...
    @property
    def observations(self) -> float: ...
    @property
    def clusters(self) -> int | None: ...
    @property
    def total_weight(self) -> float: ...
    @property
    def mean_target(self) -> float: ...
    @property
    def mean_prediction(self) -> float: ...
    @property
    def steps(self) -> int: ...
    @property
    def mean_loss(self) -> float: ...
    @property
    def mean_excess(self) -> float: ...
    @property
    def deviance_explained(self) -> float | None: ...
    @property
    def dispersion(self) -> float | None: ...
    @property
    def brier_score(self) -> float: ...

def linear_logits(
    features: _Features,
    coefficients: ArrayLike,
    intercept: float = 0.0,
    *,
    offset: ArrayLike | None = None,
) -> _Array: ...
