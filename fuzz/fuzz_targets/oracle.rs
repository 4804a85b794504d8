//! Every function and mode against MPFR, within `src/accuracy.md`.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rug::Float;
use soft_bce::{Bce, LossSum};
use soft_bce_fuzz::{
    Arrays, Elements, Format, Function as Map, Number, Operation, Real, Target, Weight, bits_of,
    teachers,
};
use soft_bce_oracle::budget::{Mode, named_requirement, requirement};
use soft_bce_oracle::check::{Checker, Job, Requirement};
use soft_bce_oracle::fast::Batch;
use soft_bce_oracle::losses::{self, Row, error};
use soft_bce_oracle::mpfr::{Function, Options};
use std::sync::LazyLock;

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    row: u8,
    pos_weight: Weight,
    label_smoothing: Target,
    elements: Elements,
    /// pos_weight in turn with these, and the weights of rows, if their number divides that of elements.
    classes: Vec<Weight>,
    rows: Vec<Weight>,
    /// A temperature, or the exponent of a focal loss.
    parameter: Number,
}

/// What the budget table promises, and what the documentation of `exact` does.
struct Promises<F: 'static> {
    modes: Vec<(Function, Mode, Requirement)>,
    /// Temperatures, logits as targets, other losses and probabilities.
    further: Vec<(Row<F>, f64)>,
}

impl<F: Real> Promises<F> {
    fn new() -> Self {
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
        let further: Vec<_> = losses::rows::<F>()
            .into_iter()
            .map(
                |row| match named_requirement(row.function, F::NAME, row.mode) {
                    Ok(Requirement::Within(budget)) => (row, budget),
                    other => panic!("{other:?}"),
                },
            )
            .collect();
        let modes = rows
            .iter()
            .map(|(function, mode, _)| (function, mode.name()));
        let others = further.iter().map(|(row, _)| (&row.function, row.mode));
        let names = modes.chain(others);
        let names: Vec<_> = names
            .map(|(of, mode)| format!("{} {mode}", of.name()))
            .collect();
        eprintln!("{}: {}", F::NAME, names.join(", "));
        Self {
            modes: rows,
            further,
        }
    }
}

static SINGLE: LazyLock<Promises<f32>> = LazyLock::new(Promises::new);
static DOUBLE: LazyLock<Promises<f64>> = LazyLock::new(Promises::new);

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

/// Whether the logit, over the parameter, is in what `src/accuracy.md` promises.
fn is_promised<F: Format>(x: F, parameter: f64) -> bool {
    let (x, most) = (x.to_f64().abs(), 2.0_f64.powi(F::MAX_EXPONENT - 3));
    let (least, quotient) = (2.0_f64.powi(-960), x / parameter);
    x == 0.0 || x < most && quotient < most && (parameter == 1.0 || x >= least && quotient >= least)
}

/// One of the further modes, element by element.
fn check_further<F: Real>(input: &Input, (row, budget): &(Row<F>, f64)) {
    let Arrays { z, t, .. } = input.elements.arrays::<F>();
    let (mut z, mut t) = (z.get().to_vec(), t.get().to_vec());
    let mut parameter = match input.parameter.value::<F>().to_f64().abs() {
        value
            if value.is_finite()
                && value > 0.0
                && value < 2.0_f64.powi(<F as Format>::MAX_EXPONENT) =>
        {
            value
        }
        _ => 1.5,
    };
    match row.mode {
        "focal" => parameter = parameter.min(8.0),
        "probability" => {
            // From the two lists of probabilities one of p.
            z = t.iter().rev().copied().collect();
            parameter = 1.0;
        }
        _ if parameter < 2.0_f64.powi(-100) || parameter > 2.0_f64.powi(100) => parameter = 0.75,
        _ => {}
    }
    if row.teacher {
        t = teachers(&z, &t);
    }
    let of_logits = match row.mode {
        "probability" | "focal" => 1.0,
        _ => parameter,
    };
    let targets = if row.teacher { parameter } else { 1.0 };
    let kept = |&(&z, &t): &(&F, &F)| is_promised(z, of_logits) && is_promised(t, targets);
    let (z, t): (Vec<F>, Vec<F>) = z.iter().zip(&t).filter(kept).unzip();
    let mut out = vec![F::from_f64(7.0); z.len()];
    let call = row.compute;
    call(row.function, F::from_f64(parameter), &z, &t, &mut out).expect("valid inputs");
    // At this precision more would take seconds; that places do not matter is for `backends` to show.
    for ((z, t), out) in z.iter().zip(&t).zip(&out).take(256) {
        let input = losses::Input {
            x: z.to_f64(),
            t: t.to_f64(),
            parameter,
        };
        let truth = (row.truth)(row.function, input);
        let ulp = error(*out, &truth);
        // Written so that NaN fails.
        assert!(
            ulp <= *budget,
            "{} {} {}: {ulp} of {budget} ULP, {input:?}: {out:?} instead of {:.20}",
            F::NAME,
            row.function.name(),
            row.mode,
            truth.value
        );
    }
}

