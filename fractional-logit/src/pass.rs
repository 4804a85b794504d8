//! [`Task`], [`State`]: a pass over the rows, in parts that may lie anywhere.
//!
//! Sums are exact, maxima and counts have no order: a state is a function of the set of rows that went into it, not of
//! their order, of the parts, or of who merged them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use soft_bce::linear::{ColumnScale, ColumnSum};
use soft_bce::{Backend, Bce, LossSum, Real, linear};

use crate::data::{Data, Value, WeightKind};
use crate::error::{Error, OF_A_SIZE, Place};
use crate::grid::GridWork;
use crate::solve::{Double, two_product, two_sum, with_fma};

/// Rows that are widened at a time.
const BLOCK: usize = 256;
const STATE_MAGIC: &[u8] = b"FLST\x01";
/// Sums of levels are multiples of the largest weight times 2^-LEVEL_BITS; 2^36 rows have room.
const LEVEL_BITS: i32 = 90;
/// Scores of clusters are multiples of the largest of their column times 2^-SCORE_BITS; 2^36 rows have room.
const SCORE_BITS: i32 = 90;

/// What to make of the rows: the same for every part. Made by a [`Solver`](crate::Solver), sent to whoever has rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Passes before this one.
    pub(crate) number: u32,
    pub(crate) columns: usize,
    /// Of the category whose columns take no memory; 0 without one.
    pub(crate) levels: u32,
    pub(crate) intercept: bool,
    pub(crate) kind: WeightKind,
    /// No weight exceeds 2 to this power.
    pub(crate) weight: i32,
    pub(crate) work: Work,
    /// Where vector code runs; the bits do not depend on it, and other machines choose for themselves.
    #[serde(skip)]
    pub(crate) backend: Option<Backend>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Checks the rows, and tells how many and how large they are.
    Scan,
    /// Means, spreads and ranges of the columns; the sums exact, or of rounded products.
    Center { exact: bool },
    /// Sums at a point, and how far the last step moved the logits.
    Moments(Moments),
    /// The same for many rows.
    Grid(GridWork),
    /// The scores of each cluster, below 2^exponent in each column.
    Clusters { at: Point, exponents: Vec<i32> },
    /// Whether a direction separates the targets.
    Direction {
        basis: Basis,
        direction: Vec<f64>,
        noise: f64,
    },
}

impl Work {
    fn is_scan(&self) -> bool {
        matches!(self, Self::Scan)
    }
}

/// Columns u = (x - center) * power: `power` a power of two, |u| <= 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Basis {
    pub(crate) centers: Vec<f64>,
    pub(crate) powers: Vec<f64>,
}

/// Coefficients by the columns of the basis, the constant's first if there is one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) basis: Basis,
    pub(crate) coefficients: Vec<Double>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Moments {
    pub(crate) at: Point,
    /// The step that led here; empty if there was none.
    pub(crate) step: Vec<f64>,
    /// The inverse of the Hessian, a whole square: the gradient is Firth's.
    pub(crate) leverage: Vec<f64>,
    /// Everything that is reported of a fit.
    pub(crate) report: Option<Reported>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reported {
    /// The logit of the mean target.
    pub(crate) of_mean: f64,
    /// Columns of nothing but 0 and 1.
    pub(crate) indicators: Vec<usize>,
}

/// What a part of the rows, or several, contribute to a [`Task`].
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub(crate) number: u32,
    pub(crate) counts: Vec<u64>,
    pub(crate) maxima: Vec<f64>,
    pub(crate) sums: Vec<LossSum>,
    pub(crate) grid: Vec<ColumnSum>,
    /// Of levels: sums of what is large enough; the rest is at the end of the exact sums.
    pub(crate) units: Vec<i128>,
    pub(crate) first_row: u64,
    pub(crate) clusters: BTreeMap<u64, Vec<i128>>,
}

/// Places in the counts, maxima and sums of a scan.
pub(crate) mod scan {
    pub(crate) const ROWS: usize = 0;
    pub(crate) const USED: usize = 1;
    pub(crate) const ABOVE_0: usize = 2;
    pub(crate) const BELOW_1: usize = 3;
    pub(crate) const CLUSTERED: usize = 4;
    pub(crate) const WITH_OFFSET: usize = 5;
    /// Rows of `f32`.
    pub(crate) const SINGLE: usize = 6;
    /// Parts that the linear head does not take: with trials, or with anything in rows of weight 0.
    pub(crate) const AWKWARD: usize = 7;
    /// Rows without curvature at the start: e^-745.2 is 0.
    pub(crate) const FAR_OFFSET: usize = 8;
    pub(crate) const FAR: f64 = 745.0;
    pub(crate) const COUNTS: usize = 9;
    /// The largest weight, and the least one's negative; then the exponents of the columns.
    pub(crate) const GREATEST: usize = 0;
    pub(crate) const LEAST: usize = 1;
    pub(crate) const EXPONENTS: usize = 2;
    pub(crate) const WEIGHT: usize = 0;
    pub(crate) const WEIGHTED_TARGET: usize = 1;
    pub(crate) const SUMS: usize = 2;
    /// Then of each level: rows, targets above 0, and below 1; weight and weighted target.
    pub(crate) const LEVEL_COUNTS: usize = 3;
    pub(crate) const LEVEL_SUMS: usize = 2;
}

/// Places in the sums of moments.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    /// Of the columns that take memory, and the constant.
    pub(crate) width: usize,
    pub(crate) columns: usize,
    /// Columns of the levels.
    pub(crate) levels: usize,
}

