//! [`Solver`]: what to ask of the rows next, and what follows from the answer.

use crate::data::WeightKind;
use crate::error::Error;
use crate::grid::{Grid, GridSums, GridWork};
use crate::model::{Fit, Model, Penalty};
use crate::pass::{
    Basis, LevelPlaces, Moments, Places, Point, Reported, State, Task, Work, power, scan,
};
use crate::penalty;
use crate::solve::{Bordered, Double, Factors, Singular, Symmetric};

/// Newton takes about 7 steps where there is an optimum, and one for each unit of the logit where it is far away.
const MOST_STEPS: usize = 1000;
/// The last step moves no logit by more than this; convergence being quadratic, the error that
/// is left is of the order of its square.
const LOGIT_TOLERANCE: f64 = 1e-8;
/// With Firth's correction each step leaves a share of the error.
const FIRTH_TOLERANCE: f64 = 1e-14;
/// Below it a step that is not half of the one before is noise.
const NOISE: f64 = 1e-5;
/// What the last step of rows of `f32` may leave of a logit, were every column at its bound.
const SINGLE_TOLERANCE: f64 = 1e-6;
/// `NOISE` of rows of `f32`.
const SINGLE_NOISE: f64 = 1e-3;
/// What a report may leave of a logit's error, since it has a Hessian of all rows, whose step leaves the square of that.
/// Errors and measures are right to this share.
const REPORT_TOLERANCE: f64 = 1e-9;
const FIRTH_NOISE: f64 = 1e-11;
/// Square of the sine of the angle between a column and the columns before it, below which it is taken to lie in
/// their span.
const COLLINEAR: f64 = 1e-22;
/// Steps that move a logit by more than `LONG` after `MANY` steps: the targets may be separated.
const MANY: usize = 8;
const LONG: f64 = 0.25;
/// A row moves if it moves by more than this share of the row that moves most.
const SEPARATION_NOISE: f64 = 1e-6;
/// From so many products of columns on, rows times columns squared, the linear head pays.
const MANY_PRODUCTS: u64 = 1 << 22;
/// Weights that differ by more are left to the exact sums.
const MOST_UNEVEN: f64 = 65536.0;
/// One row in so many is enough to come near, in logits; one in several for the Hessian that the rest of the way takes.
const FEW: u64 = 64;
const NEAR: f64 = 0.1;
const SEVERAL: u64 = 16;
/// Steps by the linear head, before the exact sums are asked whether the targets are separated.
const MOST_MANY: usize = 25;
/// A mean is large if it exceeds this many standard deviations.
const FAR: f64 = 4.0;
/// The least range of a column, 2^-400: the square of its inverse, times a variance, is within the range of f64. And the
/// least that the greatest weight may be: its square, times that of a residual, is.
const SMALLEST: f64 = 3.872_591_914_849_318e-121;
/// Bits of a center below the range of its column.
const CENTER_BITS: i32 = 6;

/// Fits a [`Model`] in passes over rows that may lie anywhere: files, threads, machines.
///
/// ```
/// use fractional_logit::{Data, Features, Model, Step};
/// let (x, t) = ([1.0, 2.0, 3.0, 4.0, 5.0], [0.2, 0.4, 0.3, 0.6, 0.9]);
/// let data = Data::new(Features::rows(&x, 5, 1)?, &t);
/// let mut solver = Model::new().solver(1)?;
/// let fit = loop {
///     // In two parts, which could be two machines.
///     let mut state = solver.task().evaluate(&data.part(2..5))?;
///     state.merge(&solver.task().evaluate(&data.part(0..2))?)?;
///     if let Step::Done(fit) = solver.step(&state)? {
///         break fit;
///     }
/// };
/// assert_eq!(fit.coefficients(), Model::new().fit(&data)?.coefficients());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Solver {
    model: Model,
    task: Task,
    scan: Option<Scanned>,
    steps: usize,
    /// The position that has been accepted.
    base: Position,
    /// The step from there, and how much of it is being tried.
    step: Vec<Double>,
    length: f64,
    /// How far the last whole step moved a logit.
    moved: f64,
    phase: Phase,
    report: Option<Box<Fit>>,
    indicators: Vec<usize>,
    /// The mean target of each level, and its share of the weight.
    level_means: Vec<f64>,
    level_shares: Vec<f64>,
    /// Of each column and level: what its penalty is multiplied by, if not 1.
    deviations: Vec<f64>,
    /// Waits for the deviations.
    grid: Option<Grid>,
    /// Where there are many rows.
    many: Option<Many>,
    /// The Hessian where Firth's gradient is asked for.
    hessian: Option<Symmetric>,
}

/// The state of a fit by the linear head: Newton, then steps by the last Hessian that learn from the gradients.
#[derive(Clone, Debug)]
struct Many {
    grid: Grid,
    /// What is being tried, rounded to what the rows' type holds.
    trial: Point,
    hessian: Symmetric,
    factors: Option<Factors>,
    gradient: Vec<Double>,
    /// Steps, and by how much they changed the gradient.
    pairs: Vec<(Vec<f64>, Vec<f64>)>,
    /// The share of all weight that the Hessian is of.
    share: f64,
    /// Passes over samples.
    tried: usize,
}

#[derive(Clone, Debug, Default)]
struct Position {
    point: Point,
    objective: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Scan,
    Center,
    Newton,
    /// By the linear head.
    Many,
    /// Firth's gradient, at a position whose Hessian is known.
    Firth,
    Report,
    Clusters,
    /// Whether the last step separates; the verdict if not.
    Direction {
        last: bool,
    },
}

