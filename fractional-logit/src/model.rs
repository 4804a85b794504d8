//! [`Model`]: what to fit; [`Fit`]: what came of it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use soft_bce::Backend;
use soft_bce::linear::Features;

use crate::data::{Data, Value, WeightKind};
use crate::error::{Error, OF_A_SIZE, Place};
use crate::pass::{
    Basis, LARGEST, MEASURES, Places, Point, Reported, State, Task, of_level, of_units,
};
use crate::solve::{Bordered, BorderedFactors, BorderedForm, Combination, Double, Symmetric};
use crate::solver::{Scanned, Solver, Step, counts_rows};

/// What to fit, and how. Immutable once made; the methods chain.
///
/// E t = sigmoid(constant + x'b + offset), by minimising the weighted cross-entropy (J. Wooldridge and L. Papke,
/// *Econometric methods for fractional response variables*, J. Appl. Econometrics 11, 1996).
///
/// ```
/// use fractional_logit::{Covariance, Data, Features, Model};
/// let (x, t) = ([1.0, 2.0, 3.0, 4.0, 5.0], [0.2, 0.4, 0.3, 0.6, 0.9]);
/// let fit = Model::new().fit(&Data::new(Features::rows(&x, 5, 1)?, &t))?;
/// let errors = fit.standard_errors(Covariance::Hc0).expect("no clusters are needed");
/// assert!(fit.coefficients()[1] > 2.0 * errors[1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(crate) intercept: bool,
    pub(crate) levels: u32,
    pub(crate) weight_kind: WeightKind,
    pub(crate) penalty: Penalty,
    pub(crate) standardize: bool,
    threads: usize,
    pub(crate) backend: Option<Backend>,
    pub(crate) errors: bool,
    pub(crate) tolerance: f64,
    /// Of a path of penalties: nothing but coefficients is found, from these on if there are any.
    pub(crate) of_path: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Penalty {
    None,
    Ridge(f64),
    ElasticNet { lambda: f64, lasso_share: f64 },
    Firth,
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

impl Model {
    /// With a constant, sampling weights, no penalty, in one thread.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            intercept: true,
            levels: 0,
            weight_kind: WeightKind::Sampling,
            penalty: Penalty::None,
            standardize: false,
            threads: 1,
            backend: None,
            errors: true,
            tolerance: 1e-13,
            of_path: None,
        }
    }

    /// Whether there is a constant.
    #[must_use]
    pub fn intercept(mut self, intercept: bool) -> Self {
        self.intercept = intercept;
        self
    }

    /// How many levels the category of [`Data::levels`] has: one coefficient for each but the first, behind those of the
    /// features. Their part of the Hessian is a diagonal, which is eliminated first: thousands of levels take a few
    /// numbers each. Neither with clusters, nor the lasso, nor Firth's correction: there, levels are columns. Where
    /// a slope is told by levels alone whose weights are 2^-44 of the others', robust errors are good to 1e-3.
    ///
    /// ```
    /// use fractional_logit::{Data, Features, Model};
    /// let x = Features::<f64>::rows(&[], 4, 0)?;
    /// let data = Data::new(x, &[0.5, 0.5, 0.25, 0.75]).levels(&[0, 0, 1, 1]);
    /// let fit = Model::new().levels(2).fit(&data)?;
    /// assert_eq!(fit.coefficients(), [0.0, 0.0]); // the logits of both means
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn levels(mut self, count: u32) -> Self {
        self.levels = count;
        self
    }

    /// What the weights say.
    #[must_use]
    pub fn weight_kind(mut self, kind: WeightKind) -> Self {
        self.weight_kind = kind;
        self
    }

    /// Adds lambda/2 times the sum of the squared coefficients (not the constant's) to the mean loss. Finite where
    /// the features separate the targets. Replaces another penalty.
    #[must_use]
    pub fn ridge(mut self, lambda: f64) -> Self {
        self.penalty = Penalty::Ridge(lambda);
        self
    }

    /// Adds lambda (a |b| + (1 - a)/2 b^2), summed over the coefficients but the constant's, to the mean loss, for
    /// a = `lasso_share`: glmnet's elastic net. 1 is the lasso. Replaces another penalty.
    #[must_use]
    pub fn elastic_net(mut self, lambda: f64, lasso_share: f64) -> Self {
        self.penalty = Penalty::ElasticNet {
            lambda,
            lasso_share,
        };
        self
    }

    /// With a penalty: of each column divided by its standard deviation (the weighted one, over n, as glmnet has it), so that
    /// units do not matter. Coefficients stay those of the columns as they are. Off by default.
    #[must_use]
    pub fn standardize(mut self, standardize: bool) -> Self {
        self.standardize = standardize;
        self
    }

    /// Firth's correction: half the logarithm of the Hessian's determinant is subtracted from the loss, which takes
    /// the first-order bias away and is finite where the features separate the targets (D. Firth, *Bias reduction of
    /// maximum likelihood estimates*, Biometrika 80, 1993). Weights then have to count observations.
    #[must_use]
    pub fn firth(mut self) -> Self {
        self.penalty = Penalty::Firth;
        self
    }

    /// How many threads [`fit`](Self::fit) uses: the bits do not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Where vector code runs: the bits do not depend on it, which is for tests to show. The fastest by default.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// With many rows (rows times coefficients squared above 4 million), whether errors and measures are found, which
    /// takes a pass of two Gram matrices. Without, [`Fit::standard_errors`] is None and measures are NaN. Fewer rows
    /// always have them.
    #[must_use]
    pub fn errors(mut self, errors: bool) -> Self {
        self.errors = errors;
        self
    }

    /// With many rows of `f64`, what the last step may leave of each logit's error, judged by how steps shrink. 1e-13 by
    /// default; 1e-9 saves a pass or two. Where [errors](Self::errors) are asked for it counts from 1e-9 on: their pass has a
    /// Hessian of all rows, whose step leaves the square of that. Errors and measures are then right to 1e-9.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Fits the model to these rows.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn fit<T: Value>(&self, data: &Data<'_, T>) -> Result<Fit, Error> {
        let mut solver = self.solver(data.features.column_count())?;
        loop {
            let state = self.evaluate(solver.task(), data)?;
            if let Step::Done(fit) = solver.step(&state)? {
                return Ok(*fit);
            }
        }
    }

    /// [`Task::evaluate`] in as many threads as the model has: what [`fit`](Self::fit) does with each task.
    ///
    /// # Errors
    /// As [`Task::evaluate`].
    pub fn evaluate<T: Value>(&self, task: &Task, data: &Data<'_, T>) -> Result<State, Error> {
        let threads = self.threads.clamp(1, 1024);
        if threads == 1 || data.wrong_length().is_some() {
            return task.evaluate(data);
        }
        let length = data.row_count().div_ceil(threads).max(1);
        let parts = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|index| data.part(index * length..(index + 1) * length))
                .map(|part| scope.spawn(move || task.evaluate(&part)))
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.collect::<Vec<_>>()
        });
        let mut state = task.start();
        for part in parts {
            // The error of the first part counts, as in one thread.
            let part = part.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            state.merge(&part?)?;
        }
        Ok(state)
    }

    /// What fits the model in passes over parts of the rows, for features of this many columns.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn solver(&self, columns: usize) -> Result<Solver, Error> {
        let invalid = |reason| Err(Error::InvalidOption { reason });
        if columns == 0 && !self.intercept && self.levels < 2 {
            return invalid("no columns and no constant: nothing to fit");
        }
        let valid = |lambda: f64| lambda.is_finite() && lambda >= 0.0;
        match self.penalty {
            Penalty::ElasticNet { .. } | Penalty::Firth if self.levels > 0 => invalid(
                "levels exclude the lasso and Firth's correction: give them columns of their own",
            ),
            Penalty::Ridge(lambda) if !valid(lambda) => {
                invalid("the ridge penalty must be finite and >= 0")
            }
            Penalty::ElasticNet { lambda, .. } if !valid(lambda) => {
                invalid("lambda must be finite and >= 0")
            }
            Penalty::ElasticNet { lasso_share, .. } if !(0.0..=1.0).contains(&lasso_share) => {
                invalid("the lasso's share must be in [0, 1]")
            }
            _ if !valid(self.tolerance) => invalid("the tolerance must be finite and >= 0"),
            _ => Ok(Solver::new(self, columns)),
        }
    }
}