impl Places {
    pub(crate) const LOSS: usize = 0;
    pub(crate) const GRADIENT: usize = 1;

    pub(crate) const fn hessian(self) -> usize {
        Self::GRADIENT + self.width
    }

    const fn triangle(self) -> usize {
        self.width * (self.width + 1) / 2
    }

    pub(crate) const fn meat(self) -> usize {
        self.hessian() + self.triangle()
    }

    /// Of the report: excess, that of the mean target, Pearson's, squared errors, predictions.
    pub(crate) const fn measures(self) -> usize {
        self.meat() + self.triangle()
    }

    /// Sum of w s(1 - s), then sums of w s(1 - s)(1 - 2s) times 1 and every column.
    pub(crate) const fn slopes(self) -> usize {
        self.measures() + MEASURES
    }

    /// Of each indicator, the sum of what it changes of the predictions, and its derivatives by the coefficients.
    pub(crate) const fn changes(self) -> usize {
        self.slopes() + 2 + self.columns
    }

    /// Where the sums of the levels start.
    pub(crate) fn first_level(self, report: Option<&Reported>) -> usize {
        match report {
            Some(report) => self.changes() + report.indicators.len() * (1 + self.width),
            None => self.meat(),
        }
    }

    /// Of the column of a level: the gradient, its element of the Hessian's diagonal, and those beside the columns; of a
    /// report also the same of the meat, and the bend.
    pub(crate) fn level(self, is_report: bool, level: usize) -> LevelPlaces {
        let length = if is_report {
            4 + 2 * self.columns
        } else {
            2 + self.columns
        };
        let start = level * length;
        LevelPlaces {
            gradient: start,
            hessian: start + 1,
            meat: start + 2 + self.columns,
            bend: start + 3 + 2 * self.columns,
        }
    }

    pub(crate) fn length(self, report: Option<&Reported>) -> usize {
        self.first_level(report) + self.level(report.is_some(), self.levels).gradient
    }
}

/// Hessian and meat: the diagonal, then beside each column.
pub(crate) struct LevelPlaces {
    pub(crate) gradient: usize,
    pub(crate) hessian: usize,
    pub(crate) meat: usize,
    pub(crate) bend: usize,
}

pub(crate) const MEASURES: usize = 5;

impl Task {
    pub(crate) fn width(&self) -> usize {
        self.columns + usize::from(self.intercept)
    }

    /// Columns of the levels: none for the first.
    pub(crate) fn level_columns(&self) -> usize {
        self.levels.saturating_sub(1) as usize
    }

    /// All coefficients: the constant's, then of the columns, then of the levels.
    pub(crate) fn parameters(&self) -> usize {
        self.width() + self.level_columns()
    }

    /// No term of the meat exceeds 2 to this power.
    pub(crate) fn meat_exponent(&self) -> i32 {
        match self.kind {
            WeightKind::Frequency => self.weight,
            WeightKind::Sampling | WeightKind::Analytic => 2 * self.weight,
        }
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            width: self.width(),
            columns: self.columns,
            levels: self.level_columns(),
        }
    }

    /// The same task with its vector code on this backend: the bits do not depend on it, which is for tests to show.
    /// [`to_bytes`](Self::to_bytes) leaves it out: other machines choose for themselves.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    pub(crate) fn bce<'a, T: Real>(&self) -> Result<Bce<'a, T>, Error> {
        let bce = Bce::new();
        Ok(match self.backend {
            Some(backend) => bce.backend(backend)?,
            None => bce,
        })
    }

    /// The task as bytes, for whoever has rows.
    ///
    /// # Errors
    /// None that is known of: numbers of a task are finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|_| Error::Malformed {
            reason: "a number of the task is not finite",
        })
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|_| Error::Malformed {
            reason: "the bytes are no task of this version",
        })
    }

    /// The state of no rows.
    #[must_use]
    pub fn start(&self) -> State {
        let (mut grid, mut units) = (Vec::new(), 0);
        let (counts, maxima, sums) = match &self.work {
            Work::Scan => {
                let levels = self.levels as usize;
                (
                    scan::COUNTS + levels * scan::LEVEL_COUNTS,
                    scan::EXPONENTS + self.columns,
                    scan::SUMS + levels * scan::LEVEL_SUMS,
                )
            }
            Work::Center { .. } => (self.columns, 2 * self.columns, 2 * self.columns),
            Work::Moments(moments) => {
                let (places, report) = (self.places(), moments.report.as_ref());
                units = places.level(report.is_some(), places.levels).gradient;
                (0, 1 + self.width(), places.length(report))
            }
            Work::Grid(work) => {
                grid = work.start(self.places());
                let (counts, sums) = work.lengths();
                (counts, 0, sums)
            }
            Work::Clusters { .. } => (0, 0, 0),
            Work::Direction { .. } => (2, 1, 0),
        };
        State {
            number: self.number,
            counts: vec![0; counts],
            maxima: vec![f64::NEG_INFINITY; maxima],
            sums: vec![LossSum::new(); sums],
            grid,
            units: vec![0; units],
            first_row: u64::MAX,
            clusters: BTreeMap::new(),
        }
    }

    /// What these rows contribute.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`]; [`Error::Value`] for the first row that cannot be used.
    pub fn evaluate<T: Value>(&self, data: &Data<'_, T>) -> Result<State, Error> {
        if let Some((argument, found)) = data.wrong_length() {
            return Err(Error::LengthMismatch {
                argument,
                expected: data.row_count(),
                found,
            });
        }
        if data.features.column_count() != self.columns {
            return Err(Error::LengthMismatch {
                argument: "columns",
                expected: self.columns,
                found: data.features.column_count(),
            });
        }
        if data.levels.is_some() != (self.levels > 0) && data.row_count() > 0 {
            return Err(Error::InvalidOption {
                reason: "the rows have levels and Model::levels is 0, or the other way round",
            });
        }
        let mut state = self.start();
        if let Work::Grid(work) = &self.work {
            work.evaluate(self, data, &mut state)?;
            return Ok(state);
        }
        if self.work.is_scan() && self.levels == 0 && scan_at_once(data, &mut state) {
            return Ok(state);
        }
        let mut block = Block::default();
        for start in (0..data.row_count()).step_by(BLOCK) {
            block.read(&data.part(start..start + BLOCK), self.levels)?;
            match &self.work {
                Work::Scan => block.scan(data, &mut state),
                Work::Grid(_) => {}
                Work::Center { exact } => block.center(*exact, &mut state),
                Work::Moments(moments) => block.moments(self, moments, &mut state)?,
                Work::Clusters { at, exponents } => {
                    block.clusters(self, at, exponents, &mut state)?;
                }
                Work::Direction {
                    basis,
                    direction,
                    noise,
                } => block.direction(self, basis, direction, *noise, &mut state),
            }
        }
        Ok(state)
    }
}