/// What the first pass found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanned {
    pub(crate) rows: u64,
    pub(crate) used: u64,
    pub(crate) weight: f64,
    pub(crate) mean: f64,
    pub(crate) clustered: bool,
    pub(crate) with_offset: bool,
    pub(crate) far_offset: bool,
}

/// What is next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Another pass, for [`Solver::task`].
    Continue,
    /// There is the fit.
    Done(Box<Fit>),
}

impl Solver {
    pub(crate) fn new(model: &Model, columns: usize) -> Self {
        Self {
            model: model.clone(),
            task: Task {
                number: 0,
                columns,
                levels: model.levels,
                intercept: model.intercept,
                kind: model.weight_kind,
                weight: 0,
                work: Work::Scan,
                backend: model.backend,
            },
            scan: None,
            steps: 0,
            base: Position::default(),
            step: Vec::new(),
            length: 1.0,
            moved: f64::INFINITY,
            phase: Phase::Scan,
            report: None,
            hessian: None,
            indicators: Vec::new(),
            level_means: Vec::new(),
            level_shares: Vec::new(),
            deviations: Vec::new(),
            grid: None,
            many: None,
        }
    }

    /// The pass that is to be made over all rows.
    #[must_use]
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// How many Newton steps have been taken.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Takes the merged states of all rows.
    ///
    /// # Errors
    /// Where there is no fit, see [`Error`]; [`Error::Malformed`] if the state belongs to another task.
    pub fn step(&mut self, state: &State) -> Result<Step, Error> {
        if !state.belongs_to(&self.task) {
            return Err(Error::Malformed {
                reason: "the state belongs to another task",
            });
        }
        match self.phase {
            Phase::Scan => self.scanned(state)?,
            Phase::Center => self.centered(state)?,
            Phase::Newton => self.moved_to(state)?,
            Phase::Many => {
                if let Some(fit) = self.moved_many(state)? {
                    return Ok(Step::Done(fit));
                }
            }
            Phase::Firth => self.corrected(state)?,
            Phase::Direction { last } => self.judged(state, last)?,
            Phase::Report => {
                let fit = self.reported(state)?;
                if !self.scan.is_some_and(|scan| scan.clustered) {
                    return Ok(Step::Done(fit));
                }
                let scores = &state.maxima[1..=self.task.width()];
                self.ask_for_clusters(scores.iter().map(|x| ceiling(*x)).collect());
                self.report = Some(fit);
            }
            Phase::Clusters => {
                let clusters = state.clusters.len() as u64;
                if clusters < 2 {
                    return Err(Error::TooFewClusters { clusters });
                }
                let mut fit = self.report.take().unwrap_or_default();
                if let Work::Clusters { exponents, .. } = &self.task.work {
                    fit.take_clusters(state, exponents);
                }
                return Ok(Step::Done(fit));
            }
        }
        if self.phase == Phase::Report && self.model.of_path.is_some() {
            return Ok(Step::Done(Box::new(self.without_errors())));
        }
        self.task.number += 1;
        Ok(Step::Continue)
    }

    fn scanned(&mut self, state: &State) -> Result<(), Error> {
        let used = state.counts[scan::USED];
        let needed = (self.task.parameters() as u64).max(1);
        let penalised = self.model.penalty != Penalty::None;
        if used == 0 || (used < needed && !penalised) {
            return Err(Error::TooFewRows { rows: used, needed });
        }
        let greatest = state.maxima[scan::GREATEST];
        if greatest < SMALLEST {
            return Err(Error::WeightsTooSmall { greatest });
        }
        let clustered = state.counts[scan::CLUSTERED];
        if clustered != 0 && clustered != used {
            return Err(Error::InvalidOption {
                reason: "some parts of the data have clusters, and others not",
            });
        }
        if clustered != 0 && self.task.levels > 0 {
            return Err(Error::InvalidOption {
                reason: "levels and clusters exclude each other: give the levels columns of their own",
            });
        }
        let unbounded = self.model.penalty != Penalty::Firth && self.model.intercept;
        for (count, target) in [(scan::ABOVE_0, 0.0), (scan::BELOW_1, 1.0)] {
            if state.counts[count] == 0 && unbounded {
                return Err(Error::OneClass { target });
            }
        }
        let sum = |of| Double::of_sum(&state.sums[of]);
        self.scan = Some(Scanned {
            rows: state.counts[scan::ROWS],
            used,
            weight: sum(scan::WEIGHT).to_f64(),
            mean: (sum(scan::WEIGHTED_TARGET) / sum(scan::WEIGHT)).to_f64(),
            clustered: clustered != 0,
            with_offset: state.counts[scan::WITH_OFFSET] != 0,
            far_offset: state.counts[scan::FAR_OFFSET] != 0,
        });
        self.task.weight = ceiling(state.maxima[scan::GREATEST].max(f64::MIN_POSITIVE));
        self.scan_levels(state)?;
        match self.grid_of(state) {
            Some(grid) if !self.is_standardized() => self.start_many(grid),
            grid => {
                self.ask_for_centers();
                self.grid = grid;
            }
        }
        Ok(())
    }