/// How the errors of the coefficients are found. A = sum of w s(1 - s) x x', r = s - t.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Covariance {
    /// A^-1: right if the targets are draws of 0 and 1, or proportions with the trials as weights.
    Nonrobust,
    /// A^-1 times the [dispersion](Fit::dispersion): right if the variance is proportional to s(1 - s).
    Quasi,
    /// A^-1 B A^-1, B = sum of (w r)^2 x x' (of w r^2 x x' with frequency weights): right whatever the variance
    /// (Huber and White).
    #[default]
    Hc0,
    /// Hc0 times n/(n - p).
    Hc1,
    /// As Hc0, with B = sum over the clusters of g g', g = sum of w r x: right if rows of a cluster depend on each
    /// other. Many clusters are needed, more than coefficients at least: see [`Fit::has_few_clusters`].
    Clustered,
    /// Clustered times G/(G - 1) (n - 1)/(n - p), G clusters: what Stata and R's sandwich report.
    ClusteredSmallSample,
}

/// An average marginal effect, with its error by the delta method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// By how much the mean prediction rises for each unit of the column.
    pub effect: f64,
    /// Its standard error.
    pub standard_error: f64,
}

/// A prediction with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// The logit.
    pub logit: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl Prediction {
    /// sigmoid(logit).
    #[must_use]
    pub fn mean(&self) -> f64 {
        soft_bce::scalar::sigmoid(self.logit)
    }

    /// The interval of the mean that covers `quantile` standard errors of the logit to either side: 1.96 for 95 %.
    #[must_use]
    pub fn interval(&self, quantile: f64) -> (f64, f64) {
        let half = quantile * self.standard_error;
        let end = |sign: f64| soft_bce::scalar::sigmoid(self.logit + sign * half);
        (end(-1.0), end(1.0))
    }
}