impl State {
    /// Adds what other rows contribute.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is the state of another task.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if (self.number, self.shape()) != (other.number, other.shape()) {
            return Err(Error::Malformed {
                reason: "the states are of different tasks",
            });
        }
        linear::merge(&mut self.grid, &other.grid)?;
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            *count += other;
        }
        for (maximum, other) in self.maxima.iter_mut().zip(&other.maxima) {
            *maximum = maximum.max(*other);
        }
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            sum.merge(other);
        }
        for (units, other) in self.units.iter_mut().zip(&other.units) {
            *units += other;
        }
        self.first_row = self.first_row.min(other.first_row);
        for (cluster, scores) in &other.clusters {
            let to = self
                .clusters
                .entry(*cluster)
                .or_insert_with(|| vec![0; scores.len()]);
            for (to, score) in to.iter_mut().zip(scores) {
                *to += score;
            }
        }
        Ok(())
    }

    /// The state as bytes, the same on every machine: little-endian lengths and numbers.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = STATE_MAGIC.to_vec();
        bytes.extend(self.number.to_le_bytes());
        for length in self.lengths() {
            bytes.extend((length as u64).to_le_bytes());
        }
        bytes.extend(self.first_row.to_le_bytes());
        bytes.extend(self.counts.iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(self.maxima.iter().flat_map(|x| x.to_le_bytes()));
        bytes.extend(self.sums.iter().flat_map(LossSum::to_bytes));
        bytes.extend(self.grid.iter().flat_map(ColumnSum::to_bytes));
        bytes.extend(self.units.iter().flat_map(|x| x.to_le_bytes()));
        for (cluster, scores) in &self.clusters {
            bytes.extend(cluster.to_le_bytes());
            bytes.extend(scores.iter().flat_map(|x| x.to_le_bytes()));
        }
        bytes
    }

    /// Restores what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(bytes).ok_or(Error::Malformed {
            reason: "the bytes are no state of this version",
        })
    }

    fn lengths(&self) -> [usize; 7] {
        let scores = self.clusters.values().next().map_or(0, Vec::len);
        let [counts, maxima, sums, grid, units] = self.shape();
        let clusters = self.clusters.len();
        [counts, maxima, sums, grid, units, clusters, scores]
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(STATE_MAGIC)?;
        let number = u32::from_le_bytes(take(&mut rest)?);
        let mut lengths = [0; 7];
        for length in &mut lengths {
            *length = usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok()?;
        }
        let [counts, maxima, sums, grid, units, clusters, scores] = lengths;
        let first_row = u64::from_le_bytes(take(&mut rest)?);
        let counts = list(counts, &mut rest, u64::from_le_bytes)?;
        let maxima = list(maxima, &mut rest, f64::from_le_bytes)?;
        let sums = list(sums, &mut rest, |of: [u8; LossSum::BYTES]| {
            LossSum::from_bytes(&of).ok()
        })?;
        let grid = list(grid, &mut rest, |of: [u8; ColumnSum::BYTES]| {
            ColumnSum::from_bytes(&of).ok()
        })?;
        let units = list(units, &mut rest, i128::from_le_bytes)?;
        let mut of_clusters = BTreeMap::new();
        for _ in 0..clusters {
            let cluster = u64::from_le_bytes(take(&mut rest)?);
            of_clusters.insert(cluster, list(scores, &mut rest, i128::from_le_bytes)?);
        }
        let complete = rest.is_empty() && of_clusters.len() == clusters;
        complete.then_some(Self {
            number,
            counts,
            maxima,
            sums: sums.into_iter().collect::<Option<_>>()?,
            grid: grid.into_iter().collect::<Option<_>>()?,
            units,
            first_row,
            clusters: of_clusters,
        })
    }

    pub(crate) fn belongs_to(&self, task: &Task) -> bool {
        let start = task.start();
        (self.number, self.shape()) == (start.number, start.shape())
    }

    fn shape(&self) -> [usize; 5] {
        let (counts, maxima) = (self.counts.len(), self.maxima.len());
        let (sums, grid) = (self.sums.len(), self.grid.len());
        [counts, maxima, sums, grid, self.units.len()]
    }

    /// A sum of levels: of `place` among them, the first at `first` of the exact sums; terms are at most 2^exponent.
    pub(crate) fn of_level(&self, first: usize, place: usize, exponent: i32) -> Double {
        let sum = Double::of_integer(self.units[place], exponent - LEVEL_BITS);
        match &self.sums[first + place] {
            rest if rest.count() == 0 => sum,
            rest => sum + Double::of_sum(rest),
        }
    }

    fn see(&mut self, at: usize, value: f64) {
        self.maxima[at] = self.maxima[at].max(value);
    }
}