    /// Refuses levels that have no coefficient.
    fn scan_levels(&mut self, state: &State) -> Result<(), Error> {
        let of_rows = self.scanned_rows();
        for level in 0..self.task.levels {
            let counts = scan::COUNTS + level as usize * scan::LEVEL_COUNTS;
            let [rows, above, below] = [0, 1, 2].map(|of| state.counts[counts + of]);
            if level == 0 && !self.model.intercept {
                self.level_means.push(0.5);
                self.level_shares.push(0.0);
                continue;
            }
            if rows == 0 {
                return Err(Error::EmptyLevel { level });
            }
            for (count, target) in [(above, 0.0), (below, 1.0)] {
                if count == 0 && self.model.penalty == Penalty::None {
                    return Err(Error::LevelSeparated {
                        level,
                        target,
                        rows,
                    });
                }
            }
            let sums = scan::SUMS + level as usize * scan::LEVEL_SUMS;
            let [weight, targets] = [0, 1].map(|of| state.sums[sums + of].to_f64());
            self.level_shares.push(weight / of_rows.weight);
            // With one row more, of the mean and of the level's weights: the start of a few rows is not extreme, and
            // that of tiny weights is near its end.
            let average = weight / rows as f64;
            let mean = (targets + average * of_rows.mean) / (weight + average);
            self.level_means.push(mean);
        }
        Ok(())
    }

    fn is_standardized(&self) -> bool {
        let penalised = matches!(
            self.model.penalty,
            Penalty::Ridge(_) | Penalty::ElasticNet { .. }
        );
        self.model.standardize && penalised
    }

    fn ask_for_centers(&mut self) {
        self.many = None;
        self.task.work = Work::Center {
            exact: self.is_standardized(),
        };
        self.phase = Phase::Center;
    }

    /// Bounds for the linear head, if there are many rows and it takes them.
    fn grid_of(&self, state: &State) -> Option<Grid> {
        let (used, width) = (state.counts[scan::USED], self.task.width() as u64);
        let (greatest, least) = (state.maxima[scan::GREATEST], -state.maxima[scan::LEAST]);
        let rows = state.counts[scan::ROWS];
        let single = state.counts[scan::SINGLE];
        let is_even = greatest <= least * MOST_UNEVEN;
        let taken = state.counts[scan::AWKWARD] == 0 && (single == 0 || single == rows);
        if used.saturating_mul(width * width) < MANY_PRODUCTS || !is_even || !taken {
            return None;
        }
        if self.model.penalty == Penalty::Firth || self.task.levels > 0 {
            return None;
        }
        let grid = Grid {
            exponents: state.maxima[scan::EXPONENTS..]
                .iter()
                .map(|of| *of as i32)
                .collect(),
            weight: ceiling(greatest),
            single: single != 0,
        };
        let within = |exponent: &i32| (-400..=400).contains(exponent);
        (grid.exponents.iter().all(within) && (-100..=100).contains(&grid.weight)).then_some(grid)
    }

    fn start_many(&mut self, grid: Grid) {
        self.base.point = Point {
            basis: Basis {
                centers: vec![0.0; self.task.columns],
                powers: grid.exponents.iter().map(|of| power(-of)).collect(),
            },
            coefficients: Vec::new(),
        };
        self.base.point.coefficients = self.start();
        self.base.objective = f64::INFINITY;
        self.phase = Phase::Many;
        let enough = self.scanned_rows().used >= 1 << 16;
        self.many = Some(Many {
            grid,
            trial: self.base.point.clone(),
            hessian: Symmetric::default(),
            factors: None,
            gradient: Vec::new(),
            pairs: Vec::new(),
            share: 1.0,
            tried: 0,
        });
        self.step = vec![Double::ZERO; self.task.width()];
        let samples = self.model.penalty == Penalty::None && enough;
        self.try_many(if samples {
            GridSums::Sample { one_in: FEW }
        } else {
            GridSums::Hessian
        });
    }

    /// Asks for sums at the base plus the step times its length.
    fn try_many(&mut self, sums: GridSums) {
        let Some(many) = &mut self.many else {
            return;
        };
        let mut trial = self.base.point.clone();
        let constant = usize::from(self.model.intercept);
        let length = Double::new(self.length);
        let mut coefficients = Vec::new();
        for (index, coefficient) in trial.coefficients.iter_mut().enumerate() {
            let power = match index.checked_sub(constant) {
                Some(column) => trial.basis.powers[column],
                None => 1.0,
            };
            let to = (*coefficient + self.step[index] * length).to_f64() * power;
            let to = if many.grid.single {
                f64::from(to as f32)
            } else {
                to
            };
            coefficients.push(to);
            *coefficient = Double::new(to / power);
        }
        many.trial = trial;
        self.task.work = Work::Grid(GridWork {
            grid: many.grid.clone(),
            coefficients,
            sums,
        });
    }

    /// From a sample to all rows: from where it led, with its Hessian; or from 0 with one of all rows.
    fn leave_sample(&mut self, from_zero: bool) {
        self.length = 1.0;
        self.moved = f64::INFINITY;
        self.base.objective = f64::INFINITY;
        if from_zero {
            self.base.point.coefficients.fill(Double::ZERO);
            self.step.fill(Double::ZERO);
            self.try_many(GridSums::Hessian);
        } else {
            self.try_many(GridSums::Gradient);
        }
    }

