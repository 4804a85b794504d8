//! Every backend gives, for every element of a slice, the bits that `Scalar` gives for that element
//! alone, and sums and means that are those of these bits.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rug::Float;
use soft_bce::{Backend, Bce, Error, LossSum, SquaredError};
use soft_bce_fuzz::{
    Arrays, Elements, Function, Operation, Placed, Real, Target, Weight, bits, bits_of, exact_sum,
    function, operation,
};

#[derive(Arbitrary, Debug)]
struct Input {
    double: bool,
    #[arbitrary(with = operation)]
    operation: Operation,
    mode: Mode,
    output_offsets: [u8; 3],
    elements: Elements,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Mode {
    Plain,
    Weights,
    Options {
        weighted: bool,
        pos_weight: Weight,
        label_smoothing: Target,
    },
    Exact,
    Excess,
    /// Weights of rows of one element.
    Rows,
    Temperature(Weight),
    /// The excess over a teacher.
    LogitTargets(Weight),
    SquaredError,
    /// sigmoid and so on, which run on the fastest backend.
    Slices(#[arbitrary(with = function)] Function),
}

fuzz_target!(|input: Input| {
    match (input.mode, input.double) {
        (Mode::Slices(function), true) => slices::<f64>(function, &input),
        (Mode::Slices(function), false) => slices::<f32>(function, &input),
        (_, true) => check::<f64>(&input),
        (_, false) => check::<f32>(&input),
    }
});

/// None where the type lacks the mode.
fn configure<'a, F: Real>(mode: Mode, weights: &'a [F]) -> Option<Bce<'a, F>> {
    let bce = Bce::new();
    match mode {
        Mode::Plain => Some(bce),
        Mode::Weights => Some(bce.weights(weights)),
        Mode::Options {
            weighted,
            pos_weight,
            label_smoothing,
        } => {
            let pos_weight: F = pos_weight.value();
            let positive = pos_weight.to_f64() > 0.0;
            let bce = bce
                .pos_weight(if positive {
                    pos_weight
                } else {
                    F::from_f64(3.0)
                })
                .label_smoothing(label_smoothing.value(F::from_f64(0.0)));
            Some(if weighted { bce.weights(weights) } else { bce })
        }
        Mode::Exact => F::exact(bce),
        Mode::Excess => Some(bce.excess()),
        Mode::Rows => Some(bce.row_weights(weights)),
        Mode::Temperature(temperature) => Some(bce.temperature(positive(temperature))),
        Mode::LogitTargets(temperature) => Some(
            bce.logit_targets()
                .temperature(positive(temperature))
                .excess(),
        ),
        Mode::SquaredError => Some(*SquaredError::new()),
        Mode::Slices(_) => None,
    }
}

fn positive<F: Real>(weight: Weight) -> F {
    let value: F = weight.value();
    if value.to_f64() > 0.0 {
        value
    } else {
        F::from_f64(1.0)
    }
}

fn weighted(mode: Mode) -> bool {
    matches!(
        mode,
        Mode::Weights | Mode::Rows | Mode::Options { weighted: true, .. }
    )
}