/// The scan of rows that are all as they should be, or false.
fn scan_at_once<T: Value>(data: &Data<'_, T>, state: &mut State) -> bool {
    let mut scales = vec![ColumnScale::ZERO; data.features.column_count()];
    if data.trials.is_some() || linear::scan(&data.features, &mut scales).is_err() {
        return false;
    }
    if scales.iter().any(|scale| scale.bound() > LARGEST) {
        return false;
    }
    let (mut used, mut above, mut below) = (0, 0, 0);
    let (mut greatest, mut least) = (0.0_f64, f64::INFINITY);
    let mut valid = true;
    for (row, target) in data.targets.iter().enumerate() {
        let t: f64 = (*target).into();
        let w = data.weights.map_or(1.0, |of| of[row].into());
        valid &= (0.0..=1.0).contains(&t) && (0.0..f64::INFINITY).contains(&w);
        greatest = greatest.max(w);
        if w > 0.0 {
            used += 1;
            above += u64::from(t > 0.0);
            below += u64::from(t < 1.0);
            least = least.min(w);
        }
    }
    let (mut with_offset, mut far_offset) = (0, 0);
    for offset in data.offset.unwrap_or(&[]) {
        let offset: f64 = (*offset).into();
        valid &= offset.is_finite();
        with_offset += u64::from(offset != 0.0);
        far_offset += u64::from(offset.abs() > scan::FAR);
    }
    if !valid {
        return false;
    }
    state.counts[scan::USED] = used;
    state.counts[scan::ROWS] = data.row_count() as u64;
    state.counts[scan::ABOVE_0] = above;
    state.counts[scan::BELOW_1] = below;
    state.counts[scan::CLUSTERED] = if data.clusters.is_some() { used } else { 0 };
    state.counts[scan::WITH_OFFSET] = with_offset;
    state.counts[scan::FAR_OFFSET] = far_offset;
    if size_of::<T>() == size_of::<f32>() {
        state.counts[scan::SINGLE] = data.row_count() as u64;
    }
    state.maxima[scan::GREATEST] = greatest;
    state.maxima[scan::LEAST] = -least;
    for (maximum, scale) in state.maxima[scan::EXPONENTS..].iter_mut().zip(&scales) {
        *maximum = f64::from(scale.exponent());
    }
    match data.weights {
        None => {
            state.sums[scan::WEIGHT].add(data.row_count() as f64);
            state.sums[scan::WEIGHTED_TARGET].add_slice(data.targets);
        }
        Some(weights) => {
            state.sums[scan::WEIGHT].add_slice(weights);
            let (mut high, mut low) = (Vec::new(), Vec::new());
            for (weights, targets) in weights.chunks(BLOCK).zip(data.targets.chunks(BLOCK)) {
                high.clear();
                low.clear();
                for (weight, target) in weights.iter().zip(targets) {
                    let (product, error) = two_product((*weight).into(), (*target).into());
                    high.push(product);
                    low.push(error);
                }
                state.sums[scan::WEIGHTED_TARGET].add_slice(&high);
                state.sums[scan::WEIGHTED_TARGET].add_slice(&low);
            }
        }
    }
    true
}

/// The first bytes, taken off.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk()?;
    *rest = others;
    Some(*first)
}

/// As many items; none if there are not that many bytes, so that no length is believed.
fn list<const N: usize, X>(
    length: usize,
    rest: &mut &[u8],
    item: impl Fn([u8; N]) -> X,
) -> Option<Vec<X>> {
    if rest.len() / N < length {
        return None;
    }
    (0..length).map(|_| take(rest).map(&item)).collect()
}

/// Rows of positive weight, widened to `f64`.
#[derive(Default)]
struct Block {
    rows: Vec<u64>,
    targets: Vec<f64>,
    weights: Vec<f64>,
    offset: Vec<f64>,
    clusters: Vec<u64>,
    levels: Vec<u32>,
    /// Column after column.
    columns: Vec<Vec<f64>>,
    logits: Vec<f64>,
    gradient: Vec<f64>,
    hessian: Vec<f64>,
    high: Vec<f64>,
    low: Vec<f64>,
    factors: Vec<f64>,
}