    fn moved_many(&mut self, state: &State) -> Result<Option<Box<Fit>>, Error> {
        let places = self.task.places();
        let (Work::Grid(work), Some(many)) = (&self.task.work, &self.many) else {
            return Err(Error::Malformed {
                reason: "a step of another task",
            });
        };
        let (asked, trial, weight) = (work.sums, many.trial.clone(), many.grid.weight);
        let exact = State {
            sums: work.as_exact(places, state),
            ..state.clone()
        };
        if let GridSums::Report { .. } = asked {
            if !many.grid.single && self.is_smooth() {
                self.base.point = trial;
                self.take_last_step(&exact, places)?;
            }
            let fit = self.reported(&exact)?;
            if !self.scanned_rows().clustered {
                return Ok(Some(fit));
            }
            let exponents = vec![weight; places.width];
            self.ask_for_clusters(exponents);
            self.report = Some(fit);
            return Ok(None);
        }
        let objective = exact.sums[Places::LOSS].to_f64() + self.penalty_at(&trial);
        let falls = objective <= self.base.objective + 1e-12 * self.base.objective.abs();
        let is_sample = matches!(asked, GridSums::Sample { .. });
        // Rounded logits hide what a short step gains.
        let noise = if many.grid.single {
            SINGLE_NOISE
        } else {
            NOISE
        };
        if !falls && self.length > 1e-3 && (is_sample || self.moved > noise) {
            self.length *= 0.5;
            self.try_many(asked);
            return Ok(None);
        }
        let change: Vec<f64> = trial
            .coefficients
            .iter()
            .zip(&self.base.point.coefficients)
            .map(|(to, from)| (*to - *from).to_f64())
            .collect();
        let whole = self.length == 1.0;
        self.base = Position {
            point: trial,
            objective,
        };
        self.length = 1.0;
        if asked != GridSums::Gradient {
            let hessian = self.penalised_hessian(&exact, places, &self.base.point);
            let factors = Factors::new(&hessian.inner, 0.0).ok();
            let share = match asked {
                GridSums::Sample { .. } => state.sums[1].to_f64() / self.scanned_rows().weight,
                _ => 1.0,
            };
            let enough = factors.as_ref().is_some_and(|factors| {
                let rows = self.scanned_rows().used;
                let many = self.many.as_ref();
                many.is_some_and(|many| many.grid.suffices(rows, factors.least_pivot() / share))
            });
            let few = is_sample && state.counts[0] < 20 * places.width as u64;
            if !enough || few || self.steps > MOST_MANY {
                if is_sample {
                    self.leave_sample(true);
                } else {
                    // Too rough a grid, a singular Hessian, or separation: the exact sums tell.
                    self.steps = 0;
                    self.moved = f64::INFINITY;
                    self.ask_for_centers();
                }
                return Ok(None);
            }
            if let Some(many) = &mut self.many {
                many.hessian = hessian.inner;
                many.factors = factors;
                many.share = share;
                many.pairs.clear();
            }
        }
        let gradient = self.penalised_gradient(&exact);
        let lasso = self.lasso_weights();
        let is_smooth = self.is_smooth();
        let reports = self.model.errors && self.model.of_path.is_none();
        let Some(many) = &mut self.many else {
            return Err(self.no_convergence());
        };
        if asked == GridSums::Gradient && !many.gradient.is_empty() {
            let by = gradient.iter().zip(&many.gradient);
            let by: Vec<f64> = by.map(|(to, from)| (*to - *from).to_f64()).collect();
            many.pairs.push((change, by));
        }
        let step = if is_smooth {
            many.direction(&gradient, is_sample)
        } else {
            penalty::step(&many.hessian, &gradient, &self.base.point, &lasso)?
        };
        many.gradient = if is_sample { Vec::new() } else { gradient };
        let single = many.grid.single;
        many.tried += usize::from(is_sample);
        let tried = many.tried;
        self.step = step;
        let moves: f64 = self.step.iter().map(|x| x.abs().to_f64()).sum();
        let before = std::mem::replace(&mut self.moved, moves);
        if is_sample {
            if tried > MOST_MANY {
                self.leave_sample(true);
            } else if asked == (GridSums::Sample { one_in: SEVERAL }) {
                self.leave_sample(false);
            } else if moves < NEAR {
                // Another sample, so another objective.
                self.base.objective = f64::INFINITY;
                self.try_many(GridSums::Sample { one_in: SEVERAL });
            } else {
                self.try_many(asked);
            }
            return Ok(None);
        }
        self.steps += 1;
        // Each step is this share of the one before; so is what it leaves.
        let share = if asked == GridSums::Gradient && before.is_finite() {
            moves / before
        } else {
            0.25
        };
        let left = moves * share.min(0.25);
        let (tolerance, noise) = if single {
            (SINGLE_TOLERANCE, SINGLE_NOISE)
        } else if reports && is_smooth {
            (self.model.tolerance.max(REPORT_TOLERANCE), 1e-8)
        } else {
            (self.model.tolerance, 1e-8)
        };
        if left <= tolerance || (moves <= noise && moves >= 0.5 * before) {
            let steps = self.base.point.coefficients.iter_mut().zip(&self.step);
            steps.for_each(|(coefficient, change)| *coefficient = *coefficient + *change);
            if !reports {
                return Ok(Some(Box::new(self.without_errors())));
            }
            self.step.fill(Double::ZERO);
            let of_mean = self.logit_of_mean();
            // At the base as the rows' type holds it; the base itself stays as it is.
            self.try_many(GridSums::Report { of_mean });
        } else if asked == GridSums::Gradient && !(moves <= 0.25 * before && whole) {
            self.try_many(GridSums::Hessian);
        } else {
            self.try_many(GridSums::Gradient);
        }
        Ok(None)
    }

