//! Judges batches of results and keeps the tally.

use crate::fast::{Batch, Fast};
use crate::mpfr::{Function, Input, Options, Truth, correctly_rounded, floor_log2, truth};
use crate::ulp;

/// What is required of each result.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "programs",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
pub enum Requirement {
    /// At most so many ULP; of a subnormal result without options at most [`SUBNORMAL_BUDGET`], of a
    /// loss [`SUBNORMAL_LOSS_BUDGET`].
    Within(f64),
    /// The nearest value, ties to even, the sign of a zero included.
    CorrectlyRounded,
}

/// A function with its options and what is required of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "programs", derive(serde::Serialize))]
pub struct Job {
    /// The function.
    pub function: Function,
    /// The options it was called with.
    pub options: Options,
    /// The bar.
    pub requirement: Requirement,
}

/// One element with what came back.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "programs", derive(serde::Serialize))]
pub struct Case {
    /// What went in.
    pub input: Input,
    /// What came out.
    pub computed: f64,
    /// How wrong it is, by MPFR.
    pub ulp: f64,
}

/// What is allowed of a result below the normal range, in units of the subnormal spacing.
pub const SUBNORMAL_BUDGET: f64 = 1.0;
/// The same of a loss: it adds two terms of which each is rounded there.
pub const SUBNORMAL_LOSS_BUDGET: f64 = 1.5;

fn subnormal_budget(function: Function, budget: f64) -> f64 {
    budget.min(match function {
        Function::Loss => SUBNORMAL_LOSS_BUDGET,
        _ => SUBNORMAL_BUDGET,
    })
}
/// Cases this close to their budget, in ULP, are decided by MPFR.
const MARGIN: f64 = 0.01;
/// A smaller error is no candidate for the worst.
const NOTABLE: f64 = 0.01;
/// Nor is one that exceeds the worst so far by less: the estimates are no closer.
const RESOLUTION: f64 = 1e-6;
/// Width of a histogram bin in ULP.
pub const BIN: f64 = 0.1;
const BINS: usize = 41;
const KEPT_VIOLATIONS: usize = 10;

/// What a check has found.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "programs", derive(serde::Serialize))]
pub struct Tally {
    /// Elements judged.
    pub elements: u64,
    /// How many of them MPFR decided.
    pub decided_by_mpfr: u64,
    /// In exact mode, those whose value is so near a midpoint that the first step leaves it to the slower ones, by
    /// the oracle's count.
    pub near_midpoints: u64,
    /// How many missed the requirement.
    pub violations: u64,
    /// The first of them.
    pub first_violations: Vec<Case>,
    /// The largest error.
    pub worst: Option<Case>,
    /// Elements by error in bins of [`BIN`] ULP, the last open upwards.
    pub histogram: Vec<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            elements: 0,
            decided_by_mpfr: 0,
            near_midpoints: 0,
            violations: 0,
            first_violations: Vec::new(),
            worst: None,
            histogram: vec![0; BINS],
        }
    }
}

impl Tally {
    /// Takes in another tally.
    pub fn merge(&mut self, other: Self) {
        self.elements += other.elements;
        self.decided_by_mpfr += other.decided_by_mpfr;
        self.near_midpoints += other.near_midpoints;
        self.violations += other.violations;
        self.first_violations.extend(other.first_violations);
        self.first_violations.truncate(KEPT_VIOLATIONS);
        for (own, others) in self.histogram.iter_mut().zip(other.histogram) {
            *own += others;
        }
        if let Some(case) = other.worst
            && case.ulp > self.worst_ulp()
        {
            self.worst = Some(case);
        }
    }

    /// The largest error, 0 before any.
    pub fn worst_ulp(&self) -> f64 {
        self.worst.map_or(0.0, |case| case.ulp)
    }

    /// An error that says what was missed.
    pub fn verdict(&self) -> Result<(), String> {
        if self.elements == 0 {
            return Err("nothing was checked".into());
        }
        if self.violations == 0 {
            return Ok(());
        }
        let list: Vec<String> = self
            .first_violations
            .iter()
            .map(|case| format!("  {case:?}"))
            .collect();
        Err(format!(
            "{} of {} elements missed the requirement:\n{}",
            self.violations,
            self.elements,
            list.join("\n")
        ))
    }
}