impl Block {
    /// # Errors
    /// [`Error::Value`] for the first row with something that cannot be used.
    fn read<T: Value>(&mut self, data: &Data<'_, T>, levels: u32) -> Result<(), Error> {
        self.rows.clear();
        self.targets.clear();
        self.weights.clear();
        self.offset.clear();
        self.clusters.clear();
        self.levels.clear();
        let columns = data.features.column_count();
        self.columns.resize(columns, Vec::new());
        self.columns.iter_mut().for_each(Vec::clear);
        let value = |of: Option<&[T]>, row: usize, none: f64| of.map_or(none, |of| of[row].into());
        for row in 0..data.row_count() {
            let number = data.first_row + row as u64;
            let wrong = |of, value, expected| {
                Err(Error::Value {
                    of,
                    row: number,
                    value,
                    expected,
                })
            };
            let weight = value(data.weights, row, 1.0);
            if !(weight.is_finite() && weight >= 0.0) {
                return wrong(Place::Weight, weight, "finite and >= 0");
            }
            let trials = value(data.trials, row, 1.0);
            if weight == 0.0 {
                continue;
            }
            if !(trials.is_finite() && trials >= 0.0) {
                return wrong(Place::Trials, trials, "finite and >= 0");
            }
            if trials == 0.0 {
                continue;
            }
            let target: f64 = data.targets[row].into();
            if !(0.0..=trials).contains(&target) {
                let expected = if data.trials.is_some() {
                    "in [0, the number of trials]"
                } else {
                    "in [0, 1]"
                };
                return wrong(Place::Target, target, expected);
            }
            if weight > LARGEST {
                return wrong(Place::Weight, weight, OF_A_SIZE);
            }
            if weight * trials > LARGEST {
                let expected = "of a size up to 2^500, the limit, times the number of trials";
                return wrong(Place::Weight, weight, expected);
            }
            let offset = value(data.offset, row, 0.0);
            if !offset.is_finite() {
                return wrong(Place::Offset, offset, "finite");
            }
            self.rows.push(number);
            self.targets.push(target / trials);
            self.weights.push(weight * trials);
            self.offset.push(offset);
            if let Some(clusters) = data.clusters {
                self.clusters.push(clusters[row]);
            }
            if let Some(of_rows) = data.levels {
                if of_rows[row] >= levels {
                    return wrong(
                        Place::Level,
                        f64::from(of_rows[row]),
                        "below the number of levels",
                    );
                }
                self.levels.push(of_rows[row]);
            }
            for (column, to) in self.columns.iter_mut().enumerate() {
                let x: f64 = data.features.get(row, column).map_or(f64::NAN, T::into);
                if !x.is_finite() {
                    return wrong(Place::Feature(column), x, "finite");
                }
                if x.abs() > LARGEST {
                    return wrong(Place::Feature(column), x, OF_A_SIZE);
                }
                to.push(x);
            }
        }
        Ok(())
    }

    fn scan<T: Value>(&self, data: &Data<'_, T>, state: &mut State) {
        let used = self.rows.len() as u64;
        state.counts[scan::AWKWARD] = 1;
        for weight in &self.weights {
            state.see(scan::GREATEST, *weight);
        }
        state.counts[scan::USED] += used;
        state.counts[scan::ROWS] = data.row_count() as u64;
        if data.clusters.is_some() {
            state.counts[scan::CLUSTERED] += used;
        }
        let count =
            |test: fn(f64) -> bool, of: &[f64]| of.iter().filter(|x| test(**x)).count() as u64;
        state.counts[scan::ABOVE_0] += count(|t| t > 0.0, &self.targets);
        state.counts[scan::BELOW_1] += count(|t| t < 1.0, &self.targets);
        state.counts[scan::WITH_OFFSET] += count(|offset| offset != 0.0, &self.offset);
        state.counts[scan::FAR_OFFSET] += count(|offset| offset.abs() > scan::FAR, &self.offset);
        state.sums[scan::WEIGHT].add_slice(&self.weights);
        for (weight, target) in self.weights.iter().zip(&self.targets) {
            let (high, low) = two_product(*weight, *target);
            state.sums[scan::WEIGHTED_TARGET].add(high);
            state.sums[scan::WEIGHTED_TARGET].add(low);
        }
        for (row, level) in self.levels.iter().enumerate() {
            let (target, weight) = (self.targets[row], self.weights[row]);
            let counts = scan::COUNTS + *level as usize * scan::LEVEL_COUNTS;
            state.counts[counts] += 1;
            state.counts[counts + 1] += u64::from(target > 0.0);
            state.counts[counts + 2] += u64::from(target < 1.0);
            let sums = scan::SUMS + *level as usize * scan::LEVEL_SUMS;
            state.sums[sums].add(weight);
            state.sums[sums + 1].add(weight * target);
        }
    }

    /// Of each column: sums of w x and w x^2, the largest of x and -x, and how many are neither 0 nor 1.
    fn center(&mut self, exact: bool, state: &mut State) {
        for (column, x) in self.columns.iter().enumerate() {
            self.high.clear();
            self.high
                .extend(x.iter().zip(&self.weights).map(|(x, w)| x * w));
            state.sums[2 * column].add_slice(&self.high);
            let squares = self.high.iter_mut().zip(x);
            squares.for_each(|(product, x)| *product *= x);
            state.sums[2 * column + 1].add_slice(&self.high);
            if exact {
                // What the products have been rounded by.
                for (x, w) in x.iter().zip(&self.weights) {
                    let (product, error) = two_product(*x, *w);
                    let (_, of_square) = two_product(product, *x);
                    state.sums[2 * column].add(error);
                    state.sums[2 * column + 1].add(of_square);
                    state.sums[2 * column + 1].add(error * x);
                }
            }
            let other = x.iter().filter(|x| **x != 0.0 && **x != 1.0).count();
            state.counts[column] += other as u64;
            for x in x {
                state.see(2 * column, *x);
                state.see(2 * column + 1, -x);
            }
        }
    }

    /// The columns become those of the basis.
    fn change_basis(&mut self, basis: &Basis) {
        let of_columns = basis.centers.iter().zip(&basis.powers);
        for (column, (center, power)) in self.columns.iter_mut().zip(of_columns) {
            column.iter_mut().for_each(|x| *x = (*x - center) * power);
        }
    }