    fn without_errors(&self) -> Fit {
        let mut fit = Fit::without_errors(
            &self.model,
            self.scanned_rows(),
            self.steps,
            &self.base.point,
        );
        fit.deviations.clone_from(&self.deviations);
        fit
    }

    fn centered(&mut self, state: &State) -> Result<(), Error> {
        let scan = self.scanned_rows();
        if self.is_standardized() {
            let weight = Double::new(scan.weight);
            let sums = state.sums.chunks_exact(2);
            let of_columns = sums.map(|sums| {
                let [mean, square] = [0, 1].map(|of| Double::of_sum(&sums[of]) / weight);
                (square - mean * mean).high.max(0.0).sqrt()
            });
            let shares = self.level_shares.iter().skip(1);
            let of_levels = shares.map(|share| (share * (1.0 - share)).sqrt());
            self.deviations = of_columns.chain(of_levels).collect();
            if let Some(grid) = self.grid.take() {
                self.start_many(grid);
                return Ok(());
            }
        }
        let mut basis = Basis::default();
        self.indicators = (0..self.task.columns)
            .filter(|column| state.counts[*column] == 0)
            .collect();
        for column in 0..self.task.columns {
            let mean = state.sums[2 * column].to_f64() / scan.weight;
            let square = state.sums[2 * column + 1].to_f64() / scan.weight;
            let (largest, least) = (state.maxima[2 * column], -state.maxima[2 * column + 1]);
            let center = if self.model.intercept {
                center(mean, square, least, largest)
            } else {
                0.0
            };
            let range = (largest - center).abs().max((least - center).abs());
            if range > 0.0 && range < SMALLEST {
                return Err(Error::TooSmall { column, range });
            }
            basis.centers.push(center);
            basis.powers.push(power(-ceiling(range)));
        }
        self.base.point.basis = basis;
        self.base.point.coefficients = self.start();
        self.base.objective = f64::INFINITY;
        self.step = vec![Double::ZERO; self.task.parameters()];
        self.phase = Phase::Newton;
        self.task.work = Work::Moments(Moments {
            at: self.base.point.clone(),
            ..Moments::default()
        });
        Ok(())
    }

    /// 0, or the logits of the levels' means.
    fn start(&self) -> Vec<Double> {
        let mut coefficients = vec![Double::ZERO; self.task.parameters()];
        if let Some(of_path) = self.model.of_path.as_ref().filter(|of| !of.is_empty()) {
            let basis = &self.base.point.basis;
            let constant = usize::from(self.model.intercept);
            for (index, (to, from)) in coefficients.iter_mut().zip(of_path).enumerate() {
                let power = index
                    .checked_sub(constant)
                    .map_or(1.0, |of| basis.powers[of]);
                *to = Double::new(from / power);
            }
            for (from, center) in of_path[constant..].iter().zip(&basis.centers) {
                coefficients[0] = coefficients[0] + Double::product(*from, *center);
            }
            return coefficients;
        }
        if self.level_means.is_empty() || self.scanned_rows().with_offset {
            return coefficients;
        }
        let mut logits = vec![0.0; self.level_means.len()];
        // Of means in (0, 1), so there is no error.
        let _ = soft_bce::logit(&self.level_means, &mut logits);
        let constant = Double::new(logits[0]);
        let (inner, of_levels) = coefficients.split_at_mut(self.task.width());
        if self.model.intercept {
            inner[0] = constant;
        }
        for (coefficient, logit) in of_levels.iter_mut().zip(&logits[1..]) {
            *coefficient = Double::new(*logit) - constant;
        }
        coefficients
    }

    /// The sums at the position that is being tried.
    fn moved_to(&mut self, state: &State) -> Result<(), Error> {
        let places = self.task.places();
        let Work::Moments(Moments { at, .. }) = &self.task.work else {
            return Err(Error::Malformed {
                reason: "a step of another task",
            });
        };
        let at = at.clone();
        let hessian = self.penalised_hessian(state, places, &at);
        let first = self.steps == 0;
        let factors = hessian.clone().factors(if first { COLLINEAR } else { 0.0 });
        let mut objective = state.sums[Places::LOSS].to_f64() + self.penalty_at(&at);
        if let (Penalty::Firth, Ok(factors)) = (self.model.penalty, &factors) {
            objective -= 0.5 * factors.factors.log_determinant();
        }
        let moved = state.maxima[0];

        // Halve a step that overshoots. The loss is convex, so some length succeeds; at the optimum rounding decides,
        // and the full step is as good as any.
        let slack = 1e-12 * self.base.objective.abs();
        let (tolerance, noise) = self.tolerances();
        let short = self.length < 1e-6 || moved <= NOISE;
        let falls = objective <= self.base.objective + slack;
        if !falls && !short {
            self.length *= 0.5;
            self.try_step();
            return Ok(());
        }
        let stalled = moved <= noise && self.length == 1.0 && moved >= 0.5 * self.moved;
        self.moved = if self.length == 1.0 {
            moved
        } else {
            f64::INFINITY
        };
        self.base = Position {
            point: at,
            objective,
        };
        if !first && (stalled || moved <= tolerance) {
            self.ask_for_report();
            return Ok(());
        }
        let factors = match factors {
            Ok(factors) => factors,
            Err(singular) if first => {
                let row = singular.row;
                let of_constant = row == 0 && self.model.intercept;
                // A column of zeros has no gradient.
                let is_flat = hessian.inner.get(row, row).high == 0.0
                    && (of_constant || self.penalised_gradient(state)[row].high != 0.0);
                // Rows that are flat at the start hide what tells columns apart.
                return Err(if is_flat || self.scanned_rows().far_offset {
                    Error::OutOfRange
                } else if of_constant {
                    // The first level, which it stands for, weighs next to nothing.
                    Error::NoConvergence {
                        steps: 0,
                        column: None,
                    }
                } else {
                    self.collinear(&singular)
                });
            }
            Err(_) => {
                self.ask_for_direction(true);
                return Ok(());
            }
        };
        if self.steps >= MOST_STEPS {
            return Err(self.no_convergence());
        }
        if self.model.penalty == Penalty::Firth {
            let rows = factors.factors.inverse().rows();
            self.task.work = Work::Moments(Moments {
                at: self.base.point.clone(),
                leverage: rows.iter().flatten().map(|x| x.to_f64()).collect(),
                ..Moments::default()
            });
            self.hessian = Some(hessian.inner);
            self.phase = Phase::Firth;
            return Ok(());
        }
        let gradient = self.penalised_gradient(state);
        let step = match self.model.penalty {
            Penalty::ElasticNet { .. } => penalty::step(
                &hessian.inner,
                &gradient,
                &self.base.point,
                &self.lasso_weights(),
            )?,
            _ => factors.solve(&gradient).into_iter().map(|x| -x).collect(),
        };
        self.take(step)
    }