/// A job under way.
#[derive(Clone, Debug)]
pub struct Checker<F> {
    job: Job,
    tally: Tally,
    errors: Vec<f64>,
    format: std::marker::PhantomData<F>,
}

impl<F: Fast> Checker<F> {
    /// Starts a job.
    pub fn new(job: Job) -> Self {
        Self {
            job,
            tally: Tally::default(),
            errors: Vec::new(),
            format: std::marker::PhantomData,
        }
    }

    /// Judges a batch.
    pub fn check(&mut self, batch: Batch<F>) {
        let Job {
            function,
            options,
            requirement,
        } = self.job;
        let mut errors = std::mem::take(&mut self.errors);
        errors.resize(batch.computed.len(), 0.0);
        let (budget, margin) = match requirement {
            Requirement::Within(budget) => {
                F::errors(function, options, batch, &mut errors);
                (budget, MARGIN)
            }
            Requirement::CorrectlyRounded => {
                F::misroundings(function, options, batch, &mut errors);
                self.tally.near_midpoints += F::near_midpoints(function, batch);
                (0.0, 0.0)
            }
        };
        // A subnormal value may be rounded up to a normal number.
        let highest_subnormal = F::from_f64(2.0_f64.powi(F::MIN_EXPONENT)).step(4).to_f64();
        let subnormal_budget = subnormal_budget(function, budget);
        for (i, error) in errors.iter_mut().enumerate() {
            let subnormal = batch.computed[i].to_f64().abs() <= highest_subnormal;
            let limit = if subnormal { subnormal_budget } else { budget } - margin;
            // NaN, too, has to be decided.
            let passed = *error <= limit;
            if !passed {
                *error = self.decide(batch, i);
            }
            self.tally.histogram[((*error / BIN) as usize).min(BINS - 1)] += 1;
        }
        // The largest first: errors may rise from element to element. Decided again, if the estimate
        // was too large.
        while let Some((i, _)) = errors
            .iter()
            .enumerate()
            .filter(|&(_, &error)| error > self.tally.worst_ulp().max(NOTABLE) + RESOLUTION)
            .max_by(|a, b| a.1.total_cmp(b.1))
        {
            errors[i] = self.decide(batch, i);
        }
        self.tally.elements += errors.len() as u64;
        self.errors = errors;
    }

    /// What was found.
    pub fn finish(self) -> Tally {
        self.tally
    }

    /// One element, by MPFR.
    fn decide(&mut self, batch: Batch<F>, i: usize) -> f64 {
        let input = Input {
            z: batch.z[i].to_f64(),
            t: batch.t[i].to_f64(),
            weight: batch.weights.get(i).map_or(1.0, |weight| weight.to_f64()),
        };
        let (ulp, right) = judge(self.job, input, batch.computed[i]);
        let case = Case {
            input,
            computed: batch.computed[i].to_f64(),
            ulp,
        };
        self.tally.decided_by_mpfr += 1;
        if !right {
            self.tally.violations += 1;
            if self.tally.first_violations.len() < KEPT_VIOLATIONS {
                self.tally.first_violations.push(case);
            }
        }
        if ulp > self.tally.worst_ulp() {
            self.tally.worst = Some(case);
        }
        ulp
    }
}

/// Judges one result by MPFR alone: its error in ULP, and whether it meets the requirement.
pub fn judge<F: Fast>(job: Job, input: Input, computed: F) -> (f64, bool) {
    let Job {
        function,
        options,
        requirement,
    } = job;
    let truth = truth::<F>(function, input, options);
    let ulp = ulp::error(computed, &truth);
    let right = match requirement {
        Requirement::Within(budget) => {
            let subnormal = match &truth {
                Truth::Real(real) => floor_log2(&real.scale) < F::MIN_EXPONENT,
                _ => false,
            } && !(function.takes_target() && options.scales(input.weight));
            let minus_zero = computed.to_f64() == 0.0 && computed.to_f64().is_sign_negative();
            let limit = if subnormal {
                subnormal_budget(function, budget)
            } else {
                budget
            };
            ulp <= limit && !(function == Function::Gradient && minus_zero)
        }
        Requirement::CorrectlyRounded => match truth {
            Truth::Nan => computed.to_f64().is_nan(),
            _ => computed.to_bits() == correctly_rounded::<F>(function, input, options).to_bits(),
        },
    };
    (ulp, right)
}