/// A residual is known to this share of s(1 - s): 2^-52, and some bits for the coefficients' own rounding.
const ROUNDING: f64 = 64.0 * f64::EPSILON;

/// A fitted model. The constant, if there is one, comes first among coefficients and errors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Fit {
    intercept: bool,
    kind: WeightKind,
    penalised: bool,
    coefficients: Vec<f64>,
    at: Point,
    /// By the basis.
    bread: BorderedForm,
    robust: BorderedForm,
    clustered: Option<BorderedForm>,
    /// Of the columns in the levels: how the covariances are to be read.
    #[serde(default)]
    shares: Vec<Vec<Double>>,
    /// What the columns of a path of penalties are divided by.
    #[serde(skip)]
    pub(crate) deviations: Vec<f64>,
    clusters: u64,
    rows: u64,
    used: u64,
    weight: f64,
    mean_target: f64,
    with_offset: bool,
    steps: usize,
    sum_loss: f64,
    measures: [f64; MEASURES],
    slope: f64,
    bends: Vec<f64>,
    /// Of each indicator: its column, the sum of its changes, and their derivatives by the basis.
    changes: Vec<(usize, Vec<f64>)>,
}

impl Serialize for Fit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Fit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fit = Self::deserialize(deserializer)?;
        fit.check().map_err(serde::de::Error::custom)?;
        Ok(fit)
    }
}