    /// Firth's gradient.
    fn corrected(&mut self, state: &State) -> Result<(), Error> {
        let gradient = self.penalised_gradient(state);
        let hessian = self.hessian.take().unwrap_or_default();
        let Ok(factors) = Factors::new(&hessian, 0.0) else {
            return Err(self.no_convergence());
        };
        let mut step: Vec<_> = factors.solve(&gradient).into_iter().map(|x| -x).collect();
        // The Hessian is not that of the penalised loss: long steps overshoot.
        let longest: f64 = step.iter().map(|x| x.abs().to_f64()).sum();
        if longest > 5.0 {
            step.iter_mut()
                .for_each(|x| *x = *x * Double::new(5.0 / longest));
        }
        self.take(step)
    }

    fn take(&mut self, step: Vec<Double>) -> Result<(), Error> {
        self.step = step;
        self.steps += 1;
        self.length = 1.0;
        let unbounded = self.model.penalty == Penalty::None;
        if unbounded && self.steps >= MANY && self.steps.is_multiple_of(4) && self.moved > LONG {
            self.ask_for_direction(false);
        } else {
            self.try_step();
        }
        Ok(())
    }

    fn try_step(&mut self) {
        let mut at = self.base.point.clone();
        let length = Double::new(self.length);
        let mut step = Vec::new();
        for (coefficient, change) in at.coefficients.iter_mut().zip(&self.step) {
            let change = *change * length;
            *coefficient = *coefficient + change;
            step.push(change.to_f64());
        }
        // A row is of one level.
        let (inner, of_levels) = step.split_at(self.task.width());
        let most_of_levels = of_levels.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let most = inner.iter().map(|x| x.abs()).sum::<f64>() + most_of_levels;
        self.phase = Phase::Newton;
        if most <= self.tolerances().0 && self.length == 1.0 {
            // No column exceeds 1: nor does any logit's move exceed this.
            self.base.point = at;
            self.ask_for_report();
            return;
        }
        self.task.work = Work::Moments(Moments {
            at,
            step,
            ..Moments::default()
        });
    }

    /// Of the last step, and of steps that have to halve.
    fn tolerances(&self) -> (f64, f64) {
        match self.model.penalty {
            Penalty::Firth => (FIRTH_TOLERANCE, FIRTH_NOISE),
            _ => (LOGIT_TOLERANCE, NOISE),
        }
    }

    fn ask_for_direction(&mut self, last: bool) {
        let longest: f64 = self
            .step
            .iter()
            .map(|x| x.abs().to_f64())
            .fold(0.0, f64::max);
        self.task.work = Work::Direction {
            basis: self.base.point.basis.clone(),
            direction: self.step.iter().map(|x| x.to_f64()).collect(),
            noise: SEPARATION_NOISE * longest,
        };
        self.phase = Phase::Direction { last };
    }

    fn judged(&mut self, state: &State, last: bool) -> Result<(), Error> {
        let (moved, against) = (state.counts[0], state.counts[1]);
        if moved > 0 && against == 0 {
            let changes: Vec<f64> = self.step.iter().map(|x| x.abs().to_f64()).collect();
            let longest = changes.iter().copied().fold(0.0, f64::max);
            let constant = usize::from(self.model.intercept);
            let mut columns: Vec<usize> = (0..self.task.columns + self.task.level_columns())
                .filter(|column| changes[constant + column] > SEPARATION_NOISE * longest)
                .collect();
            columns.sort_by(|&a, &b| changes[constant + b].total_cmp(&changes[constant + a]));
            return Err(Error::Separation {
                columns,
                rows: moved,
                first_row: state.first_row,
            });
        }
        if last {
            return Err(self.no_convergence());
        }
        self.try_step();
        Ok(())
    }

    fn no_convergence(&self) -> Error {
        let constant = usize::from(self.model.intercept);
        let most = (0..self.step.len())
            .max_by(|&a, &b| self.step[a].abs().high.total_cmp(&self.step[b].abs().high));
        Error::NoConvergence {
            steps: self.steps,
            column: most.and_then(|most| most.checked_sub(constant)),
        }
    }