    /// The logits, correctly rounded but for 2^-100 of the largest product.
    fn logits(&mut self, coefficients: &[Double], intercept: bool) -> Result<(), Error> {
        let (constant, coefficients) = coefficients.split_at(usize::from(intercept));
        let (coefficients, of_levels) = coefficients.split_at(self.columns.len());
        let constant = constant.first().copied().unwrap_or(Double::ZERO);
        self.high.clear();
        self.low.clear();
        for offset in &self.offset {
            let (high, low) = two_sum(constant.high, *offset);
            self.high.push(high);
            self.low.push(low + constant.low);
        }
        with_fma(
            #[inline(always)]
            || {
                for (x, coefficient) in self.columns.iter().zip(coefficients) {
                    for ((x, high), low) in x.iter().zip(&mut self.high).zip(&mut self.low) {
                        let (product, error) = two_product(*x, coefficient.high);
                        let (sum, rest) = two_sum(*high, product);
                        *high = sum;
                        *low += rest + (error + x * coefficient.low);
                    }
                }
            },
        );
        for (row, level) in self.levels.iter().enumerate() {
            if let Some(coefficient) = of_level(*level, of_levels) {
                let (sum, rest) = two_sum(self.high[row], coefficient.high);
                self.high[row] = sum;
                self.low[row] += rest + coefficient.low;
            }
        }
        self.logits.clear();
        self.logits.extend(
            self.high
                .iter()
                .zip(&self.low)
                .map(|(high, low)| high + low),
        );
        if self.logits.iter().all(|z| z.is_finite()) {
            Ok(())
        } else {
            Err(Error::OutOfRange)
        }
    }

    /// Basis, logits, s - t and s(1 - s).
    fn derivatives(&mut self, task: &Task, at: &Point) -> Result<(), Error> {
        self.change_basis(&at.basis);
        self.logits(&at.coefficients, task.intercept)?;
        let rows = self.logits.len();
        self.gradient.resize(rows, 0.0);
        self.hessian.resize(rows, 0.0);
        task.bce()?.gradient_hessian(
            &self.logits,
            &self.targets,
            &mut self.gradient,
            &mut self.hessian,
        )?;
        Ok(())
    }

    fn moments(&mut self, task: &Task, moments: &Moments, state: &mut State) -> Result<(), Error> {
        self.derivatives(task, &moments.at)?;
        if task.intercept {
            self.columns.insert(0, vec![1.0; self.rows.len()]);
        }
        let places = task.places();
        let weighted = task.bce()?.weights(&self.weights);
        weighted.accumulate(&self.logits, &self.targets, &mut state.sums[Places::LOSS])?;
        if !moments.step.is_empty() {
            state.see(0, self.largest_move(&moments.step));
        }
        if let Some(report) = &moments.report {
            self.report(task, report, state)?;
            self.changes(places, &moments.at, &report.indicators, state)?;
        }
        // From here on with the weights.
        let scale = |of: &mut [f64], by: &[f64]| of.iter_mut().zip(by).for_each(|(x, w)| *x *= w);
        scale(&mut self.hessian, &self.weights);
        scale(&mut self.gradient, &self.weights);
        if !moments.leverage.is_empty() {
            self.add_leverage(&moments.leverage);
        }
        if moments.report.is_some() {
            for (index, column) in self.columns.iter().enumerate() {
                let scores = column
                    .iter()
                    .zip(&self.gradient)
                    .map(|(x, r)| (x * r).abs());
                state.maxima[1 + index] = scores.fold(state.maxima[1 + index], f64::max);
            }
        }
        for index in 0..places.width {
            add_products(
                &self.gradient,
                &self.columns[index],
                &mut state.sums[Places::GRADIENT + index],
                [&mut self.high, &mut self.low],
            );
        }
        self.add_gram(places.hessian(), false, state);
        let is_report = moments.report.is_some();
        let first = places.first_level(moments.report.as_ref());
        let mut to = LevelSums::new(state, first, task.weight);
        with_fma(
            #[inline(always)]
            || {
                for (row, level) in self.levels.iter().enumerate() {
                    if let Some(level) = (*level as usize).checked_sub(1) {
                        let places = places.level(is_report, level);
                        to.add(places.gradient, self.gradient[row], 0.0);
                        let factor = self.hessian[row];
                        self.add_border(row, task.intercept, factor, places.hessian, &mut to);
                    }
                }
            },
        );
        if moments.report.is_some() {
            // Sampling: (w r)^2. A row that counts w times: w r^2.
            for (factor, weight) in self.gradient.iter_mut().zip(&self.weights) {
                *factor = match task.kind {
                    WeightKind::Frequency => *factor * (*factor / weight),
                    WeightKind::Sampling | WeightKind::Analytic => *factor * *factor,
                };
            }
            self.add_gram(places.meat(), true, state);
            let mut to = LevelSums::new(state, first, task.meat_exponent());
            with_fma(
                #[inline(always)]
                || {
                    for (row, level) in self.levels.iter().enumerate() {
                        if let Some(level) = (*level as usize).checked_sub(1) {
                            let start = places.level(is_report, level).meat;
                            let factor = self.gradient[row];
                            self.add_border(row, task.intercept, factor, start, &mut to);
                        }
                    }
                },
            );
        }
        if task.intercept {
            self.columns.remove(0);
        }
        Ok(())
    }

