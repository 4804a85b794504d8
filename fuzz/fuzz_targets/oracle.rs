//! Every function and mode against MPFR, within `src/accuracy.md`.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rug::Float;
use soft_bce::{Bce, LossSum};
use soft_bce_fuzz::{Arrays, Elements, Function as Map, Operation, Real, Target, Weight, bits_of};
use soft_bce_oracle::budget::{Mode, requirement};
use soft_bce_oracle::check::{Checker, Job, Requirement};
use soft_bce_oracle::fast::Batch;
use soft_bce_oracle::mpfr::{Function, Options};
use std::sync::LazyLock;

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    row: u8,
    pos_weight: Weight,
    label_smoothing: Target,
    elements: Elements,
}

/// What the budget table promises, and what the documentation of `exact` does.
struct Promises(Vec<(Function, Mode, Requirement)>);

impl Promises {
    fn of<F: Real>() -> Self {
        let mut rows = Vec::new();
        for function in Function::ALL {
            let budget = |mode| requirement(function, F::NAME, mode);
            rows.push((
                function,
                Mode::Default,
                budget(Mode::Default).expect("a budget"),
            ));
            if function.takes_target() {
                // Twice, since there are more ways to go wrong.
                let budget = budget(Mode::Options).expect("a budget");
                rows.extend([(function, Mode::Options, budget); 2]);
            }
            if let Ok(budget) = budget(Mode::Excess) {
                rows.push((function, Mode::Excess, budget));
            }
            if F::exact(Bce::new()).is_some() && function != Function::Logit {
                rows.push((function, Mode::Exact, Requirement::CorrectlyRounded));
            }
        }
        let names: Vec<_> = rows
            .iter()
            .map(|(function, mode, _)| format!("{} {}", function.name(), mode.name()))
            .collect();
        eprintln!("{}: {}", F::NAME, names.join(", "));
        Self(rows)
    }
}

static SINGLE: LazyLock<Promises> = LazyLock::new(Promises::of::<f32>);
static DOUBLE: LazyLock<Promises> = LazyLock::new(Promises::of::<f64>);

/// Calls it on the fastest backend; `bce` has the options.
fn compute<F: Real>(
    function: Function,
    mode: Mode,
    bce: Bce<'_, F>,
    z: &[F],
    t: &[F],
    out: &mut [F],
) {
    let mut sum = LossSum::new();
    let exact = mode == Mode::Exact;
    let map = match function {
        Function::Sigmoid if exact => Map::ExactSigmoid,
        Function::Sigmoid => Map::Sigmoid,
        Function::LogSigmoid if exact => Map::ExactLogSigmoid,
        Function::LogSigmoid => Map::LogSigmoid,
        Function::Softplus if exact => Map::ExactSoftplus,
        Function::Softplus => Map::Softplus,
        Function::Logit => Map::Logit,
        Function::Loss | Function::Gradient | Function::Hessian => {
            let mut other = vec![F::from_f64(0.0); z.len()];
            let (operation, outputs) = match function {
                Function::Loss => (Operation::Loss, [out, &mut [], &mut []]),
                Function::Gradient => (Operation::Gradient, [out, &mut [], &mut []]),
                _ => (Operation::GradientHessian, [&mut other[..], out, &mut []]),
            };
            F::run(operation, &bce, z, t, outputs, &mut sum).unwrap();
            return;
        }
    };
    F::map(map, z, out).expect("promised").unwrap();
}

fn check<F: Real>(input: &Input, promises: &Promises) {
    let Arrays { z, t, w } = input.elements.arrays::<F>();
    let (z, t, w) = (z.get(), t.get(), w.get());
    if z.is_empty() {
        return;
    }
    let (function, mode, requirement) = promises.0[usize::from(input.row) % promises.0.len()];
    let mut options = Options::PLAIN;
    if mode == Mode::Options {
        let pos_weight = input.pos_weight.value::<F>().to_f64();
        options.pos_weight = if pos_weight > 0.0 { pos_weight } else { 3.0 };
        options.label_smoothing = input.label_smoothing.value(F::from_f64(0.0)).to_f64();
    }
    options.excess = mode == Mode::Excess;
    let job = Job {
        function,
        options,
        requirement,
    };
    let z = if function == Function::Logit { t } else { z };
    let weights = if mode == Mode::Options { w } else { &[] };
    let mut computed = vec![F::from_f64(7.0); z.len()];
    let mut bce = Bce::new()
        .pos_weight(F::from_f64(options.pos_weight))
        .label_smoothing(F::from_f64(options.label_smoothing));
    if !weights.is_empty() {
        bce = bce.weights(weights);
    }
    if options.excess {
        bce = bce.excess();
    }
    if mode == Mode::Exact {
        bce = F::exact(bce).expect("promised");
    }
    compute(function, mode, bce, z, t, &mut computed);
    let mut checker = Checker::<F>::new(job);
    checker.check(Batch {
        z,
        t,
        weights,
        computed: &computed,
    });
    if let Err(message) = checker.finish().verdict() {
        panic!("{} {mode:?} {job:?}: {message}", F::NAME);
    }
    if options.excess {
        check_weighted_excess(bce.weights(w), z, t, w, &computed);
    }
}

/// A weight adds one rounding to the excess, or removes it.
fn check_weighted_excess<F: Real>(bce: Bce<'_, F>, z: &[F], t: &[F], w: &[F], unweighted: &[F]) {
    let mut computed = vec![F::from_f64(7.0); z.len()];
    compute(Function::Loss, Mode::Excess, bce, z, t, &mut computed);
    for ((computed, unweighted), w) in computed.iter().zip(unweighted).zip(w) {
        let (excess, w) = (unweighted.to_f64(), w.to_f64());
        let expected = if w == 0.0 {
            F::from_f64(0.0)
        } else if excess.is_finite() {
            F::from_float(&(Float::with_val(128, excess) * w))
        } else {
            *unweighted
        };
        assert_eq!(bits_of(*computed), bits_of(expected), "{excess} times {w}");
    }
}

fuzz_target!(|input: Input| {
    if input.double {
        check::<f64>(&input, &DOUBLE);
    } else {
        check::<f32>(&input, &SINGLE);
    }
});