    fn collinear(&self, singular: &Singular) -> Error {
        let basis = &self.base.point.basis;
        let constant = usize::from(self.model.intercept);
        let column = singular.row.saturating_sub(constant);
        let (center, power) = (basis.centers[column], basis.powers[column]);
        let mut of_constant = center;
        let mut combination = Vec::new();
        for (row, share) in singular.shares.iter().enumerate() {
            let share = share / power;
            match row.checked_sub(constant) {
                None => of_constant += share,
                Some(other) => {
                    let share = share * basis.powers[other];
                    of_constant -= share * basis.centers[other];
                    if (share * power / basis.powers[other]).abs() > 1e-9 {
                        combination.push((other, share));
                    }
                }
            }
        }
        for (level, share) in singular.of_levels.iter().enumerate() {
            if share.abs() > 1e-9 {
                combination.push((self.task.columns + level, share / power));
            }
        }
        if (of_constant * power).abs() <= 1e-9 || !self.model.intercept {
            of_constant = 0.0;
        }
        Error::Collinear {
            column,
            constant: of_constant,
            combination,
        }
    }

    fn logit_of_mean(&self) -> f64 {
        let mut logit = [0.0];
        // In [0, 1], so there is no error.
        let _ = soft_bce::logit(&[self.scanned_rows().mean], &mut logit);
        logit[0]
    }

    fn ask_for_report(&mut self) {
        let of_mean = self.logit_of_mean();
        self.task.work = Work::Moments(Moments {
            at: self.base.point.clone(),
            report: Some(Reported {
                of_mean,
                indicators: self.indicators.clone(),
            }),
            ..Moments::default()
        });
        self.phase = Phase::Report;
    }

    /// The step of the Hessian of all rows at the base.
    fn take_last_step(&mut self, state: &State, places: Places) -> Result<(), Error> {
        let hessian = self.penalised_hessian(state, places, &self.base.point);
        let factors = hessian.factors(0.0).map_err(|_| self.no_convergence())?;
        let step = factors.solve(&self.penalised_gradient(state));
        let coefficients = self.base.point.coefficients.iter_mut();
        for (coefficient, change) in coefficients.zip(step) {
            *coefficient = *coefficient - change;
        }
        Ok(())
    }

    /// Whether the loss has derivatives everywhere.
    fn is_smooth(&self) -> bool {
        !matches!(self.model.penalty, Penalty::ElasticNet { .. })
    }

    fn reported(&mut self, state: &State) -> Result<Box<Fit>, Error> {
        let places = self.task.places();
        let at = &self.base.point;
        let hessian = self.penalised_hessian(state, places, at);
        let factors = hessian.factors(0.0).map_err(|_| self.no_convergence())?;
        let meat = Bordered {
            inner: triangle(state, places.meat(), places.width),
            ..self.border(state, self.task.meat_exponent(), |of| of.meat)
        };
        Ok(Box::new(Fit::new(
            &self.model,
            self.scanned_rows(),
            self.steps,
            at,
            factors,
            &meat,
            state,
            places,
            self.report(),
            self.task.weight,
        )))
    }

    /// Scores of a column are at most 2^exponent.
    fn ask_for_clusters(&mut self, exponents: Vec<i32>) {
        self.task.work = Work::Clusters {
            at: self.base.point.clone(),
            exponents,
        };
        self.phase = Phase::Clusters;
    }

    fn scanned_rows(&self) -> Scanned {
        self.scan.unwrap_or(Scanned {
            rows: 0,
            used: 0,
            weight: 0.0,
            mean: 0.5,
            clustered: false,
            with_offset: false,
            far_offset: false,
        })
    }

    /// What the penalised coefficient is of that by the basis.
    fn penalty_scale(&self, basis: &Basis, column: usize) -> f64 {
        let power = basis.powers.get(column).copied().unwrap_or(1.0);
        power * self.deviations.get(column).copied().unwrap_or(1.0)
    }

    /// The penalty of half the square of each coefficient by the basis, beside the sum of the losses.
    fn ridge_weights(&self, at: &Point) -> Vec<f64> {
        let constant = usize::from(self.model.intercept);
        let mut weights = vec![0.0; self.task.parameters()];
        let ridge = match self.model.penalty {
            Penalty::Ridge(ridge) => ridge,
            Penalty::ElasticNet {
                lambda,
                lasso_share,
            } => lambda * (1.0 - lasso_share),
            Penalty::None | Penalty::Firth => 0.0,
        };
        for (column, weight) in weights[constant..].iter_mut().enumerate() {
            let scale = self.penalty_scale(&at.basis, column);
            *weight = ridge * self.scanned_rows().weight * scale * scale;
        }
        weights
    }

    /// The same of the absolute value.
    fn lasso_weights(&self) -> Vec<f64> {
        let constant = usize::from(self.model.intercept);
        let mut weights = vec![0.0; self.task.parameters()];
        if let Penalty::ElasticNet {
            lambda,
            lasso_share,
        } = self.model.penalty
        {
            let basis = &self.base.point.basis;
            for (column, weight) in weights[constant..].iter_mut().enumerate() {
                let scale = self.penalty_scale(basis, column);
                *weight = lambda * lasso_share * self.scanned_rows().weight * scale;
            }
        }
        weights
    }