    /// What is reported of a fit, beside its coefficients.
    fn report(&mut self, task: &Task, report: &Reported, state: &mut State) -> Result<(), Error> {
        let places = task.places();
        let measures = places.measures();
        let excess = task.bce()?.weights(&self.weights).excess();
        excess.accumulate(&self.logits, &self.targets, &mut state.sums[measures])?;
        let of_mean = vec![report.of_mean; self.rows.len()];
        excess.accumulate(&of_mean, &self.targets, &mut state.sums[measures + 1])?;
        let mut predictions = vec![0.0; self.rows.len()];
        soft_bce::sigmoid(&self.logits, &mut predictions)?;
        let slopes = places.slopes();
        let has_constant = places.width - places.columns;
        let mut terms: [Vec<f64>; 5] = std::array::from_fn(|_| Vec::with_capacity(BLOCK));
        for (row, prediction) in predictions.into_iter().enumerate() {
            let (w, r, h) = (self.weights[row], self.gradient[row], self.hessian[row]);
            let pearson = if r == 0.0 { 0.0 } else { w * (r / h * r) };
            // 1 - 2s, which is exact near 0.
            let bend = w * h * (-2.0 * (prediction - 0.5));
            let of_row = [pearson, w * (r * r), w * prediction, w * h, bend];
            for (terms, term) in terms.iter_mut().zip(of_row) {
                terms.push(term);
            }
        }
        let [.., bends] = &terms;
        for (column, sum) in self.columns[has_constant..]
            .iter()
            .zip(&mut state.sums[slopes + 2..])
        {
            self.factors.clear();
            let products = column.iter().zip(bends).map(|(x, bend)| bend * x);
            self.factors.extend(products);
            sum.add_slice(&self.factors);
        }
        let first = places.first_level(Some(report));
        let mut to = LevelSums::new(state, first, task.weight);
        for (level, bend) in self.levels.iter().zip(bends) {
            if let Some(level) = (*level as usize).checked_sub(1) {
                to.add(places.level(true, level).bend, *bend, 0.0);
            }
        }
        let of_terms = (measures + 2..measures + 5).chain(slopes..slopes + 2);
        for (terms, place) in terms.iter().zip(of_terms) {
            state.sums[place].add_slice(terms);
        }
        Ok(())
    }

    /// What each indicator changes: predictions where it is 1, less those where it is 0.
    fn changes(
        &self,
        places: Places,
        at: &Point,
        indicators: &[usize],
        state: &mut State,
    ) -> Result<(), Error> {
        let rows = self.rows.len();
        let constant = places.width - places.columns;
        let (mut logits, mut predictions) = (vec![0.0; rows], vec![0.0; rows]);
        for (index, &indicator) in indicators.iter().enumerate() {
            let start = places.changes() + index * (1 + places.width);
            let own = &self.columns[constant + indicator];
            let coefficient = at.coefficients[constant + indicator].high;
            for (value, sign) in [(1.0, 1.0), (0.0, -1.0)] {
                let to = (value - at.basis.centers[indicator]) * at.basis.powers[indicator];
                for ((logit, z), x) in logits.iter_mut().zip(&self.logits).zip(own) {
                    *logit = z + coefficient * (to - x);
                }
                soft_bce::sigmoid(&logits, &mut predictions)?;
                for (row, s) in predictions.iter().enumerate() {
                    let weight = sign * self.weights[row];
                    state.sums[start].add(weight * s);
                    let slope = weight * soft_bce::scalar::hessian(logits[row]);
                    for (of, column) in self.columns.iter().enumerate() {
                        let x = if of == constant + indicator {
                            to
                        } else {
                            column[row]
                        };
                        state.sums[start + 1 + of].add(slope * x);
                    }
                }
            }
        }
        Ok(())
    }

    /// Firth: w(s - t) + hat (s - 1/2), where hat = w s(1 - s) x' H^-1 x.
    fn add_leverage(&mut self, inverse: &[f64]) {
        let width = self.columns.len();
        for row in 0..self.rows.len() {
            let mut form = 0.0;
            for (left, inverse) in self.columns.iter().zip(inverse.chunks(width)) {
                let right = self.columns.iter().zip(inverse);
                let product: f64 = right.map(|(right, inverse)| right[row] * inverse).sum();
                form += left[row] * product;
            }
            let half = soft_bce::scalar::sigmoid(self.logits[row]) - 0.5;
            self.gradient[row] += self.hessian[row] * form * half;
        }
    }

    /// Adds factor times the product of each two columns to the sums from `start` on: with the factors that are
    /// Hessians, or gradients squared. Exact but for 2^-104 of each term.
    fn add_gram(&mut self, start: usize, squared: bool, state: &mut State) {
        let factors = if squared {
            &self.gradient
        } else {
            &self.hessian
        };
        let rows = self.rows.len();
        self.high.resize(rows, 0.0);
        self.low.resize(rows, 0.0);
        let mut sums = state.sums[start..].iter_mut();
        for (index, left) in self.columns.iter().enumerate() {
            for (right, sum) in self.columns[..=index].iter().zip(&mut sums) {
                let (high, low) = (&mut self.high[..rows], &mut self.low[..rows]);
                let (left, right, factors) = (&left[..rows], &right[..rows], &factors[..rows]);
                with_fma(
                    #[inline(always)]
                    || {
                        for row in 0..rows {
                            let (product, error) = two_product(left[row], right[row]);
                            let rest;
                            (high[row], rest) = two_product(product, factors[row]);
                            low[row] = rest + error * factors[row];
                        }
                    },
                );
                sum.add_slice(&self.high);
                sum.add_slice(&self.low);
            }
        }
    }