fn check<F: Real>(input: &Input) {
    let Arrays { z, t, w } = input.elements.arrays::<F>();
    let (z, t, w) = (z.get(), t.get(), w.get());
    let zero = F::from_f64(0.0);

    let mut expected = [const { Vec::new() }; 3];
    for i in 0..z.len() {
        let Some(bce) = configure(input.mode, &w[i..=i]) else {
            return;
        };
        let bce = bce.backend(Backend::Scalar).unwrap();
        let (mut loss, mut gradient, mut hessian) = ([zero], [zero], [zero]);
        let (z, t) = (&z[i..=i], &t[i..=i]);
        let mut sum = LossSum::new();
        F::run(
            Operation::Loss,
            &bce,
            z,
            t,
            [&mut loss, &mut [], &mut []],
            &mut sum,
        )
        .unwrap();
        let outputs = [&mut gradient[..], &mut hessian, &mut []];
        F::run(Operation::GradientHessian, &bce, z, t, outputs, &mut sum).unwrap();
        for (list, [value]) in expected.iter_mut().zip([loss, gradient, hessian]) {
            list.push(value);
        }
    }
    let [losses, mut gradients, hessians] = expected;
    let Some(bce) = configure(input.mode, w) else {
        return;
    };
    let total = exact_sum(losses.iter().map(|loss| loss.to_f64()));
    let number = match input.operation {
        Operation::Sum | Operation::SumGradient | Operation::SumGradientHessian => {
            Ok(total.to_f64())
        }
        Operation::Mean | Operation::MeanGradient => {
            let weights = weighted(input.mode).then_some(w);
            mean(
                input.operation,
                bce,
                [z, t, &losses],
                weights,
                &mut gradients,
            )
        }
        _ => Ok(0.0),
    };

    for backend in Backend::available() {
        let bce = bce.backend(backend).unwrap();
        let before = if input.operation == Operation::GradientInPlace {
            z.to_vec()
        } else {
            vec![F::from_f64(7.0); z.len()]
        };
        let [mut first, mut second, mut third] =
            input.output_offsets.map(|at| Placed::new(&before, at));
        let mut sum = LossSum::new();
        let outputs = [first.get_mut(), second.get_mut(), third.get_mut()];
        let result = F::run(input.operation, &bce, z, t, outputs, &mut sum);
        let name = backend.name();
        assert_eq!(
            result.map(bits_of),
            number.map(bits_of),
            "{name}: {result:?} instead of {number:?}"
        );
        let written = input
            .operation
            .output_names()
            .iter()
            .map(|name| match *name {
                "loss" => &losses,
                "gradient" => &gradients,
                _ => &hessians,
            });
        let written = written.map(Some).chain(std::iter::repeat(None));
        for (output, expected) in [first, second, third].iter().zip(written) {
            output.assert_others_untouched();
            // There are no errors here but that of a mean of nothing.
            let expected = match (expected, result) {
                (Some(_), Err(_)) => &vec![F::from_f64(f64::NAN); z.len()],
                (Some(expected), Ok(_)) => expected,
                (None, _) => &before,
            };
            assert_eq!(bits(output.get()), bits(expected), "{name}");
        }
        if input.operation == Operation::Accumulate {
            assert_eq!(sum, total, "{name}");
        }
    }
}

/// The mean that `Scalar` has of these logits, targets and losses, and its gradients in place of the
/// losses'. Where no weights are scaled, they are the quotients that define them.
fn mean<F: Real>(
    operation: Operation,
    bce: Bce<'_, F>,
    [z, t, losses]: [&[F]; 3],
    weights: Option<&[F]>,
    gradients: &mut Vec<F>,
) -> Result<f64, Error> {
    let bce = bce.backend(Backend::Scalar).unwrap();
    let mut divided = vec![F::from_f64(7.0); z.len()];
    let outputs = [&mut divided[..], &mut [], &mut []];
    let mean = F::run(operation, &bce, z, t, outputs, &mut LossSum::new());
    // Exact: from 2^-1074 to beyond 2^1024 times any number of values.
    let exact = |values: &[F]| {
        let zero = Float::new(2200);
        values.iter().fold(zero, |sum, value| sum + value.to_f64())
    };
    let divisor = weights.map_or(Float::with_val(2200, z.len()), exact);
    assert_eq!(mean.is_err(), divisor == 0, "{mean:?}");
    let finite = losses.iter().all(|loss| loss.to_f64().is_finite());
    let in_range = divisor >= 1 && divisor < 2.0_f64.powi(60);
    if let Ok(mean) = mean
        && finite
        && in_range
    {
        let quotient = Float::with_val(200, exact(losses) / &divisor);
        let unit = 2.0_f64.powi(quotient.get_exp().unwrap_or(0).max(-1021) - 53);
        let error = (Float::with_val(200, &quotient) - mean).abs() / unit;
        assert!(error <= 0.5001, "{mean} instead of {quotient}");
        // The quotient of two f32 is rounded to f64 and then to f32 as if once.
        let divisor = F::from_f64(divisor.to_f64()).to_f64();
        for gradient in &mut *gradients {
            *gradient = F::from_f64(gradient.to_f64() / divisor);
            // A gradient's zero is +0, a negative one's that underflows too.
            if gradient.to_f64() == 0.0 {
                *gradient = F::from_f64(0.0);
            }
        }
        if operation == Operation::MeanGradient {
            assert_eq!(bits(gradients), bits(&divided));
        }
    }
    *gradients = divided;
    mean
}

/// A slice gives what its elements give alone, at any length and alignment.
fn slices<F: Real>(function: Function, input: &Input) {
    let Arrays { z, t, .. } = input.elements.arrays::<F>();
    let from = if function == Function::Logit {
        t.get()
    } else {
        z.get()
    };
    let mut alone = vec![F::from_f64(7.0); from.len()];
    for (from, to) in from.chunks(1).zip(alone.chunks_mut(1)) {
        let Some(result) = F::map(function, from, to) else {
            return;
        };
        result.unwrap();
    }
    let mut together = Placed::new(&vec![F::from_f64(7.0); from.len()], input.output_offsets[0]);
    if let Some(result) = F::map(function, from, together.get_mut()) {
        result.unwrap();
        together.assert_others_untouched();
        assert_eq!(bits(together.get()), bits(&alone));
    }
}