    fn penalised_hessian(&self, state: &State, places: Places, at: &Point) -> Bordered {
        let mut hessian = Bordered {
            inner: triangle(state, places.hessian(), places.width),
            ..self.border(state, self.task.weight, |of| of.hessian)
        };
        for (index, weight) in self.ridge_weights(at).into_iter().enumerate() {
            match index.checked_sub(places.width) {
                None => hessian.inner.add(index, index, Double::new(weight)),
                Some(level) => {
                    let element = &mut hessian.diagonal[level];
                    *element = *element + Double::new(weight);
                }
            }
        }
        hessian
    }

    /// What the pass has been asked to report.
    fn report(&self) -> Option<&Reported> {
        match &self.task.work {
            Work::Moments(moments) => moments.report.as_ref(),
            _ => None,
        }
    }

    /// What belongs to the levels of a matrix, whose sums start where `start` says.
    fn border(
        &self,
        state: &State,
        exponent: i32,
        start: impl Fn(LevelPlaces) -> usize,
    ) -> Bordered {
        let (places, report) = (self.task.places(), self.report());
        let first = places.first_level(report);
        let sum = |place| state.of_level(first, place, exponent);
        let mut border = Bordered::default();
        for level in 0..places.levels {
            let start = start(places.level(report.is_some(), level));
            let diagonal = sum(start);
            // The constant is 1 in every row.
            let constant = self.model.intercept.then_some(diagonal);
            let of_columns = (start + 1..=start + places.columns).map(sum);
            border
                .cross
                .push(constant.into_iter().chain(of_columns).collect());
            border.diagonal.push(diagonal);
        }
        border
    }

    fn penalised_gradient(&self, state: &State) -> Vec<Double> {
        let at = &self.base.point;
        let weights = self.ridge_weights(at);
        let places = self.task.places();
        (0..self.task.parameters())
            .map(|index| {
                let sum = match index.checked_sub(places.width) {
                    None => Double::of_sum(&state.sums[Places::GRADIENT + index]),
                    Some(level) => {
                        let place = places.level(false, level).gradient;
                        state.of_level(places.first_level(None), place, self.task.weight)
                    }
                };
                sum + Double::new(weights[index]) * at.coefficients[index]
            })
            .collect()
    }

    fn penalty_at(&self, at: &Point) -> f64 {
        let ridge = self.ridge_weights(at).into_iter();
        let weights = ridge.zip(self.lasso_weights());
        weights
            .zip(&at.coefficients)
            .map(|((ridge, lasso), x)| 0.5 * ridge * x.high * x.high + lasso * x.high.abs())
            .sum()
    }
}

fn triangle(state: &State, start: usize, width: usize) -> Symmetric {
    let sums = &state.sums[start..start + width * (width + 1) / 2];
    Symmetric::from_lower(width, sums.iter().map(Double::of_sum).collect())
}

impl Many {
    /// Less the inverse Hessian times the gradient: the last Hessian's, corrected by what steps have told since
    /// (J. Nocedal, *Updating quasi-Newton matrices with limited storage*, Math. Comp. 35, 1980).
    fn direction(&self, gradient: &[Double], of_sample: bool) -> Vec<Double> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut rest: Vec<f64> = gradient.iter().map(|x| x.to_f64()).collect();
        let mut shares = Vec::new();
        for (step, change) in self.pairs.iter().rev() {
            let share = dot(step, &rest) / dot(step, change);
            // A pair of noise tells nothing.
            let share = if dot(step, change) > 0.0 { share } else { 0.0 };
            rest.iter_mut()
                .zip(change)
                .for_each(|(x, y)| *x -= share * y);
            shares.push(share);
        }
        let wide: Vec<Double> = rest.iter().map(|x| Double::new(*x)).collect();
        let solved = self
            .factors
            .as_ref()
            .map_or(wide.clone(), |factors| factors.solve(&wide));
        // The Hessian of a sample, for the gradient of all.
        let share = if of_sample { 1.0 } else { self.share };
        let mut direction: Vec<f64> = solved.iter().map(|x| x.to_f64() * share).collect();
        for ((step, change), share) in self.pairs.iter().zip(shares.iter().rev()) {
            if *share == 0.0 {
                continue;
            }
            let back = dot(change, &direction) / dot(step, change);
            direction
                .iter_mut()
                .zip(step)
                .for_each(|(x, y)| *x += (share - back) * y);
        }
        direction.into_iter().map(|x| Double::new(-x)).collect()
    }
}

/// The least e with |x| <= 2^e.
fn ceiling(x: f64) -> i32 {
    let bits = x.abs().to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    (exponent + i32::from(bits << 12 != 0)).clamp(-1022, 1023)
}

/// 0, or near the mean where that is many standard deviations from 0. Of few bits, so that x - center is exact
/// wherever that is possible: rows that are equal stay equal, and what distinguishes others keeps all its digits.
fn center(mean: f64, square: f64, least: f64, largest: f64) -> f64 {
    let variance = square - mean * mean;
    let is_far = mean * mean > FAR * FAR * variance;
    if !is_far || mean == 0.0 || least == largest {
        return 0.0;
    }
    let magnitude = ceiling(least.abs().max(largest.abs()));
    let unit = power((ceiling(largest - least) - CENTER_BITS).max(magnitude - 52));
    (mean / unit).round() * unit
}

/// Whether a kind of weight is a number of rows.
pub(crate) fn counts_rows(kind: WeightKind) -> bool {
    kind == WeightKind::Frequency
}