impl Fit {
    /// Whether what was read belongs together.
    fn check(&self) -> Result<(), String> {
        let columns = self.at.basis.centers.len();
        let width = columns + usize::from(self.intercept);
        let with_errors = self.bread.inner.order() != 0;
        let levels = self.at.coefficients.len().saturating_sub(width);
        let of_levels = if with_errors { levels } else { 0 };
        let of_errors = if with_errors { width } else { 0 };
        let order = |matrix: &BorderedForm| {
            if matrix.has_size(of_errors, of_levels) {
                of_errors
            } else {
                usize::MAX
            }
        };
        let shares = self.shares.iter().filter(|row| row.len() == width).count();
        let lengths = [
            ("coefficients", self.coefficients.len(), width + levels),
            ("shares", shares, of_levels),
            ("all shares", self.shares.len(), of_levels),
            ("powers", self.at.basis.powers.len(), columns),
            (
                "coefficients of the basis",
                self.at.coefficients.len(),
                width + levels,
            ),
            ("bread", order(&self.bread), of_errors),
            ("robust", order(&self.robust), of_errors),
            (
                "clustered",
                self.clustered.as_ref().map_or(of_errors, order),
                of_errors,
            ),
            (
                "bends",
                self.bends.len(),
                if with_errors { columns + 1 + levels } else { 0 },
            ),
        ];
        for (what, found, expected) in lengths {
            if found != expected {
                return Err(format!(
                    "{what} are not of the length {expected} that {columns} columns ask for"
                ));
            }
        }
        for (column, sums) in &self.changes {
            if *column >= columns || sums.len() != 1 + width {
                return Err(format!(
                    "changes of column {column} do not fit {columns} columns"
                ));
            }
        }
        let mut anew = self.clone();
        anew.find_coefficients();
        if anew.coefficients != self.coefficients {
            return Err("coefficients are not those of the basis".to_owned());
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is in the result")]
    pub(crate) fn new(
        model: &Model,
        scan: Scanned,
        steps: usize,
        at: &Point,
        factors: BorderedFactors,
        meat: &Bordered,
        state: &State,
        places: Places,
        report: Option<&Reported>,
        weight: i32,
    ) -> Self {
        let sum = |index: usize| state.sums[index].to_f64();
        let bread = factors.inverse();
        let robust = factors.sandwich(meat, &bread);
        let indicators = report.map_or(&[][..], |report| &report.indicators);
        let first = places.first_level(report);
        let bends_of_levels = (0..places.levels).map(|level| {
            let place = places.level(true, level).bend;
            state.of_level(first, place, weight).to_f64()
        });
        let mut fit = Self {
            intercept: model.intercept,
            kind: model.weight_kind,
            penalised: model.penalty != Penalty::None,
            coefficients: Vec::new(),
            at: at.clone(),
            bread,
            robust,
            clustered: None,
            shares: factors.shares,
            deviations: Vec::new(),
            clusters: 0,
            rows: scan.rows,
            used: scan.used,
            weight: scan.weight,
            mean_target: scan.mean,
            with_offset: scan.with_offset,
            steps,
            sum_loss: sum(Places::LOSS),
            measures: std::array::from_fn(|index| sum(places.measures() + index)),
            slope: sum(places.slopes()),
            bends: (0..=places.columns)
                .map(|index| sum(places.slopes() + 1 + index))
                .chain(bends_of_levels)
                .collect(),
            changes: indicators
                .iter()
                .enumerate()
                .map(|(index, column)| {
                    let length = 1 + places.width;
                    let start = places.changes() + index * length;
                    (*column, (start..start + length).map(sum).collect())
                })
                .collect(),
        };
        fit.find_coefficients();
        fit
    }

    pub(crate) fn without_errors(model: &Model, scan: Scanned, steps: usize, at: &Point) -> Self {
        let mut fit = Self {
            intercept: model.intercept,
            kind: model.weight_kind,
            penalised: model.penalty != Penalty::None,
            at: at.clone(),
            rows: scan.rows,
            used: scan.used,
            weight: scan.weight,
            mean_target: scan.mean,
            with_offset: scan.with_offset,
            steps,
            sum_loss: f64::NAN,
            measures: [f64::NAN; MEASURES],
            slope: f64::NAN,
            ..Self::default()
        };
        fit.find_coefficients();
        fit
    }

    fn find_coefficients(&mut self) {
        let (inner, of_levels) = self.at.coefficients.split_at(self.width());
        self.coefficients = self
            .raw_rows()
            .iter()
            .map(|row| {
                let products = row.iter().zip(inner);
                products
                    .fold(Double::ZERO, |sum, (a, b)| sum + *a * *b)
                    .to_f64()
            })
            .chain(of_levels.iter().map(|x| x.to_f64()))
            .collect();
    }

    pub(crate) fn take_clusters(&mut self, state: &State, exponents: &[i32]) {
        let width = exponents.len();
        let mut meat = vec![soft_bce::LossSum::new(); width * (width + 1) / 2];
        for scores in state.clusters.values() {
            let scores: Vec<Double> = scores
                .iter()
                .zip(exponents)
                .map(|(units, exponent)| of_units(*units, *exponent))
                .collect();
            let mut sums = meat.iter_mut();
            for (row, left) in scores.iter().enumerate() {
                for (right, sum) in scores[..=row].iter().zip(&mut sums) {
                    let product = *left * *right;
                    sum.add(product.high);
                    sum.add(product.low);
                }
            }
        }
        let meat = Symmetric::from_lower(width, meat.iter().map(Double::of_sum).collect());
        self.clustered = Some(BorderedForm {
            inner: meat.conjugate(&self.bread.inner.rows()),
            ..BorderedForm::default()
        });
        self.clusters = state.clusters.len() as u64;
    }

    /// How many coefficients are not those of levels.
    fn width(&self) -> usize {
        self.at.basis.centers.len() + usize::from(self.intercept)
    }

    /// Each coefficient by the columns, of those by the basis.
    fn combinations(&self) -> impl Iterator<Item = Combination> {
        let width = self.width();
        let inner = self.raw_rows().into_iter().map(|inner| Combination {
            inner,
            border: Vec::new(),
        });
        let levels = self.at.coefficients.len() - width;
        inner.chain((0..levels).map(move |level| Combination {
            inner: vec![Double::ZERO; width],
            border: vec![(level, Double::ONE)],
        }))
    }

    /// From coefficients by the basis to those by the columns, but the levels': a matrix, by its rows.
    fn raw_rows(&self) -> Vec<Vec<Double>> {
        let Basis { centers, powers } = &self.at.basis;
        let constant = usize::from(self.intercept);
        let width = constant + centers.len();
        let mut rows = vec![vec![Double::ZERO; width]; width];
        if self.intercept {
            rows[0][0] = Double::ONE;
        }
        for (column, (center, power)) in centers.iter().zip(powers).enumerate() {
            rows[constant + column][constant + column] = Double::new(*power);
            if self.intercept {
                rows[0][constant + column] = -Double::product(*center, *power);
            }
        }
        rows
    }

    /// The constant's first, if there is one, then one a column, then one a level but the first.
    #[must_use]
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Whether there is a constant.
    #[must_use]
    pub fn has_intercept(&self) -> bool {
        self.intercept
    }

    /// By the basis, with its factor; none without clusters, or rows to spare.
    fn of_basis(&self, covariance: Covariance) -> Option<(&BorderedForm, f64)> {
        if self.bread.inner.order() == 0 {
            return None;
        }
        let count = self.observations();
        let spare = count - self.coefficients.len() as f64;
        let spared = |factor: f64| (spare > 0.0).then_some(factor);
        let clusters = self.clusters as f64;
        Some(match covariance {
            Covariance::Nonrobust => (&self.bread, 1.0),
            Covariance::Quasi => (&self.bread, self.dispersion()?),
            Covariance::Hc0 => (&self.robust, 1.0),
            Covariance::Hc1 => (&self.robust, spared(count / spare)?),
            Covariance::Clustered => (self.clustered.as_ref()?, 1.0),
            Covariance::ClusteredSmallSample => {
                let factor = spared(clusters / (clusters - 1.0) * ((count - 1.0) / spare))?;
                (
                    self.clustered.as_ref().filter(|_| self.clusters > 1)?,
                    factor,
                )
            }
        })
    }

    /// The standard error of a combination of the basis's coefficients; NaN if it is made of rounding alone.
    ///
    /// Residuals are known to about e = 2^-52 of s(1 - s). By Cauchy and Schwarz the variance that such errors of
    /// w r make up, clustered or not, is at most e^2 (sum of w s(1 - s)) times the nonrobust one.
    fn error_of(&self, matrix: &BorderedForm, factor: f64, combination: Combination) -> f64 {
        let of_bread = self.bread.reduce(combination.clone(), &self.shares);
        let combination = matrix.reduce(combination, &self.shares);
        let variance = matrix.between(&combination, &combination) * Double::new(factor);
        let nonrobust = self.bread.between(&of_bread, &of_bread).to_f64();
        let noise = ROUNDING * ROUNDING * self.slope * nonrobust;
        // The nonrobust one is not made of residuals.
        let of_residuals = !std::ptr::eq(matrix, &raw const self.bread) || factor != 1.0;
        if of_residuals && nonrobust > 0.0 && variance.to_f64() <= noise {
            return f64::NAN;
        }
        variance.sqrt().to_f64()
    }

    /// The covariance of the coefficients, row by row. None without clusters where they are needed, and where there
    /// are not more rows than coefficients if these are counted. NaN in row and column of a coefficient whose
    /// [error](Self::standard_errors) is.
    #[must_use]
    pub fn covariance(&self, covariance: Covariance) -> Option<Vec<f64>> {
        let (matrix, factor) = self.of_basis(covariance)?;
        let errors = self.standard_errors(covariance)?;
        let combinations = self.combinations();
        let reduced: Vec<_> = combinations
            .map(|of| matrix.reduce(of, &self.shares))
            .collect();
        let order = reduced.len();
        let mut elements = vec![f64::NAN; order * order];
        for row in (0..order).filter(|row| !errors[*row].is_nan()) {
            for column in (0..=row).filter(|column| !errors[*column].is_nan()) {
                let element = matrix.between(&reduced[row], &reduced[column]);
                let element = (element * Double::new(factor)).to_f64();
                elements[row * order + column] = element;
                elements[column * order + row] = element;
            }
        }
        Some(elements)
    }

    /// The square roots of its diagonal. NaN where the residuals that tell the error are 0 but for rounding: where
    /// coefficients are as many as rows, where every target is met, or of a category of one row. Only
    /// [`Covariance::Nonrobust`] does not ask the residuals.
    #[must_use]
    pub fn standard_errors(&self, covariance: Covariance) -> Option<Vec<f64>> {
        let (matrix, factor) = self.of_basis(covariance)?;
        let errors = self
            .combinations()
            .map(|row| self.error_of(matrix, factor, row));
        Some(errors.collect())
    }

    /// By how much the mean prediction rises for each unit of a column: b times the weighted mean of s(1 - s). One a
    /// column; none where [`standard_errors`](Self::standard_errors) has none.
    #[must_use]
    pub fn marginal_effects(&self, covariance: Covariance) -> Option<Vec<Effect>> {
        let (matrix, factor) = self.of_basis(covariance)?;
        let constant = usize::from(self.intercept);
        let powers = self.at.basis.powers.iter().copied();
        let levels = self.coefficients.len() - self.width();
        let slope = Double::new(self.slope / self.weight);
        let columns = powers.chain(std::iter::repeat_n(1.0, levels)).enumerate();
        let effects = columns.map(|(column, power)| {
            let coefficient = self.coefficients[constant + column];
            // By the coefficients of the basis.
            let mut gradient: Vec<Double> = self.bends[1 - constant..]
                .iter()
                .map(|bend| Double::new(coefficient * (bend / self.weight)))
                .collect();
            let own = &mut gradient[constant + column];
            *own = *own + slope * Double::new(power);
            let gradient = self.combination(gradient);
            Effect {
                effect: coefficient * slope.to_f64(),
                standard_error: self.error_of(matrix, factor, gradient),
            }
        });
        Some(effects.collect())
    }

    /// Of all coefficients of the basis.
    fn combination(&self, mut all: Vec<Double>) -> Combination {
        let border = all.split_off(self.width());
        Combination {
            inner: all,
            border: border.into_iter().enumerate().collect(),
        }
    }

    /// By how much the mean prediction rises if a column of nothing but 0 and 1 is 1 instead of 0 in every row. None for
    /// other columns, and where [`standard_errors`](Self::standard_errors) has none.
    #[must_use]
    pub fn change_effect(&self, column: usize, covariance: Covariance) -> Option<Effect> {
        let (matrix, factor) = self.of_basis(covariance)?;
        let sums = &self.changes.iter().find(|of| of.0 == column)?.1;
        let (change, slopes) = sums.split_first()?;
        let slopes: Vec<Double> = slopes
            .iter()
            .map(|x| Double::new(x / self.weight))
            .collect();
        Some(Effect {
            effect: change / self.weight,
            standard_error: self.error_of(matrix, factor, self.combination(slopes)),
        })
    }

    /// The logits of rows of features, with offsets if there are any.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`], [`Error::Value`] for a feature above 2^500, and [`Error::OutOfRange`].
    pub fn logits<T: Value>(
        &self,
        features: &Features<'_, T>,
        offset: Option<&[T]>,
    ) -> Result<Vec<f64>, Error> {
        self.logits_at_levels(features, None, offset)
    }

    /// The same with the [levels](Data::levels) of the rows.
    ///
    /// # Errors
    /// As [`logits`](Self::logits), and [`Error::Value`] for a level that the model has not.
    pub fn logits_at_levels<T: Value>(
        &self,
        features: &Features<'_, T>,
        levels: Option<&[u32]>,
        offset: Option<&[T]>,
    ) -> Result<Vec<f64>, Error> {
        let mut logits = Vec::with_capacity(features.row_count());
        self.visit_rows(features, levels, offset, &mut |logit, _, _| {
            logits.push(logit)
        })?;
        Ok(logits)
    }

    /// Predicts rows of features, with offsets if there are any.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`], [`Error::Value`] for a feature above 2^500, and [`Error::OutOfRange`].
    pub fn predict<T: Value>(
        &self,
        features: &Features<'_, T>,
        offset: Option<&[T]>,
        covariance: Covariance,
    ) -> Result<Vec<Prediction>, Error> {
        self.predict_at_levels(features, None, offset, covariance)
    }

    /// The same with the [levels](Data::levels) of the rows.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), and [`Error::Value`] for a level that the model has not.
    pub fn predict_at_levels<T: Value>(
        &self,
        features: &Features<'_, T>,
        levels: Option<&[u32]>,
        offset: Option<&[T]>,
        covariance: Covariance,
    ) -> Result<Vec<Prediction>, Error> {
        let of_basis = self.of_basis(covariance);
        let mut predictions = Vec::with_capacity(features.row_count());
        let mut is_finite = true;
        self.visit_rows(features, levels, offset, &mut |logit, x, level| {
            let standard_error = of_basis.map_or(f64::NAN, |(matrix, factor)| {
                let level = level
                    .checked_sub(1)
                    .map(|level| (level as usize, Double::ONE));
                let combination = Combination {
                    inner: x.to_vec(),
                    border: level.into_iter().collect(),
                };
                self.error_of(matrix, factor, combination)
            });
            is_finite &= !standard_error.is_infinite();
            predictions.push(Prediction {
                logit,
                standard_error,
            });
        })?;
        if is_finite {
            Ok(predictions)
        } else {
            Err(Error::OutOfRange)
        }
    }

    /// Calls `visit` with each row's logit, its place in the basis, and its level.
    fn visit_rows<T: Value>(
        &self,
        features: &Features<'_, T>,
        levels: Option<&[u32]>,
        offset: Option<&[T]>,
        visit: &mut dyn FnMut(f64, &[Double], u32),
    ) -> Result<(), Error> {
        let Basis { centers, powers } = &self.at.basis;
        let rows = features.row_count();
        let of_levels = &self.at.coefficients[self.width()..];
        let rows_with_level = if of_levels.is_empty() { 0 } else { rows };
        for (argument, expected, found) in [
            ("columns", centers.len(), features.column_count()),
            ("offset", rows, offset.map_or(rows, <[T]>::len)),
            ("levels", rows_with_level, levels.map_or(0, <[u32]>::len)),
        ] {
            if expected != found {
                return Err(Error::LengthMismatch {
                    argument,
                    expected,
                    found,
                });
            }
        }
        let constant = usize::from(self.intercept);
        let mut x = vec![Double::ONE; constant + centers.len()];
        for row in 0..rows {
            let mut logit = Double::new(offset.map_or(0.0, |offset| offset[row].into()));
            for (column, (center, power)) in centers.iter().zip(powers).enumerate() {
                let value: f64 = features.get(row, column).map_or(f64::NAN, T::into);
                if value.abs() > LARGEST {
                    return Err(Error::Value {
                        of: Place::Feature(column),
                        row: row as u64,
                        value,
                        expected: OF_A_SIZE,
                    });
                }
                x[constant + column] = (Double::new(value) - Double::new(*center)).scaled(*power);
            }
            for (x, coefficient) in x.iter().zip(&self.at.coefficients) {
                logit = logit + *x * *coefficient;
            }
            let level = levels.map_or(0, |levels| levels[row]);
            if level as usize > of_levels.len() {
                return Err(Error::Value {
                    of: Place::Level,
                    row: row as u64,
                    value: f64::from(level),
                    expected: "a level of the model",
                });
            }
            if let Some(coefficient) = of_level(level, of_levels) {
                logit = logit + coefficient;
            }
            if !logit.high.is_finite() {
                return Err(Error::OutOfRange);
            }
            visit(logit.to_f64(), &x, level);
        }
        Ok(())
    }

    /// n: rows of positive weight, or their total weight if it counts rows.
    #[must_use]
    pub fn observations(&self) -> f64 {
        if counts_rows(self.kind) {
            self.weight
        } else {
            self.used as f64
        }
    }

    /// Rows of positive weight.
    #[must_use]
    pub fn used_rows(&self) -> u64 {
        self.used
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Clusters, if there are any.
    #[must_use]
    pub fn clusters(&self) -> Option<u64> {
        self.clustered.as_ref().map(|_| self.clusters)
    }

    /// Whether there are clusters, and not more than coefficients: the clustered covariance then lacks rank, and its
    /// errors are too small.
    #[must_use]
    pub fn has_few_clusters(&self) -> bool {
        self.clustered.is_some() && self.clusters <= self.coefficients.len() as u64
    }

    /// The sum of the weights, times trials.
    #[must_use]
    pub fn total_weight(&self) -> f64 {
        self.weight
    }

    /// The weighted mean of the targets.
    #[must_use]
    pub fn mean_target(&self) -> f64 {
        self.mean_target
    }

    /// Newton steps taken.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The weighted sum of the cross-entropy.
    #[must_use]
    pub fn sum_loss(&self) -> f64 {
        self.sum_loss
    }

    /// The weighted mean of the cross-entropy, in nats.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        self.sum_loss / self.weight
    }

    /// The mean loss beyond its minimum, which is where every prediction is its target. Summed as such, not found by
    /// subtraction. Half the mean deviance.
    #[must_use]
    pub fn mean_excess(&self) -> f64 {
        self.measures[0] / self.weight
    }

    /// 1 - excess/(excess of the mean target): 1 where every prediction is right, 0 where the model is no better than
    /// the mean. None with an offset, or if all targets are equal.
    #[must_use]
    pub fn deviance_explained(&self) -> Option<f64> {
        let [excess, of_mean, ..] = self.measures;
        (!self.with_offset && of_mean > 0.0).then(|| 1.0 - excess / of_mean)
    }

    /// Sum of w (s - t)^2/(s (1 - s)).
    #[must_use]
    pub fn pearson(&self) -> f64 {
        self.measures[2]
    }

    /// Pearson's sum over n - p: 1 where the targets are draws of 0 and 1. None unless n > p.
    #[must_use]
    pub fn dispersion(&self) -> Option<f64> {
        let spare = self.observations() - self.coefficients.len() as f64;
        (spare > 0.0).then(|| self.pearson() / spare)
    }

    /// The weighted mean of (s - t)^2.
    #[must_use]
    pub fn brier_score(&self) -> f64 {
        self.measures[3] / self.weight
    }

    /// The weighted mean of s.
    #[must_use]
    pub fn mean_prediction(&self) -> f64 {
        self.measures[4] / self.weight
    }

    /// Whether a penalty was used: errors are then those of a biased estimate.
    #[must_use]
    pub fn is_penalised(&self) -> bool {
        self.penalised
    }
}
