//! The functions under test.

use crate::budget::{self, Mode};
use crate::cases;
use crate::check::{Checker, Job, Tally};
use crate::fast::{Batch, Fast};
use crate::fault::Fault;
use crate::mpfr::{Function, Options};
use soft_bce::{Backend, Bce, Error, Real, exact};

/// The calls of one mode.
pub struct Calls<F: Real> {
    bce: for<'a> fn(Bce<'a, F>) -> Bce<'a, F>,
    sigmoid: fn(&[F], &mut [F]) -> Result<(), Error>,
    log_sigmoid: fn(&[F], &mut [F]) -> Result<(), Error>,
    softplus: fn(&[F], &mut [F]) -> Result<(), Error>,
}

/// An element type of soft-bce.
pub trait Element: Fast + Real {
    /// The correctly rounded functions, where the type has them.
    fn exact() -> Option<Calls<Self>>;

    /// The calls of a mode.
    fn calls(mode: Mode) -> Option<Calls<Self>> {
        if mode == Mode::Exact {
            return Self::exact();
        }
        Some(Calls {
            bce: |bce| bce,
            sigmoid: soft_bce::sigmoid,
            log_sigmoid: soft_bce::log_sigmoid,
            softplus: soft_bce::softplus,
        })
    }
}

impl Element for f32 {
    fn exact() -> Option<Calls<Self>> {
        Some(Calls {
            bce: |bce| bce.exact(),
            sigmoid: exact::sigmoid,
            log_sigmoid: exact::log_sigmoid,
            softplus: exact::softplus,
        })
    }
}

impl Element for f64 {
    fn exact() -> Option<Calls<Self>> {
        None
    }
}

/// A function of soft-bce in one mode, with what the budget table requires of it.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// What is checked.
    pub job: Job,
    /// How it is called.
    pub mode: Mode,
    /// What spoils its results, if anything.
    pub fault: Option<Fault>,
}

impl Subject {
    /// A function as `F` has it.
    pub fn new<F: Fast>(function: Function, mode: Mode, options: Options) -> Result<Self, String> {
        let requirement = budget::requirement(function, F::NAME, mode)?;
        Ok(Self {
            job: Job {
                function,
                options,
                requirement,
            },
            mode,
            fault: Fault::from_environment(),
        })
    }

    /// Calls it on the fastest backend. `weights` may be empty, for none.
    pub fn call<F: Element>(
        &self,
        z: &[F],
        t: &[F],
        weights: &[F],
        out: &mut [F],
    ) -> Result<(), Error> {
        let options = self.job.options;
        let calls = F::calls(self.mode).expect("no budget for a mode that is not there");
        let bce = Bce::new()
            .backend(Backend::detect())?
            .pos_weight(F::from_f64(options.pos_weight))
            .label_smoothing(F::from_f64(options.label_smoothing));
        let mut bce = (calls.bce)(bce);
        if options.excess {
            bce = bce.excess();
        }
        if !weights.is_empty() {
            bce = bce.weights(weights);
        }
        match self.job.function {
            Function::Loss => bce.loss(z, t, out),
            Function::Gradient => bce.gradient(z, t, out),
            Function::Hessian => {
                bce.gradient_hessian(z, t, &mut vec![F::from_f64(0.0); z.len()], out)
            }
            Function::Sigmoid => (calls.sigmoid)(z, out),
            Function::LogSigmoid => (calls.log_sigmoid)(z, out),
            Function::Softplus => (calls.softplus)(z, out),
            Function::Logit => soft_bce::logit(z, out),
        }?;
        if let Some(fault) = self.fault {
            fault.plant(self.job.requirement, out);
        }
        Ok(())
    }

    /// Checks it on `count` elements of all four generators.
    pub fn check<F: Element>(&self, count: u64, seed: u64) -> Result<Tally, Error> {
        let mut checker = Checker::<F>::new(self.job);
        let mut computed = [F::from_f64(0.0); cases::BATCH];
        let mut outcome = Ok(());
        let weighted = self.mode == Mode::Options;
        cases::for_each_batch::<F>(self.job.function, count, seed, |inputs| {
            let weights = if weighted { &inputs.weights[..] } else { &[] };
            let computed = &mut computed[..inputs.z.len()];
            match self.call(&inputs.z, &inputs.t, weights, computed) {
                Ok(()) => checker.check(Batch {
                    z: &inputs.z,
                    t: &inputs.t,
                    weights,
                    computed,
                }),
                Err(error) => outcome = Err(error),
            }
        });
        outcome.map(|()| checker.finish())
    }
}
