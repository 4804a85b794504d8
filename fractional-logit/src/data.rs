//! [`Data`]: the rows of a fit, borrowed as they lie.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use soft_bce::Real;
use soft_bce::linear::Features;

/// An element type of the data: `f32` or `f64`.
pub trait Value: Real + Into<f64> {
    /// Rounded to nearest.
    fn narrow(value: f64) -> Self;
}

impl Value for f32 {
    fn narrow(value: f64) -> Self {
        value as Self
    }
}

impl Value for f64 {
    fn narrow(value: f64) -> Self {
        value
    }
}

/// What a weight w says of its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WeightKind {
    /// The row stands for w rows of the population, one of which was drawn (Stata's pweight). Robust errors do not
    /// depend on the scale of w; the nonrobust ones mean little.
    #[default]
    Sampling,
    /// The row was seen w times (fweight): the same results as w rows of weight 1.
    Frequency,
    /// The target is the mean of w observations, its variance in inverse proportion to w (aweight; trials of a
    /// proportion). Robust errors as with sampling weights.
    Analytic,
}

/// The rows of a fit: features, targets, and what else belongs to a row. `Copy`.
///
/// ```
/// use fractional_logit::{Data, Features};
/// let x = [1.0, 2.0, 3.0, 4.0];
/// let data = Data::new(Features::rows(&x, 4, 1)?, &[0.25, 0.5, 0.5, 0.9]).weights(&[1.0, 1.0, 2.0, 1.0]);
/// assert_eq!(data.row_count(), 4);
/// # Ok::<(), soft_bce::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Data<'a, T: Value> {
    pub(crate) features: Features<'a, T>,
    pub(crate) targets: &'a [T],
    pub(crate) trials: Option<&'a [T]>,
    pub(crate) weights: Option<&'a [T]>,
    pub(crate) offset: Option<&'a [T]>,
    pub(crate) clusters: Option<&'a [u64]>,
    pub(crate) levels: Option<&'a [u32]>,
    pub(crate) first_row: u64,
}

impl<'a, T: Value> Data<'a, T> {
    /// Targets in [0, 1], one a row.
    #[must_use]
    pub const fn new(features: Features<'a, T>, targets: &'a [T]) -> Self {
        Self {
            features,
            targets,
            trials: None,
            weights: None,
            offset: None,
            clusters: None,
            levels: None,
            first_row: 0,
        }
    }

    /// The targets are counts k of these n: the fraction is k/n, and n multiplies the weight. A row with n = 0 is
    /// left out.
    #[must_use]
    pub const fn trials(mut self, trials: &'a [T]) -> Self {
        self.trials = Some(trials);
        self
    }

    /// Weights, finite and >= 0. A row of weight 0 is left out: nothing in it is looked at.
    #[must_use]
    pub const fn weights(mut self, weights: &'a [T]) -> Self {
        self.weights = Some(weights);
        self
    }

    /// Added to the logit, with a coefficient of 1.
    #[must_use]
    pub const fn offset(mut self, offset: &'a [T]) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The cluster of each row, by number: rows of a cluster may depend on each other. Asks for clustered errors.
    #[must_use]
    pub const fn clusters(mut self, clusters: &'a [u64]) -> Self {
        self.clusters = Some(clusters);
        self
    }

    /// The level of a category that each row has, below [`Model::levels`](crate::Model::levels): as if the features had
    /// behind them a column for each level but 0, 1 in its rows and 0 in others. None of these columns takes memory.
    #[must_use]
    pub const fn levels(mut self, levels: &'a [u32]) -> Self {
        self.levels = Some(levels);
        self
    }

    /// The number of the first row, for error messages: of a part of a data set.
    #[must_use]
    pub const fn first_row(mut self, row: u64) -> Self {
        self.first_row = row;
        self
    }

    /// How many rows there are, those of weight 0 included.
    #[must_use]
    pub const fn row_count(&self) -> usize {
        self.features.row_count()
    }

    /// How many columns of features there are.
    #[must_use]
    pub const fn column_count(&self) -> usize {
        self.features.column_count()
    }

    /// These rows alone, which keep their numbers.
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> Self {
        let end = rows.end.min(self.row_count());
        let rows = rows.start.min(end)..end;
        let part = |of: &'a [T]| of.get(rows.clone()).unwrap_or(&[]);
        Self {
            features: self.features.part(rows.clone()),
            targets: part(self.targets),
            trials: self.trials.map(part),
            weights: self.weights.map(part),
            offset: self.offset.map(part),
            clusters: self.clusters.map(|of| of.get(rows.clone()).unwrap_or(&[])),
            levels: self.levels.map(|of| of.get(rows.clone()).unwrap_or(&[])),
            first_row: self.first_row + rows.start as u64,
        }
    }

    /// The first slice whose length is not that of the features, with its name.
    pub(crate) fn wrong_length(&self) -> Option<(&'static str, usize)> {
        let length = |of: Option<&[T]>| of.map(<[T]>::len);
        [
            ("targets", Some(self.targets.len())),
            ("trials", length(self.trials)),
            ("weights", length(self.weights)),
            ("offset", length(self.offset)),
            ("clusters", self.clusters.map(<[u64]>::len)),
            ("levels", self.levels.map(<[u32]>::len)),
        ]
        .into_iter()
        .find_map(|(name, length)| Some((name, length?)).filter(|of| of.1 != self.row_count()))
    }
}