    /// Adds a row's factor, and its products with the columns, to what belongs to its level from `start` on.
    #[inline(always)]
    fn add_border(
        &self,
        row: usize,
        has_constant: bool,
        factor: f64,
        start: usize,
        to: &mut LevelSums<'_>,
    ) {
        to.add(start, factor, 0.0);
        let columns = &self.columns[usize::from(has_constant)..];
        for (column, place) in columns.iter().zip(start + 1..) {
            let (product, error) = two_product(factor, column[row]);
            to.add(place, product, error);
        }
    }

    /// By how much a step moves the logit of a row.
    fn move_of(&self, step: &[f64], row: usize) -> f64 {
        let (of_columns, of_levels) = step.split_at(self.columns.len());
        let products = self.columns.iter().zip(of_columns);
        let of_columns: f64 = products.map(|(column, change)| column[row] * change).sum();
        let level = self.levels.get(row).copied().unwrap_or(0);
        of_level(level, of_levels).map_or(of_columns, |change| of_columns + change)
    }

    fn largest_move(&self, step: &[f64]) -> f64 {
        (0..self.rows.len())
            .map(|row| self.move_of(step, row).abs())
            .fold(0.0, f64::max)
    }

    fn clusters(
        &mut self,
        task: &Task,
        at: &Point,
        exponents: &[i32],
        state: &mut State,
    ) -> Result<(), Error> {
        self.derivatives(task, at)?;
        for (row, cluster) in self.clusters.iter().enumerate() {
            let scores = state
                .clusters
                .entry(*cluster)
                .or_insert_with(|| vec![0; exponents.len()]);
            let residual = self.gradient[row] * self.weights[row];
            let ones = task.intercept.then_some(1.0);
            let x = ones.into_iter().chain(self.columns.iter().map(|x| x[row]));
            for ((x, score), exponent) in x.zip(scores).zip(exponents) {
                *score += to_units(residual * x, exponent - SCORE_BITS);
            }
        }
        Ok(())
    }

    /// How many rows a direction moves, and against how many targets; the first row moved.
    fn direction(
        &mut self,
        task: &Task,
        basis: &Basis,
        direction: &[f64],
        noise: f64,
        state: &mut State,
    ) {
        self.change_basis(basis);
        if task.intercept {
            self.columns.insert(0, vec![1.0; self.rows.len()]);
        }
        for row in 0..self.rows.len() {
            let change = self.move_of(direction, row);
            let target = self.targets[row];
            state.see(0, change.abs());
            if change.abs() > noise {
                state.counts[0] += 1;
                state.first_row = state.first_row.min(self.rows[row]);
                if (target > 0.0 && change < 0.0) || (target < 1.0 && change > 0.0) {
                    state.counts[1] += 1;
                }
            }
        }
        if task.intercept {
            self.columns.remove(0);
        }
    }
}

/// Beyond it the square of a feature, times a weight, may overflow.
pub(crate) const LARGEST: f64 = f64::from_bits((1023 + 500) << 52);

/// The value of a cluster's sum.
pub(crate) fn of_units(units: i128, exponent: i32) -> Double {
    Double::of_integer(units, exponent - SCORE_BITS)
}

/// 2^exponent, of a normal number.
pub(crate) fn power(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

/// Rounded to multiples of 2^unit, half away from 0.
#[inline(always)]
fn to_units(value: f64, unit: i32) -> i128 {
    let bits = value.abs().to_bits();
    let biased = (bits >> 52) as i32;
    let significand = i128::from(bits & ((1 << 52) - 1)) | i128::from(biased != 0) << 52;
    let shift = biased.max(1) - 1075 - unit;
    let magnitude = match shift {
        0.. => significand << shift.min(127),
        -60..0 => (significand + (1 << (-shift - 1))) >> -shift,
        _ => 0,
    };
    if value < 0.0 { -magnitude } else { magnitude }
}

/// Adds the products, exactly.
fn add_products(left: &[f64], right: &[f64], sum: &mut LossSum, [high, low]: [&mut Vec<f64>; 2]) {
    high.resize(left.len(), 0.0);
    low.resize(left.len(), 0.0);
    with_fma(
        #[inline(always)]
        || {
            let products = left.iter().zip(right).zip(&mut *high).zip(&mut *low);
            for (((left, right), high), low) in products {
                (*high, *low) = two_product(*left, *right);
            }
        },
    );
    sum.add_slice(high);
    sum.add_slice(low);
}

/// Where terms of levels go. A term is a function of its row alone, and nothing rounds but the last places of the error
/// of a product: the sums have no order, and hold all digits of terms however small.
struct LevelSums<'a> {
    units: &'a mut [i128],
    rest: &'a mut [LossSum],
    /// Of the units.
    exponent: i32,
}

impl<'a> LevelSums<'a> {
    /// Terms are at most 2^exponent.
    fn new(state: &'a mut State, first: usize, exponent: i32) -> Self {
        Self {
            units: &mut state.units,
            rest: &mut state.sums[first..],
            exponent: exponent - LEVEL_BITS,
        }
    }

    #[inline(always)]
    fn add(&mut self, place: usize, value: f64, error: f64) {
        let shift = (value.abs().to_bits() >> 52) as i32 - 1075 - self.exponent;
        if (0..LEVEL_BITS - 50).contains(&shift) {
            let units = to_units(value, self.exponent);
            self.units[place] += units + to_units(error, self.exponent);
        } else if value != 0.0 {
            self.rest[place].add(value);
            self.rest[place].add(error);
        }
    }
}

/// What belongs to a level, of what belongs to all but the first.
pub(crate) fn of_level<X: Copy>(level: u32, of_levels: &[X]) -> Option<X> {
    of_levels.get((level as usize).checked_sub(1)?).copied()
}