fn check<F: Real>(input: &Input, promises: &Promises<F>) {
    let row = usize::from(input.row) % (promises.modes.len() + promises.further.len());
    match promises.modes.get(row) {
        Some(row) => check_mode::<F>(input, *row),
        None => check_further(input, &promises.further[row - promises.modes.len()]),
    }
}

fn check_mode<F: Real>(
    input: &Input,
    (function, mode, requirement): (Function, Mode, Requirement),
) {
    let Arrays { z, t, w } = input.elements.arrays::<F>();
    let (z, t, w) = (z.get(), t.get(), w.get());
    if z.is_empty() {
        return;
    }
    let mut options = Options::PLAIN;
    if mode == Mode::Options {
        let pos_weight = input.pos_weight.value::<F>().to_f64();
        options.pos_weight = if pos_weight > 0.0 { pos_weight } else { 3.0 };
        options.label_smoothing = input.label_smoothing.value(F::from_f64(0.0)).to_f64();
    }
    options.excess = mode == Mode::Excess;
    let z = if function == Function::Logit { t } else { z };
    let with_options = mode == Mode::Options;
    let positive = |weight: &Weight| match weight.value::<F>().to_f64() {
        0.0 => F::from_f64(3.0),
        weight => F::from_f64(weight),
    };
    let divides = |list: &[Weight]| with_options && !list.is_empty() && z.len() % list.len() == 0;
    let mut classes: Vec<F> = Vec::new();
    if divides(&input.classes) {
        classes = input.classes.iter().map(positive).collect();
    }
    let mut rows: Vec<F> = Vec::new();
    if divides(&input.rows) {
        // So that no product with another overflows.
        let weight = |weight: &Weight| F::from_f64(weight.value::<F>().to_f64().min(1.0));
        rows = input.rows.iter().map(weight).collect();
    }
    let mut weights = if with_options { w.to_vec() } else { Vec::new() };
    let mut bce = Bce::new().label_smoothing(F::from_f64(options.label_smoothing));
    if with_options {
        bce = bce.weights(w);
    }
    if !rows.is_empty() {
        bce = bce.row_weights(&rows);
        for (i, weight) in weights.iter_mut().enumerate() {
            let row = rows[i / (z.len() / rows.len())].to_f64();
            *weight = F::from_float(&(Float::with_val(128, weight.to_f64()) * row));
        }
    }
    bce = match classes.is_empty() {
        true => bce.pos_weight(F::from_f64(options.pos_weight)),
        false => bce.pos_weights(&classes),
    };
    if options.excess {
        bce = bce.excess();
    }
    if mode == Mode::Exact {
        bce = F::exact(bce).expect("promised");
    }
    let mut computed = vec![F::from_f64(7.0); z.len()];
    compute(function, mode, bce, z, t, &mut computed);
    for class in 0..classes.len().max(1) {
        let count = classes.len().max(1);
        if let Some(pos_weight) = classes.get(class) {
            options.pos_weight = pos_weight.to_f64();
        }
        let of_class = |of: &[F]| {
            of.iter()
                .skip(class)
                .step_by(count)
                .copied()
                .collect::<Vec<F>>()
        };
        let job = Job {
            function,
            options,
            requirement,
        };
        let mut checker = Checker::<F>::new(job);
        checker.check(Batch {
            z: &of_class(z),
            t: &of_class(t),
            weights: &of_class(&weights),
            computed: &of_class(&computed),
        });
        if let Err(message) = checker.finish().verdict() {
            panic!("{} {mode:?} {job:?}: {message}", F::NAME);
        }
    }
    if with_options {
        check_mean_gradient(bce, z, t, &weights);
    }
    if options.excess {
        check_weighted_excess(bce.weights(w), z, t, w, &computed);
    }
}

/// The mean's gradient is the gradient over the exact total weight, but for a few roundings.
fn check_mean_gradient<F: Real>(bce: Bce<'_, F>, z: &[F], t: &[F], weights: &[F]) {
    let total = weights
        .iter()
        .fold(Float::with_val(2400, 0), |sum, w| sum + w.to_f64());
    if total.is_zero() {
        return;
    }
    let [mut gradient, mut of_mean] = [(); 2].map(|()| vec![F::from_f64(7.0); z.len()]);
    bce.gradient(z, t, &mut gradient).unwrap();
    bce.mean_gradient(z, t, &mut of_mean).unwrap();
    for (gradient, found) in gradient.iter().zip(&of_mean) {
        let gradient = gradient.to_f64();
        // What is below the normal range, or beyond it, need not be the quotient of what was rounded there.
        if !gradient.is_finite() || gradient.abs() < 2.0_f64.powi(<F as Format>::MIN_EXPONENT) {
            continue;
        }
        let quotient = Float::with_val(2400, gradient) / &total;
        let scale = quotient.clone();
        let value = quotient;
        let ulp = error(*found, &losses::Truth { value, scale });
        assert!(
            ulp <= 4.0,
            "{} mean: {found:?}, {gradient:e} over {total:.20}: {ulp} ULP",
            F::NAME
        );
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
